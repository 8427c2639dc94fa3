package walk

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"feedmux/internal/account"
	"feedmux/internal/conn"
	"feedmux/internal/credential"
	"feedmux/internal/notices"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim"
	"feedmux/internal/sink"
	"feedmux/internal/subject"
	"feedmux/limiter"
	"feedmux/pool"
	"feedmux/shard"
)

// keepEvery is how often the daemon keeps what must outlive it.
const keepEvery = 5 * time.Second

// disk is what outlives a run.
type disk struct {
	left     []notices.Left // notices that NATS was not known to have; guarded by mu
	mu       sync.Mutex
	attempts []account.Attempt
	last     map[string]pool.Snapshot // by feed
}

// run is the daemon's parts from a start to an end: an account, a pool for each feed, a sink.
type run struct {
	w     *world
	core  *sink.Core
	feeds []*pool.Pool

	stopPools, stopSink context.CancelFunc
	pools, sinks        sync.WaitGroup // those that end with each

	mu    sync.Mutex
	dead  bool // it crashed: nothing that it does reaches anybody
	conns []*sim.Conn
}

// start begins a run.
func (w *world) start() *run {
	r := &run{w: w}
	o := &w.o
	acc := account.New(account.Options{
		Name: "a", Connections: o.connections, Dials: o.dials, InFlight: o.inFlight, Hold: hold,
		Seed: w.r.Uint64(), Backoff: o.backoff, Journal: journal{r},
	})
	r.core = sink.NewCore(sink.Options{
		URL: "nats://127.0.0.1:4222", Name: "walk", Buffer: o.buffer, Headers: sink.HeadersMinimal,
		Start: w.r.Uint64(), Log: w.log,
		Connect: []nats.Option{nats.SetCustomDialer(natsDialer{r}), nats.SkipHostLookup()},
	})
	w.disk.mu.Lock()
	r.core.Restore(w.disk.left)
	w.disk.mu.Unlock()
	for i, f := range o.feeds {
		share, err := acc.Join(f.name, f.connections)
		if err != nil {
			w.t.Fatal(err)
		}
		p, err := pool.New(r.options(f, share))
		if err != nil {
			w.t.Fatal(err)
		}
		p.Want(w.wishes[i])
		r.feeds = append(r.feeds, p)
	}
	var feeding, publishing context.Context
	feeding, r.stopPools = context.WithCancel(context.Background())
	publishing, r.stopSink = context.WithCancel(context.Background())
	r.sinks.Go(func() { _ = r.core.Run(publishing) }) // what it left behind, the observer sees
	for i, p := range r.feeds {
		r.pools.Go(func() {
			if err := p.Run(feeding); err != nil {
				w.t.Errorf("feed %s: %v", o.feeds[i].name, err)
			}
		})
		r.pools.Go(func() { r.keep(feeding, o.feeds[i].name, p) })
	}
	return r
}

func (r *run) options(f feed, share *account.Share) pool.Options {
	o := &r.w.o
	var last *pool.Snapshot
	r.w.disk.mu.Lock()
	if s, ok := r.w.disk.last[f.name]; ok {
		last = &s
	}
	r.w.disk.mu.Unlock()
	return pool.Options{
		Name: "twitch-pubsub", Log: slog.New(slog.DiscardHandler), Sink: tap{r.core.Feed(f.name), r},
		Conn: conn.Options{
			Feed:        f.name,
			Protocol:    pubsub.New(pubsub.Options{URL: "ws://upstream.test", FullErrors: []string{"ERR_TOO_MANY_TOPICS"}}),
			Share:       share,
			Connections: f.connections - f.reserve,
			Settings: conn.Settings{
				SubscribeBatch: o.batch,
				SubscribeRate:  limiter.Window{N: 5, Per: time.Second},
				DialTimeout:    8 * time.Second,
				PingInterval:   pingInterval,
				PingJitter:     0.1,
				PingTimeout:    pingTimeout,
				Backoff:        o.backoff,
				MaxMessage:     maxMessage,
				MaxAge:         o.maxAge,
			},
			Credential:  new(credential.Credential),
			Seed:        r.w.r.Uint64(),
			DialContext: r.dialUpstream,
		},
		Subject: func(w shard.Wanted) (string, error) {
			return fmt.Sprintf("feed.%s.%s", f.name, subject.EncodeTopic(string(w.Topic))), nil
		},
		NoticeSubject: func(kind pool.NoticeKind, t shard.Topic) string {
			if kind == pool.NoticeFeed {
				return subject.FeedNotice(f.name)
			}
			s, err := subject.Notice(string(kind), f.name, string(t))
			if err != nil {
				panic(err)
			}
			return s
		},
		TopicsPerConnection: topicsPerConnection,
		Placement:           o.placement,
		Overflow:            o.overflow,
		Dwell:               20 * time.Second,
		Last:                last,
	}
}

// keep saves what must outlive the run, until the pool has ended or it crashed.
func (r *run) keep(feeding context.Context, name string, p *pool.Pool) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.save(name, p)
		case <-feeding.Done():
			return
		}
	}
}

func (r *run) save(name string, p *pool.Pool) {
	s, err := p.Snapshot(context.Background())
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead {
		r.w.disk.mu.Lock()
		defer r.w.disk.mu.Unlock()
		r.w.disk.last[name] = s.Since(r.core.Unconfirmed())
		r.w.disk.left = r.core.Unsent()
	}
}

// end ends the run as the daemon does: the pools, then the sink.
func (r *run) end() {
	r.stopPools()
	r.pools.Wait()
	r.stopSink()
	r.sinks.Wait()
	for i, p := range r.feeds {
		r.save(r.w.o.feeds[i].name, p)
	}
}

// crash ends the run between two instructions: its sockets are reset, and nothing that its goroutines do while they end
// reaches anybody.
func (r *run) crash() {
	r.mu.Lock()
	r.dead = true
	for _, c := range r.conns {
		c.Reset() // fails for those that are closed
	}
	r.mu.Unlock()
	r.stopPools()
	r.stopSink()
}

// wait waits for the goroutines of a run that crashed.
func (r *run) wait() {
	r.pools.Wait()
	r.sinks.Wait()
}

func (r *run) dial(ctx context.Context, n *sim.Network) (net.Conn, error) {
	if r.isDead() {
		return nil, syscall.ENETUNREACH
	}
	c, err := n.DialContext(ctx, "tcp", "peer.test:443")
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, c.(*sim.Conn))
	if r.dead {
		c.(*sim.Conn).Reset()
	}
	return c, nil
}

func (r *run) isDead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dead
}

func (r *run) dialUpstream(ctx context.Context, _, _ string) (net.Conn, error) {
	return r.dial(ctx, r.w.network)
}

// natsDialer dials the NATS server of a run's world.
type natsDialer struct{ r *run }

func (d natsDialer) Dial(_, _ string) (net.Conn, error) {
	return d.r.dial(context.Background(), d.r.w.nats.network)
}

// journal keeps a run's dials.
type journal struct{ r *run }

func (j journal) Load() ([]account.Attempt, error) {
	j.r.w.disk.mu.Lock()
	defer j.r.w.disk.mu.Unlock()
	return slices.Clone(j.r.w.disk.attempts), nil
}

func (j journal) Save(attempts []account.Attempt) {
	j.r.mu.Lock()
	defer j.r.mu.Unlock()
	if !j.r.dead {
		j.r.w.disk.mu.Lock()
		defer j.r.w.disk.mu.Unlock()
		j.r.w.disk.attempts = slices.Clone(attempts)
	}
}

// tap is a sink that tells the observer which topics have no place: a planned absence, whose notice may be merged away
// while it waits.
type tap struct {
	pool.Sink
	r *run
}

func (s tap) Notice(subject string, n pool.Notice) {
	if t, ok := n.(*pool.TopicNotice); ok && !s.r.isDead() {
		s.r.w.noteState(string(t.Topic), t.State)
	}
	s.Sink.Notice(subject, n)
}
