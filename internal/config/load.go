package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"feedmux/internal/config/marks"
)

// LoadOptions are what a configuration is held against.
type LoadOptions struct {
	// Env looks up an environment variable; nil is os.LookupEnv.
	Env func(name string) (string, bool)

	// Protocols are those that a feed may name.
	Protocols map[string]Protocol

	// Check looks at subjects, and for what is wrong between feeds, such as topics that meet on one subject. It is
	// called even if there are problems already; c then has the feeds whose name, protocol, URL, subject, topics and
	// options are good by themselves. Keys are those of Place: a feed's are under its Key. The topics of a feed are counted as in Feed.Topics, so feed[1].topics[0] is the
	// first of them, and the problem names the place where it was listed. nil is no check.
	Check func(c *Config, report Report)
}

// Protocol is what must be known of a protocol to configure a feed of it.
type Protocol struct {
	URL                 string        // default; "" makes the feed's url required
	Connections         int           // default and ceiling, from 1; more than 10 is as 10
	TopicsPerConnection int           // default and ceiling, from 1
	SubscribeBatch      int           // default and ceiling, from 1
	Ping                time.Duration // default interval; 0 is 25 s

	// Account names what the upstream counts f's connections by. The name is shown to people: it holds no secret.
	// nil: each feed is an account of its own.
	Account func(f *Feed) string

	// Check looks at the topics and options of a feed, if these and its name, protocol, URL and subject are good so
	// far. Keys are below the feed's, such as topics[3] (counted as in Feed.Topics) and options.auth_topics. It must not
	// change f. nil is no check.
	Check func(f *Feed, report Report)
}

// maxFile is the longest configuration, in bytes. It is what keeps the TOML parser from running out of stack on a file
// that is nothing but brackets.
const maxFile = mib

// Load reads and checks the file at path. If its content is bad the error is a Problems; another error says that the
// file could not be read.
func Load(path string, opts LoadOptions) (*Config, error) {
	data, err := readFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, data, opts)
}

// Parse checks data, the content of the file at path, which is not opened: path is named in problems, and relative
// names in the configuration are relative to its folder. An error is a Problems.
func Parse(path string, data []byte, opts LoadOptions) (*Config, error) {
	if opts.Env == nil {
		opts.Env = os.LookupEnv
	}
	d := &decoder{file: path, dir: filepath.Dir(path), opts: opts, written: map[string]string{}}
	c := d.parse(data)
	if len(d.problems) > 0 {
		d.problems.sortFrom(path)
		return nil, d.problems
	}
	return c, nil
}

func (d *decoder) parse(data []byte) *Config {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	tree := map[string]any{}
	if _, err := toml.Decode(string(data), &tree); err != nil {
		line := 1
		var parse toml.ParseError
		if errors.As(err, &parse) {
			line, err = max(parse.Position.Line, 1), errors.New(parse.Message)
		}
		d.syntax(line, err)
		return nil
	}
	lines, twice, badLine, err := marks.Lines(data)
	if err != nil {
		d.syntax(badLine, err)
		return nil
	}
	d.lines = lines
	for _, key := range twice {
		d.report(key, "is defined twice")
	}
	d.expandTree("", tree)

	c := defaults()
	d.table("", tree, rootFields(c))
	if d.feeds == nil && d.clean("feed") {
		d.report("feed", "is missing: at least one [[feed]] is needed")
	}
	d.check(c)
	return c
}

// syntax tells the one problem of a file that cannot be read as TOML. The parsers' own words are fit to be shown: they
// quote at most one word or number that stands where a string in quotes should be.
func (d *decoder) syntax(line int, err error) {
	d.reportAt(Place{File: d.file, Line: line}, "%v", err)
}

// check runs the checks that were handed in, on the feeds that have no problem, and then holds the feeds against each
// other.
func (d *decoder) check(c *Config) {
	for _, f := range d.feeds {
		if d.clean(f.Key+".name", f.Key+".protocol", f.Key+".url", f.Key+".subject", f.Key+".topics", f.Key+".options") {
			c.Feeds = append(c.Feeds, f)
		}
	}
	accounts := map[string]*Feed{}
	for _, f := range c.Feeds {
		p := d.opts.Protocols[f.Protocol]
		if p.Check != nil {
			p.Check(f, d.reportFeed(f))
		}
		if p.Account == nil {
			f.Account = f.Name
			continue
		}
		f.Account = p.Account(f)
		if other := accounts[f.Account]; other != nil {
			d.report(f.Key, "%q is counted by the upstream together with %s, %q (account %q); "+
				"feeds of one account can't share it yet: combine them into one feed", f.Name, other.Key, other.Name, f.Account)
			continue
		}
		accounts[f.Account] = f
	}
	if d.opts.Check == nil {
		return
	}
	d.opts.Check(c, func(key, format string, args ...any) {
		for _, f := range c.Feeds {
			if below, ok := strings.CutPrefix(key, f.Key+"."); ok {
				d.reportFeed(f)(below, format, args...)
				return
			}
		}
		d.report(key, format, args...)
	})
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %s", path, formatSize(int(limit)))
	}
	return data, err
}
