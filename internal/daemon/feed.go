package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/config"
	"feedmux/internal/conn"
	"feedmux/internal/credential"
	"feedmux/internal/daemon/dialect"
	"feedmux/internal/protocol"
	"feedmux/internal/resume"
	"feedmux/internal/secret"
	"feedmux/internal/subject"
	"feedmux/internal/tally"
	"feedmux/internal/topic"
	"feedmux/internal/topicfile"
	"feedmux/pool"
	"feedmux/shard"
)

// feed is one upstream and what belongs to it.
type feed struct {
	name   string
	began  *config.Feed // when it was made: what waits for a restart is held against it
	limits protocol.Limits
	pool   *pool.Pool
	share  *account.Share
	source dialect.Source
	secret *secret.Secret // nil: it has none
	expiry *expiry        // nil: nobody knows when the secret dies
	stream *resume.Stream // nil: its upstream keeps nothing
	way    *way           // how the stream asks; nil: there is none

	// Whoever is in the gate may use it.
	config   *config.Feed // what counts now
	unfollow func()       // follows the file of topics no more
	end      func()       // stops all that runs

	file    atomic.Pointer[topicfile.Follower[config.Topic]] // nil: there is no file of topics
	running sync.WaitGroup
}

// newFeed makes a feed of what counts. Its configuration was checked.
func (d *Daemon) newFeed(f *config.Feed) (made *feed, err error) {
	of, ok := d.Dialects[f.Protocol]
	if !ok {
		return nil, fmt.Errorf("protocol %q is not known", f.Protocol)
	}
	subjects, err := of.SubjectsOf(f)
	if err != nil {
		return nil, err
	}
	overflow, err := overflowOf(f)
	if err != nil {
		return nil, err
	}
	settings, err := settingsOf(f)
	if err != nil {
		return nil, err
	}
	made = &feed{name: f.Name, began: f, config: f, secret: secretOf(f, d.Log), unfollow: func() {}, end: func() {}}
	if made.source, err = of.SourceOf(f, kept{d.state, stateFile("names", f.Name)}, d.Log.With("feed", f.Name)); err != nil {
		return nil, err
	}
	p, err := of.New(f, made.secret)
	if err != nil {
		return nil, err
	}
	made.limits = p.Limits()
	settings.Conn.Backoff = backoffOf(f, made.limits)
	if made.share, err = d.accounts.share(f, made.limits, d.state, d.Log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.accounts.part(made.share)
		}
	}()
	var known *credential.Credential
	if made.secret != nil {
		known = credential.New(made.secret.Refused)
	}
	if of.TokenDies != nil {
		dies := func(after time.Time) time.Time { return of.TokenDies(f, after) }
		if !dies(d.started).IsZero() {
			made.expiry = newExpiry(f.Name, madeAt(f), f.Auth.RefreshBefore, dies, d.Log)
		}
	}
	sink := d.core.Feed(f.Name)
	branch := brancher(p, subjects, sink)
	o := conn.Options{
		Feed:        f.Name,
		Protocol:    p,
		Share:       made.share,
		Branch:      branch,
		Credential:  known,
		Connections: f.Limits.Connections - f.Limits.Reserve,
		Settings:    settings.Conn,
		Seed:        seed(),
	}
	if r, ok := p.(protocol.Resumer); ok {
		o.Tally = new(tally.Counter)
		at := positions{d.state, f.Name, of.ScopeOf(f)}
		at.tellOthers(d.Log)
		made.way = new(way)
		made.way.use(transport(f, settings))
		made.stream = resume.New(resume.Options{
			Feed:      f.Name,
			Protocol:  r,
			Taker:     sink.(interface{ Taker() topic.Taker }).Taker(),
			Client:    &http.Client{Transport: made.way},
			Start:     of.StartOf(f),
			Positions: at,
			Branch:    branch,
			Seed:      seed(),
			Log:       d.Log,
			Tally:     o.Tally,
		})
		o.Stream = made.stream
	}
	made.pool, err = pool.New(pool.Options{
		Conn:                o,
		Name:                f.Protocol,
		Sink:                sink,
		Log:                 d.Log,
		Subject:             subjects.Topic,
		NoticeSubject:       noticeSubject(f.Name),
		Note:                of.Note,
		TopicsPerConnection: settings.TopicsPerConnection,
		Placement:           settings.Placement,
		Overflow:            overflow,
		Dwell:               settings.Dwell,
		Last:                d.lastSnapshot(f.Name),
	})
	if err != nil {
		d.core.Forget(f.Name)
		return made, err
	}
	made.pool.Want(made.source.Wanted())
	return made, nil
}

// begin makes a feed and starts it, while others run.
func (d *Daemon) begin(f *config.Feed) error {
	made, err := d.newFeed(f)
	if err != nil {
		return err
	}
	d.feeds.set(append(d.feeds.all(), made))
	d.start(made)
	return nil
}

// start starts what belongs to a feed, until Run ends or stop is called.
func (d *Daemon) start(f *feed) {
	ctx, end := context.WithCancel(d.feeding)
	f.end = end
	f.watch(ctx, d.Log)
	d.follow(ctx, f)
	f.running.Go(func() {
		if err := f.pool.Run(ctx); err != nil {
			d.fail(fmt.Errorf("feed %s: %w", f.name, err))
		}
	})
}

// stop ends a feed while others run, and forgets it: its account keeps its places until they are free, and its dials.
func (d *Daemon) stop(f *feed) {
	f.end()
	f.running.Wait()
	d.core.Forget(f.name)
	d.accounts.part(f.share)
	d.feeds.set(slices.DeleteFunc(d.feeds.all(), func(g *feed) bool { return g == f }))
}

// want lets f want what a configuration says, which was checked.
func (f *feed) want(c *config.Feed) {
	f.config = c
	f.source.Follow(c)
	f.pool.Want(f.source.Wanted())
}

// brancher makes the forms of topics for what their events bring.
func brancher(p protocol.Protocol, subjects dialect.Subjects, sink pool.Sink) func(*topic.Topic, [][]byte) (*topic.Topic, error) {
	asides := make(map[shard.Topic]bool)
	if n, ok := p.(protocol.Narrator); ok {
		for _, name := range n.Asides() {
			asides[name] = true
		}
	}
	return func(t *topic.Topic, values [][]byte) (*topic.Topic, error) {
		subject := subjects.Event
		if asides[t.Name] {
			subject = subjects.Aside
		}
		to, err := subject(t.Name, values)
		if err != nil {
			return nil, err
		}
		form := t.Form(t.Options, to)
		sink.Topic(form)
		return form, nil
	}
}

// watch looks, until ctx ends, at what of the feed may change.
func (f *feed) watch(ctx context.Context, log *slog.Logger) {
	// The secret first: a command that gives it has more time there than a dial has.
	f.watchSecret(ctx, log)
	f.running.Go(func() { f.source.Watch(ctx, func() { f.pool.Want(f.source.Wanted()) }) })
	if f.expiry != nil {
		f.running.Go(func() { f.expiry.run(ctx) })
	}
}

func (f *feed) watchSecret(ctx context.Context, log *slog.Logger) {
	if f.secret == nil {
		return
	}
	f.running.Go(func() {
		f.secret.Watch(ctx, func() {
			log.Info("the secret has changed", "feed", f.name)
			if f.expiry != nil {
				f.expiry.renewed()
			}
			f.pool.CredentialChanged()
		})
	})
}

// noticeSubject gives the subjects of a feed's notices. It cannot fail for a topic whose own subject is good.
func noticeSubject(feed string) func(pool.NoticeKind, shard.Topic) string {
	return func(kind pool.NoticeKind, t shard.Topic) string {
		if kind == pool.NoticeFeed {
			return subject.FeedNotice(feed)
		}
		subject, err := subject.Notice(string(kind), feed, string(t))
		if err != nil {
			return ""
		}
		return subject
	}
}
