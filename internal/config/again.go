package config

import (
	"slices"

	"feedmux/internal/config/strict"
	"feedmux/internal/config/topics"
)

// RunTime is the Place of a topic that no file lists.
func RunTime() Place { return Place{Key: topics.RunTime} }

// ReadTopics reads a topics_file.
func ReadTopics(path string) ([]Topic, error) { return topics.Read(path) }

// DecodeTopic reads a topic of a feed of protocol p that stands in no file: a string, or a table as JSON or TOML decoders make
// it. What its protocol says of it only WithTopics tells. An error is a Problems, with keys below topic.
func DecodeTopic(p Protocol, v any) (Topic, error) { return topics.One(p.TopicKeys, v) }

// MergeTopics makes one list of several, those that count for more first: Feed.Listed, Feed.FromFile, and those of the run
// time. Of each name it leaves one, at its first place, with the highest priority of all; the first one with options
// is the one whose options count, and whose Place it has. One that has other options than an earlier one is a problem: the
// error is then a Problems, and the list is good without it.
func MergeTopics(p Protocol, lists ...[]Topic) ([]Topic, error) {
	merged, clashes := topics.Merge(p.Label, lists...)
	problems := strict.New("", nil)
	for _, c := range clashes {
		problems.ReportAt(c.Topic.Place, "%q has other options at %s", c.Topic.Name, c.First)
	}
	return merged, problems.Err()
}

// WithTopics is c with other topics: for each feed that is named, all that it is to have. They are checked just as they are
// when a file is loaded: with what is listed, and with the subjects of all feeds. An error is a Problems; that of a topic is at
// the topic's Place. c must be one that was loaded, with these options; it is not changed, and both may be used.
func (c *Config) WithTopics(opts LoadOptions, wanted map[string][]Topic) (*Config, error) {
	l := &loader{Decoder: c.origin.file.Again(), opts: opts, accounts: c.Accounts}
	with := *c
	with.Feeds = slices.Clone(c.Feeds)
	for i, f := range c.Feeds {
		if list, ok := wanted[f.Name]; ok {
			g := *f
			g.Topics = list
			with.Feeds[i] = &g
			l.feeds = append(l.feeds, &g)
		}
	}
	if len(l.feeds) != len(wanted) {
		return nil, Problems{{Place: RunTime(), Message: "there are topics for a feed that is not there"}}
	}
	for _, f := range l.feeds {
		l.checkLimits(f)
	}
	l.checkProtocols()
	l.checkFeeds(&with)
	if err := l.Err(); err != nil {
		return nil, err
	}
	return &with, nil
}
