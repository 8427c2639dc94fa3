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
	"feedmux/internal/daemon/shelf"
	"feedmux/internal/daemon/wants"
	"feedmux/internal/topicfile"
	"feedmux/shard"
)

// rules are what every configuration is checked against.
func (d *Daemon) rules() wants.Rules { return wants.Rules(d.LoadOptions) }

// withAdded is c with the run-time topics of all feeds; those that can no longer be wanted beside the others are left out and
// said, but kept: another configuration may have room for them. It fails where c is bad by itself.
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
		var bad []additions.Bad
		if now, bad, err = d.rules().WithGood(now, f, d.added(f.Name)); err != nil {
			return nil, err
		}
		d.sayLeftOut(f.Name, bad)
	}
	return now, nil
}

// sayLeftOut logs which run-time topics of a feed do not count, though they are kept.
func (d *Daemon) sayLeftOut(feed string, bad []additions.Bad) {
	if len(bad) > 0 {
		d.Log.Warn("run-time topics are left out: they cannot be wanted beside the others", "feed", feed,
			"topics", len(bad), "first", bad[0].Topic, "error", bad[0].Err)
	}
}

// added are the run-time topics of a feed. Whoever is in the gate may ask.
func (d *Daemon) added(feed string) additions.List {
	l, known := d.counting.added[feed]
	if !known {
		var err error
		if l, err = additions.Load(d.additionsOf(feed)); err != nil {
			d.Log.Warn("the run-time topics of the last run are lost", "feed", feed, "error", err)
		}
		d.counting.added[feed] = l
	}
	return l
}

func (d *Daemon) additionsOf(feed string) shelf.Value {
	return shelf.Value{Dir: d.state, Kind: "topics", Name: feed}
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
		if i, at := wants.Listed(f.config, before, topics); i >= 0 {
			return r, &local.Error{Kind: local.Conflict, Field: fmt.Sprintf("topics[%d]", i),
				Text: fmt.Sprintf("%s is listed in %s:%d: take it out there", topics[i].Name, at.File, at.Line)}
		}
		after, done = before.Remove(topics)
	case local.Set:
		after, done = before.Set(topics)
	default:
		return r, &local.Error{Kind: local.BadRequest, Text: fmt.Sprintf("%q is not known: there are add, remove and set", c.Verb)}
	}
	now, err := d.rules().Changed(d.counting.now, f.config, before, after, topics)
	if err != nil {
		return r, &local.Error{Kind: local.Conflict, Field: "topics", Text: err.Error()}
	}
	if len(done.Added)+len(done.Removed)+len(done.Changed) > 0 {
		if err := after.Save(f.name, d.additionsOf(f.name)); err != nil {
			return r, err // else a restart would undo it without a word
		}
	}
	d.counting.now, d.counting.added[f.name] = now, after
	if c.Verb != local.Remove {
		f.pool.Pardon() // what was refused before is asked for again when it is added again
	}
	f.want(wants.FeedOf(now, f.name))
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

// follow begins to follow f's file of topics, if there is one, until Run ends or f.unfollow is called.
func (d *Daemon) follow(f *feed) {
	f.unfollow()
	file := f.config.TopicsFile
	if file == "" {
		f.unfollow = func() {}
		f.file.Store(nil)
		return
	}
	ctx, unfollow := context.WithCancel(d.feeding)
	f.unfollow = unfollow
	follower := topicfile.New(topicfile.Options[config.Topic]{
		File: file,
		Read: config.ReadTopics,
		Name: func(t config.Topic) string { return t.Name },
		Alone: func(look func()) {
			if d.enter(ctx) == nil { // else it ends, or nobody follows this file any more
				defer d.gate.leave()
				look()
			}
		},
		Now:  func() []config.Topic { return f.config.FromFile },
		Take: func(topics []config.Topic) error { return d.takeFile(f, topics) },
		Log:  d.Log.With("feed", f.name),
	})
	f.file.Store(follower)
	f.watching.Go(func() { follower.Watch(ctx) })
}

// held says in a sentence that f's file of topics is not taken as it is; "": it is.
func (f *feed) held() string {
	if follower := f.file.Load(); follower != nil {
		return follower.Held()
	}
	return ""
}

// takeFile lets f want what its file says now. The caller is in the gate.
func (d *Daemon) takeFile(f *feed, topics []config.Topic) error {
	if slices.EqualFunc(topics, f.config.FromFile, func(a, b config.Topic) bool { return a.Name == b.Name }) {
		return nil
	}
	before := len(f.config.FromFile)
	loaded, _, err := d.rules().WithFile(d.counting.loaded, f.name, topics, nil)
	if err != nil {
		return err // a restart would find it bad
	}
	now, bad, err := d.rules().WithFile(d.counting.now, f.name, topics, d.added(f.name))
	if err != nil {
		return err
	}
	d.sayLeftOut(f.name, bad)
	d.counting.loaded, d.counting.now = loaded, now
	f.want(wants.FeedOf(now, f.name))
	d.Log.Info("the topics file has changed", "feed", f.name, "file", f.config.TopicsFile, "topics", len(topics), "before", before)
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
