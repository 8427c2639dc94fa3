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
	"feedmux/internal/daemon/believed"
	"feedmux/internal/daemon/dialect"
	"feedmux/internal/daemon/expiry"
	"feedmux/internal/daemon/network"
	"feedmux/internal/daemon/settings"
	"feedmux/internal/daemon/shelf"
	"feedmux/internal/protocol"
	"feedmux/internal/resume"
	"feedmux/internal/secret"
	"feedmux/internal/tally"
	"feedmux/internal/topic"
	"feedmux/internal/topicfile"
	"feedmux/pool"
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
	expiry *expiry.Expiry // nil: nobody knows when the secret dies
	before atomic.Int64   // the configured refresh_before of the secret
	stream *resume.Stream // nil: its upstream keeps nothing
	way    *network.Way   // how the stream asks; nil: there is none

	// Whoever is in the gate may use it.
	config   *config.Feed // what counts now
	unfollow func()       // follows the file of topics no more
	unwatch  func()       // looks at nothing that may change any more, but for that file
	end      func()       // ends all that runs

	file     atomic.Pointer[topicfile.Follower[config.Topic]] // nil: there is no file of topics
	watching sync.WaitGroup
	running  sync.WaitGroup
}

// newFeed makes a feed of what counts. Its configuration was checked. last is what the run before left of it; nil: nothing
// that is to be told.
func (d *Daemon) newFeed(f *config.Feed, last *pool.Snapshot) (made *feed, err error) {
	of, ok := d.Dialects[f.Protocol]
	if !ok {
		return nil, fmt.Errorf("protocol %q is not known", f.Protocol)
	}
	subjects, err := of.SubjectsOf(f)
	if err != nil {
		return nil, err
	}
	overflow, err := settings.Overflow(f)
	if err != nil {
		return nil, err
	}
	made = &feed{
		name: f.Name, began: f, config: f, secret: secretOf(f, d.Log), unfollow: func() {},
	}
	if made.source, err = of.SourceOf(f, shelf.Value{Dir: d.state, Kind: "names", Name: f.Name}, d.Log.With("feed", f.Name)); err != nil {
		return nil, err
	}
	p, err := of.New(f, made.secret)
	if err != nil {
		return nil, err
	}
	made.before.Store(int64(f.Auth.RefreshBefore))
	made.limits = p.Limits()
	with, err := settings.Of(f, made.limits)
	if err != nil {
		return nil, err
	}
	a := settings.Account(f)
	a.Backoff, a.Seed, a.Journal = with.Conn.Backoff, seed(), shelf.NewJournal(f.Account, d.state, d.Log)
	share, err := d.accounts.Share(f.Name, f.Limits.Connections, a)
	if err != nil {
		return nil, err
	}
	made.share = share
	defer func() {
		if err != nil {
			d.accounts.Part(share)
		}
	}()
	var known *credential.Credential
	if made.secret != nil {
		known = credential.New(made.secret.Refused)
	}
	if of.TokenDies != nil {
		dies := func(after time.Time) time.Time { return of.TokenDies(f, after) }
		if !dies(d.started).IsZero() {
			made.expiry = expiry.New(f.Name, expiry.MadeAt(f), f.Auth.RefreshBefore, dies, d.Log)
		}
	}
	sink := d.core.Feed(f.Name)
	branch := subjects.Brancher(p, sink)
	o := conn.Options{
		Feed:        f.Name,
		Protocol:    p,
		Share:       made.share,
		Branch:      branch,
		Credential:  known,
		Connections: f.Limits.Connections - f.Limits.Reserve,
		Settings:    with.Conn,
		Seed:        seed(),
	}
	if r, ok := p.(protocol.Resumer); ok {
		o.Tally = new(tally.Counter)
		at := shelf.Positions{Dir: d.state, Feed: f.Name, Scope: of.ScopeOf(f)}
		at.TellOthers(d.Log)
		made.way = new(network.Way)
		made.way.Use(network.Transport(f, with.Conn))
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
		NoticeSubject:       dialect.NoticeSubject(f.Name),
		Note:                of.Note,
		TopicsPerConnection: with.TopicsPerConnection,
		Placement:           with.Placement,
		Overflow:            overflow,
		Dwell:               with.Dwell,
		Last:                last,
	})
	if err != nil {
		d.core.Forget(f.Name)
		return nil, err
	}
	made.pool.Want(made.source.Wanted())
	return made, nil
}

// begin makes a feed and starts it, while others run. What an earlier run of it left is nothing that anybody waited for.
func (d *Daemon) begin(f *config.Feed) error {
	made, err := d.newFeed(f, nil)
	if err != nil {
		return err
	}
	d.feeds.set(append(d.feeds.all(), made))
	d.start(made)
	return nil
}

// start starts what belongs to a feed, until Run ends or stop is called.
func (d *Daemon) start(f *feed) {
	var running, watching context.Context
	running, f.end = context.WithCancel(d.feeding)
	watching, f.unwatch = context.WithCancel(running)
	f.watch(watching, d.Log)
	d.keepFile(f.config)
	d.follow(f)
	f.running.Go(func() {
		if err := f.pool.Run(running); err != nil {
			d.fail(fmt.Errorf("feed %s: %w", f.name, err))
		}
	})
}

// stop ends feeds while others run, and forgets them: their accounts keep their places until they are free, and their dials.
// Nobody asks them anything any more; their topics are told to be removed.
func (d *Daemon) stop(gone []*feed) {
	d.feeds.set(slices.DeleteFunc(d.feeds.all(), func(f *feed) bool { return slices.Contains(gone, f) }))
	var ending sync.WaitGroup
	for _, f := range gone {
		ending.Go(func() {
			f.unfollow()
			f.unwatch()
			f.watching.Wait()
			f.wantNothing(d.feeding)
			f.end()
			f.running.Wait()
			f.keepPosition(d.Log)
		})
	}
	ending.Wait()
	for _, f := range gone {
		d.core.Forget(f.name)
		d.accounts.Part(f.share)
	}
}

// wantNothing takes every topic back, so that each is told to be removed and no gap stays open. It waits until that is done,
// for as long as a loop may take to answer.
func (f *feed) wantNothing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	f.pool.Want(nil)
	askUntil(ctx, func() bool {
		s, err := f.pool.Status(ctx, false)
		return err != nil || s.Topics.Wanted == 0
	})
}

// askUntil asks now and then, until it is done or ctx ends.
func askUntil(ctx context.Context, done func() bool) {
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for !done() {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// keepPosition saves how far NATS has what the upstream keeps. It is called when the pool has ended.
func (f *feed) keepPosition(log *slog.Logger) {
	if f.stream == nil {
		return
	}
	if err := f.stream.KeepPosition(); err != nil {
		log.Warn("the next run will repeat some events", "feed", f.name, "error", err)
	}
}

// want lets f want what a configuration says, which was checked.
func (d *Daemon) want(f *feed, c *config.Feed) {
	if c.TopicsFile != f.config.TopicsFile || !believed.Same(c.FromFile, f.config.FromFile) {
		d.keepFile(c)
	}
	f.config = c
	f.source.Follow(c)
	f.pool.Want(f.source.Wanted())
}

// watch looks, until ctx ends, at what of the feed may change.
func (f *feed) watch(ctx context.Context, log *slog.Logger) {
	// The secret first: a command that gives it has more time there than a dial has.
	f.watchSecret(ctx, log)
	f.watching.Go(func() { f.source.Watch(ctx, func() { f.pool.Want(f.source.Wanted()) }) })
	if f.expiry != nil {
		f.watching.Go(func() { f.expiry.Run(ctx) })
	}
}

func (f *feed) watchSecret(ctx context.Context, log *slog.Logger) {
	if f.secret == nil {
		return
	}
	f.watching.Go(func() {
		f.secret.Watch(ctx, func() {
			log.Info("the secret has changed", "feed", f.name)
			if f.expiry != nil {
				f.expiry.Renewed()
			}
			f.pool.CredentialChanged()
		})
	})
}
