package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"feedmux/internal/additions"
	"feedmux/internal/config"
	"feedmux/internal/control"
	"feedmux/internal/control/local"
	"feedmux/internal/daemon/answer"
	"feedmux/internal/daemon/shelf"
	"feedmux/internal/daemon/wants"
)

// rules are what every configuration is checked against.
func (d *Daemon) rules() wants.Rules { return wants.Rules(d.LoadOptions) }

// withAdded is c with the run-time topics of all feeds; those that can no longer be wanted beside the others are left out and
// said, but kept: another configuration may have room for them. It fails where c is bad by itself, and once ctx ends.
func (d *Daemon) withAdded(ctx context.Context, c *config.Config) (now *config.Config, out map[string][]additions.Bad, err error) {
	all := make(map[string][]config.Topic, len(c.Feeds)) // what is named is checked by its protocol
	for _, f := range c.Feeds {
		all[f.Name] = f.Topics
	}
	if now, err = c.WithTopics(d.LoadOptions, all); err != nil {
		return nil, nil, err
	}
	out = make(map[string][]additions.Bad)
	for _, f := range c.Feeds {
		if now, out[f.Name], err = d.rules().WithGood(ctx, now, f, d.added(f.Name)); err != nil {
			return nil, nil, err
		}
		d.sayLeftOut(f.Name, out[f.Name])
	}
	return now, out, nil
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
	ctx, leave, err := d.enter(ctx, who)
	if err != nil {
		return r, err
	}
	defer leave()
	f := d.feeds.named(c.Feed)
	if f == nil {
		return r, d.noFeed(c.Feed)
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
	now, out, err := d.rules().Changed(ctx, d.counting.now, f.config, after, d.counting.out[f.name], topics)
	switch {
	case ctx.Err() != nil:
		return r, givenUp(ctx)
	case err != nil:
		return r, &local.Error{Kind: local.Conflict, Field: "topics", Text: err.Error()}
	}
	level := slog.LevelDebug
	if len(done.Added)+len(done.Removed)+len(done.Changed) > 0 {
		level = slog.LevelInfo
		if err := after.Save(f.name, d.additionsOf(f.name)); err != nil {
			return r, err // else a restart would undo it without a word
		}
	}
	d.counting.now, d.counting.added[f.name], d.counting.out[f.name] = now, after, out
	if c.Verb != local.Remove {
		f.pool.Pardon() // what was refused before is asked for again when it is added again
	}
	d.want(f, wants.FeedOf(now, f.name))
	d.Log.Log(ctx, level, "run-time topics changed", "feed", f.name, "by", who, "verb", string(c.Verb),
		"added", len(done.Added), "removed", len(done.Removed), "changed", len(done.Changed))
	s, err := f.pool.Status(ctx, false)
	if err != nil {
		return r, &local.Error{Kind: local.Away, Text: "the topics are changed, but the feed's loop does not answer: " + err.Error()}
	}
	wanted := len(f.source.Wanted())
	r = local.ChangeResult{
		Added: done.Added, Removed: done.Removed, Changed: done.Changed, Unchanged: done.Unchanged,
		Wanted: wanted, Unplaced: max(0, wanted-s.Capacity), Capacity: s.Capacity,
	}
	if c.Verb == local.Remove {
		r.NotWanted = done.Unchanged // those that are listed were told above
	}
	for _, t := range wants.Still(f.config, done.Removed) {
		r.Stay = append(r.Stay, local.ListedTopic{Topic: t.Name, Where: answer.Where(t)})
	}
	return r, nil
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
			return nil, &local.Error{Kind: local.BadRequest, Field: fmt.Sprintf("topics[%d]", i), Text: fmt.Sprintf("%q: %v", t.Name, err)}
		}
	}
	if c.Verb == local.Remove {
		return topics, nil
	}
	if i, below, err := d.rules().Refused(f, topics); err != nil {
		field := strings.TrimSuffix(fmt.Sprintf("topics[%d].%s", i, below), ".")
		return nil, &local.Error{Kind: local.BadRequest, Field: field, Text: err.Error()}
	}
	return topics, nil
}

func (d *Daemon) noFeed(name string) error {
	var there []string
	for _, f := range d.feeds.all() {
		there = append(there, f.name)
	}
	return &local.Error{Kind: local.NotFound, Field: "feed", Text: control.NoFeed(name, there)}
}

// Topics is local.Daemon's.
func (d *Daemon) Topics(ctx context.Context, feed string) ([]local.TopicEntry, error) {
	_, leave, err := d.enter(ctx, "somebody who lists topics")
	if err != nil {
		return nil, err
	}
	f := d.feeds.named(feed)
	if f == nil {
		leave()
		return nil, d.noFeed(feed)
	}
	c := f.config
	leave()

	s, err := f.pool.Status(ctx, true)
	if err != nil {
		return nil, &local.Error{Kind: local.Away, Text: err.Error()}
	}
	return answer.Topics(c, d.LoadOptions.Protocols[c.Protocol].Label, s), nil
}

var errEnds = errors.New("the daemon ends")

// enter lets who change what counts: they must leave, unless there is an error. The context ends with the daemon too.
func (d *Daemon) enter(ctx context.Context, who string) (within context.Context, leave func(), err error) {
	if err := d.gate.Enter(ctx, who); err != nil {
		return nil, nil, &local.Error{Kind: local.Away, Text: err.Error()}
	}
	if d.counting.ends {
		d.gate.Leave()
		return nil, nil, &local.Error{Kind: local.Away, Text: errEnds.Error()}
	}
	within, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.feeding, func() { end(errEnds) })
	return within, func() { stop(); end(nil); d.gate.Leave() }, nil
}

// givenUp is the answer to a change that ctx ended before anything was changed.
func givenUp(ctx context.Context) error {
	return &local.Error{Kind: local.Away, Text: "nothing was changed, there was no time for it: " + context.Cause(ctx).Error()}
}
