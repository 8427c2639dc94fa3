package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"feedmux/internal/config/strict"
	"feedmux/internal/config/topics"
	"feedmux/internal/regular"
)

// What is wrong with a configuration, and where: see package strict.
type (
	Problems = strict.Problems
	Problem  = strict.Problem
	Place    = strict.Place
	Report   = strict.Report
)

// Topic is a wanted topic. Where one is listed more than once, see MergeTopics.
type Topic = topics.Topic

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
	URLForm             string        // what a url looks like, for people, where URL is ""
	RefreshBefore       time.Duration // default; 0 is 5 minutes
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

	// HiddenOptions are those of [feed.options] whose values are never shown.
	HiddenOptions []string

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
const maxFile = regular.Large

// Load reads and checks the file at path. If its content is bad the error is a Problems; another error says that the
// file could not be read. It may be a pipe, which is waited for; a daemon that runs has LoadAgain.
func Load(path string, opts LoadOptions) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	data, err := regular.All(f, maxFile)
	return parse(path, data, err, opts)
}

// LoadAgain is Load of a regular file and of nothing else: it never waits.
func LoadAgain(path string, opts LoadOptions) (*Config, error) {
	data, err := regular.Read(path, maxFile)
	return parse(path, data, err, opts)
}

func parse(path string, data []byte, err error, opts LoadOptions) (*Config, error) {
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
	l.checkNATS(c)
	l.shareAccounts()
	for _, f := range l.feeds {
		l.checkLimits(f)
	}
	c.Feeds = slices.DeleteFunc(slices.Clone(l.feeds), func(f *Feed) bool {
		return !l.Clean(f.Key+".name", f.Key+".protocol", f.Key+".url", f.Key+".subject", f.Key+".topics", f.Key+".options")
	})
	l.checkProtocols()
	l.checkAccounts(c.Feeds)
	l.checkFeeds(c)
	c.Accounts = l.accounts
	c.origin = &origin{file: l.Decoder, protocols: l.opts.Protocols}
}

// checkProtocols has each feed's protocol look at it. Where something is wrong already, nothing more is said of it.
func (l *loader) checkProtocols() {
	for _, f := range l.feeds {
		if p := l.opts.Protocols[f.Protocol]; p.Check != nil {
			told := l.Told()
			p.Check(f, func(key, format string, args ...any) {
				if place := l.placeIn(f, key); !told.Concern(place.Key) {
					l.ReportAt(place, format, args...)
				}
			})
		}
	}
}

// checkFeeds has the caller hold the feeds of c against each other.
func (l *loader) checkFeeds(c *Config) {
	if l.opts.Check == nil {
		return
	}
	l.opts.Check(c, func(key, format string, args ...any) {
		for _, f := range c.Feeds {
			if below, ok := strings.CutPrefix(key, f.Key+"."); ok {
				l.ReportAt(l.placeIn(f, below), format, args...)
				return
			}
		}
		l.Report(key, format, args...)
	})
}
