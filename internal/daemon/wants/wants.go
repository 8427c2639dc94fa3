// Package wants works out what feeds want: what their configuration lists, what their files of topics list, and what was added
// at run time; and which of that can be wanted together. It changes nothing.
package wants

import (
	"slices"

	"feedmux/internal/additions"
	"feedmux/internal/config"
)

// Rules are what a configuration was checked against. Theirs are the methods; the configurations that they are given were
// loaded, and those that they return are new.
type Rules config.LoadOptions

// with is c in which a feed wants what it lists, then what its file lists, then what was added. An error is a
// config.Problems.
func (r Rules) with(c *config.Config, f *config.Feed, added additions.List) (*config.Config, error) {
	topics, err := config.MergeTopics(r.Protocols[f.Protocol], f.Listed, f.FromFile, added)
	if err != nil {
		return nil, err
	}
	return c.WithTopics(config.LoadOptions(r), map[string][]config.Topic{f.Name: topics})
}

// WithGood is c in which f wants what its files list, and those of added that can be wanted beside all else; and which cannot.
// It fails where c is bad without any.
func (r Rules) WithGood(c *config.Config, f *config.Feed, added additions.List) (with *config.Config, bad []additions.Bad, err error) {
	if with, err = r.with(c, f, nil); err != nil {
		return nil, nil, err
	}
	_, bad = added.Good(func(part additions.List) error {
		now, err := r.with(c, f, part)
		if err == nil {
			with = now
		}
		return err
	})
	return with, bad, nil
}

// WithFile is WithGood of c where the file of a feed lists topics.
func (r Rules) WithFile(c *config.Config, feed string, topics []config.Topic, added additions.List) (*config.Config, []additions.Bad, error) {
	f := *FeedOf(c, feed)
	f.FromFile = topics
	with, bad, err := r.WithGood(c, &f, added)
	if err == nil {
		FeedOf(with, feed).FromFile = topics // the feed is new, as with is
	}
	return with, bad, err
}

// Changed is c in which the run-time topics of f are after instead of before. It fails where one of topics, which somebody asks
// for, cannot be wanted beside the others, or is in the way of one that is. Those that are left out already may stay so.
func (r Rules) Changed(c *config.Config, f *config.Feed, before, after additions.List, topics []config.Topic) (*config.Config, error) {
	now, bad, err := r.WithGood(c, f, after)
	if err != nil || len(bad) == 0 {
		return now, err
	}
	_, were, err := r.WithGood(c, f, before)
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool)
	for _, b := range were {
		out[b.Topic] = true
	}
	for _, t := range topics {
		delete(out, t.Name)
	}
	for _, b := range bad {
		if !out[b.Topic] {
			return nil, b.Err
		}
	}
	return now, nil
}

// Listed finds the first of topics that f wants because a file says so, and says where, so that nothing that is said at run time
// takes it away. Of those that were added too, what was added may go. -1: there is none.
func Listed(f *config.Feed, added additions.List, topics []config.Topic) (which int, at config.Place) {
	listed := make(map[string]config.Place)
	for _, t := range slices.Concat(f.Listed, f.FromFile) {
		if _, there := listed[t.Name]; !there {
			listed[t.Name] = t.Place
		}
	}
	for _, t := range added {
		delete(listed, t.Name)
	}
	for i, t := range topics {
		if at, there := listed[t.Name]; there {
			return i, at
		}
	}
	return -1, at
}

// FeedOf is the feed of that name in c, which has it.
func FeedOf(c *config.Config, name string) *config.Feed {
	return c.Feeds[slices.IndexFunc(c.Feeds, func(f *config.Feed) bool { return f.Name == name })]
}
