package config

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"feedmux/internal/config/strict"
)

// What is wrong with a configuration, and where: see package strict.
type (
	Problems = strict.Problems
	Problem  = strict.Problem
	Place    = strict.Place
	Report   = strict.Report
)

// LoadOptions are what a configuration is held against.
type LoadOptions struct {
	// Env looks up an environment variable; nil is os.LookupEnv.
	Env func(name string) (string, bool)

	// Protocols are those that a feed may name.
	Protocols map[string]Protocol

	// Check looks at subjects, and for what is wrong between feeds, such as topics that meet on one subject. It is
	// called even if there are problems already; c then has the feeds whose name, protocol, URL, subject, topics and
	// options are good by themselves. Keys are those of Place: a feed's are under its Key. The topics of a feed are
	// counted as in Feed.Topics, so feed[1].topics[0] is the first of them, and the problem names the place where it was
	// listed. nil is no check.
	Check func(c *Config, report Report)
}

// Protocol is what must be known of a protocol to configure a feed of it.
type Protocol struct {
	URL                 string        // default; "" makes the feed's url required
	Connections         int           // default and ceiling, from 1; more than 10 is as 10
	TopicsPerConnection int           // default and ceiling, from 1
	SubscribeBatch      int           // ceiling, from 1
	UsualBatch          int           // default; 0 is the ceiling
	SubscribeRate       Rate          // default; zero is 10/1s
	Ping                time.Duration // default interval; 0 is 25 s
	BackoffMax          time.Duration // default; 0 is 2 minutes
	Subject             string        // default template; "" is feed.{feed}.{topic}
	NoFrame             string        // why there is no payload = "frame", for people; "" where there is
	NeedsSecret         bool          // a feed without [feed.auth] is of no use

	// TopicKeys are those that a topic may have beside topic and priority: Topic.Options. What their values may be is for
	// Check to judge.
	TopicKeys []string

	// Label is what a topic is called. Topics with one name are one if they are called the same; else they are two spellings,
	// and Check judges them. nil: a topic is called by its name.
	Label func(Topic) string

	// FileOptions are those of [feed.options] that are names of files: they are found as all others are.
	FileOptions []string

	// Account names what the upstream counts f's connections by, also where f says what it shares: feeds for which the
	// name is the same must share. It is shown to people: it holds no secret. nil: each feed is an account of its own,
	// unless it says otherwise.
	Account func(f *Feed) string

	// Check looks at the topics and options of a feed, if these and its name, protocol, URL and subject are good so
	// far. Keys are below the feed's, such as topics[3].mode (counted as in Feed.Topics) and options.auth_topics. It must
	// not change f. nil is no check.
	Check func(f *Feed, report Report)
}

// maxFile is the longest configuration, in bytes. It is what keeps the TOML parser from running out of stack on a file
// that is nothing but brackets.
const maxFile = strict.MiB

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
	l := &loader{Decoder: strict.New(path, opts.Env), opts: opts}
	c := defaults()
	if l.Decode(data, l.rootFields(c)) {
		l.finish(c)
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// loader makes a Config of one file. It is used once.
type loader struct {
	*strict.Decoder
	opts     LoadOptions
	accounts []*Account // every [account.NAME], right or wrong
	feeds    []*Feed    // every [[feed]], right or wrong
}

// finish does what needs more than one table.
func (l *loader) finish(c *Config) {
	if l.feeds == nil && l.Clean("feed") {
		l.Report("feed", "is missing: at least one [[feed]] is needed")
	}
	l.shareAccounts()
	for _, f := range l.feeds {
		l.checkLimits(f)
	}
	l.check(c)
	c.Accounts = l.accounts
}

// check runs the checks that were handed in, on the feeds that have no problem, and then holds the feeds against each
// other.
func (l *loader) check(c *Config) {
	for _, f := range l.feeds {
		if l.Clean(f.Key+".name", f.Key+".protocol", f.Key+".url", f.Key+".subject", f.Key+".topics", f.Key+".options") {
			c.Feeds = append(c.Feeds, f)
		}
	}
	for _, f := range c.Feeds {
		if p := l.opts.Protocols[f.Protocol]; p.Check != nil {
			p.Check(f, l.reportFeed(f))
		}
	}
	l.checkAccounts(c.Feeds)
	if l.opts.Check == nil {
		return
	}
	l.opts.Check(c, func(key, format string, args ...any) {
		for _, f := range c.Feeds {
			if below, ok := strings.CutPrefix(key, f.Key+"."); ok {
				l.reportFeed(f)(below, format, args...)
				return
			}
		}
		l.Report(key, format, args...)
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
		err = fmt.Errorf("%s is longer than %s", path, strict.FormatSize(int(limit)))
	}
	return data, err
}
