package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/conn"
	"feedmux/internal/credential"
	"feedmux/internal/protocol"
	"feedmux/internal/resume"
	"feedmux/internal/secret"
	"feedmux/internal/subject"
	"feedmux/internal/tally"
	"feedmux/internal/topic"
	"feedmux/pool"
	"feedmux/shard"
)

// feed is one upstream and what belongs to it.
type feed struct {
	name   string
	pool   *pool.Pool
	source Source
	secret *secret.Secret // nil: it has none
	expiry *expiry        // nil: nobody knows when the secret dies
	stream *resume.Stream // nil: its upstream keeps nothing
}

func (d *Daemon) newFeed(f *config.Feed) (made feed, err error) {
	dialect, ok := d.Dialects[f.Protocol]
	if !ok {
		return feed{}, fmt.Errorf("protocol %q is not known", f.Protocol)
	}
	subjects, err := dialect.SubjectsOf(f)
	if err != nil {
		return feed{}, err
	}
	placement, err := Placement(f)
	if err != nil {
		return feed{}, err
	}
	overflow, err := overflowOf(f)
	if err != nil {
		return feed{}, err
	}
	made = feed{name: f.Name, secret: secretOf(f, d.Log)}
	if made.source, err = dialect.SourceOf(f, kept{d.state, stateFile("names", f.Name)}, d.Log.With("feed", f.Name)); err != nil {
		return feed{}, err
	}
	p, err := dialect.New(f, made.secret)
	if err != nil {
		return feed{}, err
	}
	share, err := d.accounts.share(f, p.Limits(), d.state, d.Log)
	if err != nil {
		return feed{}, err
	}
	var known *credential.Credential
	if made.secret != nil {
		known = &credential.Credential{}
	}
	if dialect.TokenDies != nil {
		dies := func(after time.Time) time.Time { return dialect.TokenDies(f, after) }
		if !dies(d.started).IsZero() {
			made.expiry = newExpiry(f.Name, madeAt(f), dies, d.Log)
		}
	}
	sink := d.core.Feed(f.Name)
	branch := brancher(p, subjects, sink)
	o := conn.Options{
		Feed:           f.Name,
		Protocol:       p,
		Share:          share,
		Branch:         branch,
		Credential:     known,
		Connections:    f.Limits.Connections - f.Limits.Reserve,
		SubscribeBatch: f.Limits.SubscribeBatch,
		SubscribeRate:  Window(f.Limits.SubscribeRate),
		DialTimeout:    f.Dial.Timeout,
		PingInterval:   f.Ping.Interval,
		PingJitter:     f.Ping.Jitter,
		PingTimeout:    f.Ping.Timeout,
		Silence:        f.Ping.Silence,
		Backoff:        backoffOf(f, p.Limits()),
		MaxMessage:     f.MaxMessage,
		MaxAge:         f.MaxAge,
		Seed:           seed(),
	}
	if r, ok := p.(protocol.Resumer); ok {
		o.Tally = new(tally.Counter)
		at := positions{d.state, f.Name, dialect.scope(f)}
		at.tellOthers(d.Log)
		made.stream = resume.New(resume.Options{
			Feed:      f.Name,
			Protocol:  r,
			Taker:     sink.(interface{ Taker() topic.Taker }).Taker(),
			Client:    &http.Client{Transport: transport()},
			Start:     dialect.start(f),
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
		Note:                dialect.Note,
		TopicsPerConnection: f.Limits.TopicsPerConnection,
		Placement:           placement,
		Overflow:            overflow,
		Dwell:               f.Dwell,
		Last:                d.lastSnapshot(f.Name),
	})
	if err == nil {
		made.pool.Want(made.source.Wanted())
	}
	return made, err
}

// brancher makes the forms of topics for what their events bring.
func brancher(p protocol.Protocol, subjects Subjects, sink pool.Sink) func(*topic.Topic, [][]byte) (*topic.Topic, error) {
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

// transport is how a feed's upstream is asked over HTTP.
func transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxConnsPerHost:     2,
		IdleConnTimeout:     time.Minute,
	}
}

// watch looks, until ctx ends, at what of the feed may change.
func (f *feed) watch(ctx context.Context, running *sync.WaitGroup, log *slog.Logger) {
	running.Go(func() { f.source.Watch(ctx, func() { f.pool.Want(f.source.Wanted()) }) })
	if f.expiry != nil {
		running.Go(func() { f.expiry.run(ctx) })
	}
	if f.secret == nil {
		return
	}
	running.Go(func() {
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
