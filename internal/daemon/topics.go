package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"feedmux/internal/additions"
	"feedmux/internal/config"
	"feedmux/internal/control/local"
	"feedmux/internal/topicfile"
	"feedmux/shard"
)

// merged is all that a feed is to want: what its configuration lists, then its file, then what was added.
func (d *Daemon) merged(f *config.Feed, added additions.List) ([]config.Topic, error) {
	return config.MergeTopics(d.LoadOptions.Protocols[f.Protocol], f.Listed, f.FromFile, added)
}

// withTopics is c in which a feed wants what it lists and what was added. An error is a config.Problems.
func (d *Daemon) withTopics(c *config.Config, f *config.Feed, added additions.List) (*config.Config, error) {
	topics, err := d.merged(f, added)
	if err != nil {
		return nil, err
	}
	return c.WithTopics(d.LoadOptions, map[string][]config.Topic{f.Name: topics})
}

// withAdded is c with the run-time topics of all feeds; those that can no longer be wanted beside the others are left out and
// said, but kept: the next configuration may have room for them. It fails where c is bad by itself.
func (d *Daemon) withAdded(c *config.Config) (*config.Config, error) {
	all := make(map[string][]config.Topic, len(c.Feeds)) // what is named is checked by its protocol
	for _, f := range c.Feeds {
		all[f.Name] = f.Topics
	}
	now, err := c.WithTopics(d.LoadOptions, all)
	if err != nil {
		return nil, err
	}
	for _, f := range c.Feeds {
		_, bad := d.added(f.Name).Good(func(part additions.List) error {
			with, err := d.withTopics(now, f, part)
			if err == nil {
				now = with
			}
			return err
		})
		for _, err := range bad {
			d.Log.Warn("a run-time topic is left out", "feed", f.Name, "error", err)
		}
	}
	return now, nil
}

// added are the run-time topics of a feed, as they were saved last.
func (d *Daemon) added(feed string) additions.List {
	l, err := additions.Load(d.additionsOf(feed))
	if err != nil {
		d.Log.Warn("the run-time topics of the last run are lost", "feed", feed, "error", err)
	}
	return l
}

func (d *Daemon) additionsOf(feed string) kept { return kept{d.state, stateFile("topics", feed)} }

// feedOf is the feed of that name in c, which has it.
func feedOf(c *config.Config, name string) *config.Feed {
	return c.Feeds[slices.IndexFunc(c.Feeds, func(f *config.Feed) bool { return f.Name == name })]
}

// ChangeTopics is local.Daemon's.
func (d *Daemon) ChangeTopics(ctx context.Context, who string, c local.Change) (r local.ChangeResult, err error) {
	if err := d.enter(ctx); err != nil {
		return r, err
	}
	defer d.gate.leave()
	f := d.feeds.named(c.Feed)
	if f == nil {
		return r, noFeed(c.Feed)
	}
	topics, err := d.decode(f.config, c)
	if err != nil {
		return r, err
	}
	before := d.added(f.name)
	var after additions.List
	var done additions.Done
	switch c.Verb {
	case local.Add:
		after, done = before.Add(topics)
	case local.Remove:
		if err := ofFiles(f.config, before, topics); err != nil {
			return r, err
		}
		after, done = before.Remove(topics)
	case local.Set:
		after, done = before.Set(topics)
	default:
		return r, &local.Error{Kind: local.BadRequest, Text: fmt.Sprintf("%q is not known: there are add, remove and set", c.Verb)}
	}
	now, err := d.withTopics(d.counting.now, f.config, after)
	if err != nil {
		return r, &local.Error{Kind: local.Conflict, Field: "topics", Text: err.Error()}
	}
	if len(done.Added)+len(done.Removed)+len(done.Changed) > 0 {
		if err := after.Save(f.name, d.additionsOf(f.name)); err != nil {
			return r, err // else a restart would undo it without a word
		}
	}
	d.counting.now = now
	f.want(feedOf(now, f.name))
	if c.Verb != local.Remove {
		f.pool.Pardon() // what was refused is asked for again when it is added again
	}
	d.Log.Info("run-time topics changed", "feed", f.name, "by", who, "verb", string(c.Verb),
		"added", len(done.Added), "removed", len(done.Removed), "changed", len(done.Changed))
	s, err := f.pool.Status(ctx, false)
	if err != nil {
		return r, &local.Error{Kind: local.Away, Text: "the topics are changed, but the feed's loop does not answer: " + err.Error()}
	}
	wanted := len(f.source.Wanted())
	return local.ChangeResult{
		Added: done.Added, Removed: done.Removed, Changed: done.Changed, Unchanged: done.Unchanged,
		Wanted: wanted, Unplaced: max(0, wanted-s.Capacity), Capacity: s.Capacity,
	}, nil
}

// decode reads the topics of a request.
func (d *Daemon) decode(f *config.Feed, c local.Change) ([]config.Topic, error) {
	topics := make([]config.Topic, len(c.Topics))
	for i, t := range c.Topics {
		if c.Verb == local.Remove {
			topics[i].Name = t.Name
			continue
		}
		var err error
		if topics[i], err = config.DecodeTopic(d.LoadOptions.Protocols[f.Protocol], t.Value()); err != nil {
			return nil, &local.Error{Kind: local.BadRequest, Field: fmt.Sprintf("topics[%d]", i), Text: err.Error()}
		}
	}
	return topics, nil
}

// ofFiles is an error where one of the topics is wanted because a file says so: nothing that is said at run time undoes that.
func ofFiles(f *config.Feed, added additions.List, topics []config.Topic) error {
	listed := make(map[string]config.Place)
	for _, t := range slices.Concat(f.Listed, f.FromFile) {
		if _, there := listed[t.Name]; !there {
			listed[t.Name] = t.Place
		}
	}
	for _, t := range added {
		delete(listed, t.Name) // what was added is taken away, the rest stays
	}
	for i, t := range topics {
		if at, there := listed[t.Name]; there {
			return &local.Error{Kind: local.Conflict, Field: fmt.Sprintf("topics[%d]", i),
				Text: fmt.Sprintf("%s is listed in %s:%d: take it out there", t.Name, at.File, at.Line)}
		}
	}
	return nil
}

func noFeed(name string) error {
	return &local.Error{Kind: local.NotFound, Field: "feed", Text: fmt.Sprintf("there is no feed %q", name)}
}

// Topics is local.Daemon's.
func (d *Daemon) Topics(ctx context.Context, feed string) ([]local.TopicEntry, error) {
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	f := d.feeds.named(feed)
	if f == nil {
		d.gate.leave()
		return nil, noFeed(feed)
	}
	c := f.config
	d.gate.leave()

	s, err := f.pool.Status(ctx, true)
	if err != nil {
		return nil, &local.Error{Kind: local.Away, Text: err.Error()}
	}
	lines := make(map[shard.Topic]int, len(s.Ledger))
	for i, line := range s.Ledger {
		lines[line.Topic] = i
	}
	label := d.LoadOptions.Protocols[c.Protocol].Label
	entries := make([]local.TopicEntry, len(c.Topics))
	for i, t := range c.Topics {
		entries[i] = local.TopicEntry{Topic: t.Name, Priority: t.Priority, Options: t.Options, From: local.FromRunTime}
		if t.Place.File != "" {
			entries[i].Where = fmt.Sprintf("%s:%d", t.Place.File, t.Place.Line)
			entries[i].From = local.FromConfig
			if t.Place.File == c.TopicsFile {
				entries[i].From = local.FromFile
			}
		}
		name := t.Name
		if label != nil {
			name = label(t)
		}
		if at, there := lines[shard.Topic(name)]; there {
			entries[i].State, entries[i].Reason = s.Ledger[at].State.String(), s.Ledger[at].Reason
		}
	}
	slices.SortStableFunc(entries, func(a, b local.TopicEntry) int { return cmp.Compare(b.Priority, a.Priority) })
	return entries, nil
}

// follow begins to follow f's file of topics, if there is one, until ctx ends or f.unfollow is called.
func (d *Daemon) follow(ctx context.Context, f *feed) {
	file := f.config.TopicsFile
	f.unfollow()
	if file == "" {
		f.unfollow = func() {}
		f.file.Store(nil)
		return
	}
	ctx, f.unfollow = context.WithCancel(ctx)
	follower := topicfile.New(topicfile.Options[config.Topic]{
		File: file,
		Read: config.ReadTopics,
		Name: func(t config.Topic) string { return t.Name },
		Now: func() (topics []config.Topic) {
			if d.enter(ctx) == nil {
				defer d.gate.leave()
				topics = f.config.FromFile
			}
			return topics
		},
		Take: func(topics []config.Topic) error { return d.takeFile(ctx, f, topics) },
		Log:  d.Log.With("feed", f.name),
	})
	f.file.Store(follower)
	f.running.Go(func() { follower.Watch(ctx) })
}

// held says in a sentence that f's file of topics is not taken as it is; "": it is.
func (f *feed) held() string {
	if follower := f.file.Load(); follower != nil {
		return follower.Held()
	}
	return ""
}

// takeFile lets f want what its file says now.
func (d *Daemon) takeFile(ctx context.Context, f *feed, topics []config.Topic) error {
	if d.enter(ctx) != nil {
		return nil // it ends
	}
	defer d.gate.leave()
	if slices.EqualFunc(topics, f.config.FromFile, func(a, b config.Topic) bool { return a.Name == b.Name }) {
		return nil
	}
	c := *f.config
	c.FromFile = topics
	now, err := d.withTopics(d.counting.now, &c, d.added(f.name))
	if err != nil {
		return err
	}
	before := len(f.config.FromFile)
	g := feedOf(now, f.name)
	g.FromFile = topics
	d.counting.now = now
	f.want(g)
	d.Log.Info("the topics file has changed", "feed", f.name, "file", g.TopicsFile, "topics", len(topics), "before", before)
	return nil
}

var errEnds = errors.New("the daemon ends")

// enter lets the caller change what counts. It must leave the gate afterwards, unless there is an error.
func (d *Daemon) enter(ctx context.Context) error {
	if err := d.gate.enter(ctx); err != nil {
		return &local.Error{Kind: local.Away, Text: "somebody else is changing something: " + err.Error()}
	}
	if d.counting.ends {
		d.gate.leave()
		return &local.Error{Kind: local.Away, Text: errEnds.Error()}
	}
	return nil
}
