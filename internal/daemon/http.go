package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"feedmux/internal/control"
	"feedmux/internal/control/local"
	"feedmux/internal/daemon/answer"
	"feedmux/internal/daemon/expiry"
	"feedmux/internal/daemon/shelf"
	"feedmux/internal/history"
	"feedmux/internal/page"
	"feedmux/internal/sink/tap"
	"feedmux/pool"
	"feedmux/shard"
)

// shown is what can be seen of the daemon.
func (d *Daemon) shown() *control.Options {
	o := &control.Options{
		Feeds:    d.shownFeeds,
		Delivery: d.delivery,
		Ready:    func() float64 { return *d.ready.Load() },
		Notes:    d.notes,
		Pprof:    d.Config.HTTP.Pprof,
		Version:  d.Options.Version,
		Started:  d.started,
		Log:      d.Log,
		Reload: func() (good bool, at time.Time) {
			r := d.reloaded.Load()
			return r.Err == nil, r.At
		},
	}
	if host, _, err := net.SplitHostPort(d.Config.HTTP.Listen); err == nil {
		o.Hosts = []string{host}
	}
	return o
}

func (d *Daemon) shownFeeds() (list []control.Feed) {
	for _, f := range d.feeds.all() {
		list = append(list, d.shownFeed(f))
	}
	return list
}

// shownFeed is f. If it is taken away while somebody asks, there is nothing to be seen of it any more.
func (d *Daemon) shownFeed(f *feed) control.Feed {
	taken := func(err error) bool { return errors.Is(err, pool.ErrEnded) && d.feeding.Err() == nil }
	return control.Feed{
		Name: f.name,
		Status: func(ctx context.Context, ledger bool) (pool.Status, error) {
			s, err := f.pool.Status(ctx, ledger)
			if taken(err) {
				return pool.Status{Feed: f.name}, nil
			}
			return s, err
		},
		Topic: func(ctx context.Context, name shard.Topic) (line pool.TopicStatus, wanted bool, err error) {
			line, wanted, err = f.pool.Topic(ctx, name)
			if taken(err) {
				return line, false, nil
			}
			return line, wanted, err
		},
		TokenDies: func() time.Time { dies, _ := f.token(); return dies },
		TokenDue:  func() time.Time { _, due := f.token(); return due },
	}
}

// keptFeeds are those whose topics the next run is to know.
func (d *Daemon) keptFeeds() (list []shelf.Feed) {
	for _, f := range d.feeds.all() {
		list = append(list, shelf.Feed{Name: f.name, Pool: f.pool})
	}
	return list
}

// token is when the token dies, or died, that the feed dials with, and from when on it should have been replaced; zero: nobody
// knows.
func (f *feed) token() (dies, due time.Time) {
	if f.secret != nil {
		if s := f.secret.State(); !s.Expires.IsZero() { // only a command says that
			return s.Expires, expiry.Due(s.Since, s.Expires, time.Duration(f.before.Load()))
		}
	}
	if f.expiry != nil {
		return f.expiry.Times()
	}
	return time.Time{}, time.Time{}
}

// notes are what waits for somebody to do something, in sentences.
func (d *Daemon) notes() (list []string) {
	if note := d.reloaded.Load().Note(d.Path); note != "" {
		list = append(list, note)
	}
	if why := d.keeper.Failing(); why != "" {
		list = append(list, "the state directory cannot be written, so a restart would lose what is not in it (docs/troubleshooting.md: Disk full): "+why)
	}
	for _, f := range d.feeds.all() {
		if held := f.held(); held != "" {
			list = append(list, "feed "+f.name+": "+held)
		}
		if f.secret != nil {
			list = append(list, f.secretless(f.secret.State().Err)...)
		}
	}
	for _, c := range *d.waits.Load() {
		list = append(list, "waits for a restart: "+c.Key)
	}
	return list
}

// handler answers over HTTP and on the control socket.
func (d *Daemon) handler(o *control.Options) http.Handler {
	o.Page = page.New(page.Options{Report: o.Report, Hour: d.history.Feed})
	return control.Handler(*o)
}

func newHistory(o *control.Options) *history.Sampler {
	return history.New(func(ctx context.Context) (control.Report, error) { return o.Report(ctx, "", false) })
}

// Tail is local.Daemon's.
func (d *Daemon) Tail(_ context.Context, feed string, topics []string) (*tap.Stream, error) {
	if d.feeds.named(feed) == nil {
		return nil, d.noFeed(feed)
	}
	wanted := make(map[shard.Topic]bool, len(topics))
	for _, t := range topics {
		wanted[shard.Topic(t)] = true
	}
	return d.core.Tap().Subscribe(func(of string, t shard.Topic) bool {
		return of == feed && (len(wanted) == 0 || wanted[t])
	}), nil
}

var _ local.Daemon = (*Daemon)(nil)

// delivery is the sink's state as HTTP shows it.
func (d *Daemon) delivery(context.Context) (control.Delivery, error) {
	return answer.Delivery(d.core.Stats(), int64(d.Config.NATS.Buffer)), nil
}
