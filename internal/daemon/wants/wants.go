// Package wants works out what feeds want: what their configuration lists, what their files of topics list, and what was added
// at run time; and which of that can be wanted together. It changes nothing.
package wants

import (
	"context"
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
// It fails where c is bad without any, and once ctx ends. However many are bad, it costs a few looks at all of them, as long as
// what is wrong is said of the topic that is wrong.
func (r Rules) WithGood(ctx context.Context, c *config.Config, f *config.Feed, added additions.List) (with *config.Config, bad []additions.Bad, err error) {
	if with, err = r.with(c, f, nil); err != nil || len(added) == 0 {
		return with, nil, err
	}
	if all, err := r.with(c, f, added); err == nil {
		return all, nil, nil
	}
	rest, bad := r.sift(c, f, added)
	_, more, err := rest.Good(ctx, func(part additions.List) error {
		now, err := r.with(c, f, part)
		if err == nil {
			with = now
		}
		return err
	})
	return with, append(bad, more...), err
}

// WithFile is WithGood of c where the file of a feed lists topics.
func (r Rules) WithFile(ctx context.Context, c *config.Config, feed string, topics []config.Topic, added additions.List) (*config.Config, []additions.Bad, error) {
	f := *FeedOf(c, feed)
	f.FromFile = topics
	with, bad, err := r.WithGood(ctx, c, &f, added)
	if err == nil {
		FeedOf(with, feed).FromFile = topics // the feed is new, as with is
	}
	return with, bad, err
}

// Changed is c in which the run-time topics of f are after, and which of them are left out. It fails where one of topics, which
// somebody asks for, cannot be wanted beside the others, or is in the way of one that is. Those that are left out already, out,
// may stay so.
func (r Rules) Changed(ctx context.Context, c *config.Config, f *config.Feed, after additions.List, out []additions.Bad, topics []config.Topic) (
	now *config.Config, bad []additions.Bad, err error,
) {
	now, bad, err = r.WithGood(ctx, c, f, after)
	if err != nil || len(bad) == 0 {
		return now, bad, err
	}
	may := make(map[string]bool, len(out))
	for _, b := range out {
		may[b.Topic] = true
	}
	for _, t := range topics {
		delete(may, t.Name)
	}
	for _, b := range bad {
		if !may[b.Topic] {
			return nil, nil, b.Err
		}
	}
	return now, bad, nil
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

// Still are the topics of f that are called as names say, and that it wants all the same: files list them.
func Still(f *config.Feed, names []string) (list []config.Topic) {
	named := make(map[string]bool, len(names))
	for _, name := range names {
		named[name] = true
	}
	for _, t := range f.Topics {
		if t.Place.File != "" && named[t.Name] {
			list = append(list, t)
		}
	}
	return list
}

// FeedOf is the feed of that name in c, which has it.
func FeedOf(c *config.Config, name string) *config.Feed {
	return c.Feeds[slices.IndexFunc(c.Feeds, func(f *config.Feed) bool { return f.Name == name })]
}
