package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/config"
	"feedmux/internal/conn"
	"feedmux/internal/control"
	"feedmux/internal/sink"
	"feedmux/internal/subject"
	"feedmux/limiter"
	"feedmux/pool"
	"feedmux/shard"
)

// turnWithin is how long a loop may take to answer before it counts as stuck.
const turnWithin = 2 * time.Second

// daemon is everything that runs for one configuration. Its fields up to the blank line are given; the rest is made by
// start.
type daemon struct {
	config *config.Config
	state  string // the state directory
	log    *slog.Logger

	embedded *sink.Embedded // nil with an external NATS
	http     net.Listener   // nil where it is off
	core     *sink.Core
	feeds    []feed
	started  time.Time
}

type feed struct {
	name string
	pool *pool.Pool
}

// start makes everything and opens what others connect to, but runs nothing yet. On an error nothing is left open.
func (d *daemon) start() (err error) {
	d.started = time.Now()
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.config.HTTP.Listen != "" {
		if d.http, err = net.Listen("tcp", d.config.HTTP.Listen); err != nil {
			return fmt.Errorf("http.listen: %w", err)
		}
	}
	if err = d.startNATS(); err != nil {
		return err
	}
	for _, f := range d.config.Feeds {
		p, err := d.newPool(f)
		if err != nil {
			return fmt.Errorf("feed %s: %w", f.Name, err)
		}
		p.Want(wantedOf(f))
		d.feeds = append(d.feeds, feed{f.Name, p})
	}
	return nil
}

// close ends what start opened.
func (d *daemon) close() {
	if d.http != nil {
		d.http.Close()
	}
	if d.embedded != nil {
		d.embedded.Shutdown()
	}
}

func (d *daemon) startNATS() error {
	c := d.config.NATS
	o := sink.Options{URL: c.URL, Name: c.Name, Buffer: int64(c.Buffer), Headers: sink.Headers(c.Headers), Log: d.log}
	if c.IsEmbedded() {
		roots, err := d.subjectRoots()
		if err != nil {
			return err
		}
		store := c.Embedded.StoreDir
		if store == "" {
			store = filepath.Join(d.state, "nats")
		}
		d.embedded, err = sink.StartEmbedded(sink.EmbeddedOptions{
			Listen: c.Embedded.Listen, StoreDir: store, Roots: roots, Log: d.log,
		})
		if err != nil {
			return fmt.Errorf("nats.embedded: %w", err)
		}
		o.URL, o.Connect = "", d.embedded.Connect()
	}
	d.core = sink.NewCore(o)
	return nil
}

// subjectRoots are the first tokens of all subjects that feeds publish on.
func (d *daemon) subjectRoots() (roots []string, err error) {
	for _, f := range d.config.Feeds {
		t, err := subject.Parse(f.Subject)
		if err != nil {
			return nil, err
		}
		roots = append(roots, t.Root())
	}
	return roots, nil
}

func (d *daemon) newPool(f *config.Feed) (*pool.Pool, error) {
	template, err := subject.Parse(f.Subject)
	if err != nil {
		return nil, err
	}
	p, err := newProtocol(f, d.log)
	if err != nil {
		return nil, err
	}
	placement, err := placementOf(f)
	if err != nil {
		return nil, err
	}
	return pool.New(pool.Options{
		Conn: conn.Options{
			Feed:           f.Name,
			Protocol:       p,
			Account:        account.New(f.Account, f.Limits.Connections, windowOf(f.Dial.Rate), f.Dial.InFlight),
			Connections:    f.Limits.Connections,
			SubscribeBatch: f.Limits.SubscribeBatch,
			SubscribeRate:  windowOf(f.Limits.SubscribeRate),
			DialTimeout:    f.Dial.Timeout,
			PingInterval:   f.Ping.Interval,
			PingJitter:     f.Ping.Jitter,
			PingTimeout:    f.Ping.Timeout,
			Silence:        f.Ping.Silence,
			Backoff:        limiter.Backoff{Base: f.Backoff.Base, Max: f.Backoff.Max, Settle: f.Backoff.Settle},
			MaxMessage:     f.MaxMessage,
			Seed:           seed(),
		},
		Name: f.Protocol,
		Sink: d.core.Feed(f.Name),
		Log:  d.log,

		Subject:             func(t shard.Topic) (string, error) { return template.Subject(f.Name, string(t)) },
		NoticeSubject:       noticeSubject(f.Name),
		TopicsPerConnection: f.Limits.TopicsPerConnection,
		Placement:           placement,
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

func seed() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}

// run keeps everything going until ctx ends, then ends it in the order in which events flow: upstream connections
// first, then what waits for NATS, then NATS itself. ready is called once all loops run.
func (d *daemon) run(ctx context.Context, ready func()) error {
	defer d.close()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	publishing, stopPublishing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	defer stopPublishing()

	var pools, others sync.WaitGroup
	failures := make(chan error, 2+len(d.feeds)) // one for each goroutine: none waits
	others.Go(func() {
		if err := d.core.Run(publishing); err != nil {
			d.log.Warn("ending with events that NATS did not take", "error", err)
		}
	})
	if d.http != nil {
		others.Go(func() {
			if err := control.Serve(serving, d.http, d.handler(), d.log); err != nil {
				failures <- err
			}
		})
	}
	feeding, stopFeeding := context.WithCancel(ctx)
	defer stopFeeding()
	for _, f := range d.feeds {
		pools.Go(func() {
			if err := f.pool.Run(feeding); err != nil {
				failures <- fmt.Errorf("feed %s: %w", f.name, err)
			}
		})
	}
	ready()

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-failures: // a part that should run for ever has ended
	}
	stopFeeding()
	pools.Wait()
	stopPublishing()
	stopServing()
	others.Wait()
	for {
		select {
		case err := <-failures:
			failure = errors.Join(failure, err)
		default:
			return failure
		}
	}
}

// turning says whether every loop answers, and if not, which one.
func (d *daemon) turning(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	for _, f := range d.feeds {
		if _, err := f.pool.Status(ctx, false); err != nil {
			return fmt.Errorf("the loop of feed %s does not turn: %w", f.name, err)
		}
	}
	return nil
}

// stateDir is where the daemon keeps what must outlive it.
func stateDir() (string, error) {
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "feedmux"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a state directory: %w: set STATE_DIRECTORY", err)
	}
	return filepath.Join(home, ".local", "state", "feedmux"), nil
}
