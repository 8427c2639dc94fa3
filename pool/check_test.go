package pool

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/conn"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// memory is a Sink that keeps everything.
type memory struct {
	mu      sync.Mutex
	events  []savedEvent
	notices []savedNotice
}

type savedEvent struct {
	subject, body string
	slot, life    int
	seq           uint64
}

type savedNotice struct{ subject, body string }

func (m *memory) Batch() topic.Batch { return m }

func (m *memory) Add(e *Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, savedEvent{e.Topic.Subject, string(e.Payload), e.Slot, e.Life, e.Seq})
}

func (m *memory) Flush() {}

func (m *memory) Topic(*Topic) {}

func (m *memory) Notice(subject string, n Notice) {
	body, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notices = append(m.notices, savedNotice{subject, string(body)})
}

func (m *memory) take() (events []savedEvent, notices []savedNotice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events, notices = m.events, m.notices
	m.events, m.notices = nil, nil
	return events, notices
}

// testOptions are those of a feed of Twitch PubSub, with the documented defaults.
func testOptions(t testing.TB, sink Sink, net *sim.Network) Options {
	t.Helper()
	return Options{
		Name: "twitch-pubsub", Log: slog.New(slog.DiscardHandler), Sink: sink,
		Conn: conn.Options{
			Feed:        "f",
			Protocol:    pubsub.New(pubsub.Options{URL: "ws://upstream.test"}),
			Share:       share(10, limiter.Window{N: 1, Per: 2 * time.Second}, 1),
			Connections: 10,
			Settings: conn.Settings{
				SubscribeBatch: 20,
				SubscribeRate:  limiter.Window{N: 10, Per: time.Second},
				DialTimeout:    15 * time.Second,
				PingInterval:   45 * time.Second,
				PingJitter:     0.1,
				PingTimeout:    10 * time.Second,
				Backoff:        limiter.Backoff{Base: time.Second, Max: 2 * time.Minute, Settle: time.Minute},
				MaxMessage:     1 << 20,
			},
			Seed:        1,
			DialContext: net.DialContext,
		},
		Subject:             func(w shard.Wanted) (string, error) { return "feed.f." + string(w.Topic), nil },
		NoticeSubject:       func(k NoticeKind, topic shard.Topic) string { return fmt.Sprintf("feedmux.%s.f.%s", k, topic) },
		TopicsPerConnection: 50,
	}
}

// share is all of an account.
func share(connections int, dials limiter.Window, inFlight int) *account.Share {
	return shareBy(chance{1, limiter.Backoff{Base: time.Second, Max: 2 * time.Minute, Settle: time.Minute}}, connections, dials, inFlight)
}

// chance is how long an account waits between probes.
type chance struct {
	seed    uint64
	backoff limiter.Backoff
}

func shareBy(c chance, connections int, dials limiter.Window, inFlight int) *account.Share {
	s, err := account.New(account.Options{
		Name: "upstream.test", Connections: connections, Dials: dials, InFlight: inFlight, Hold: 10 * time.Second,
		Seed: c.seed, Backoff: c.backoff,
	}).Join("f", connections)
	if err != nil {
		panic(err)
	}
	return s
}

func topics(n int) []shard.Wanted {
	list := make([]shard.Wanted, n)
	for i := range list {
		list[i].Topic = shard.Topic(fmt.Sprintf("video-playback-by-id.%d", i))
	}
	return list
}

// scene is a pool at work against a simulated upstream, in a synctest bubble.
type scene struct {
	t    *testing.T
	net  *sim.Network
	up   *twitch.PubSub
	sink *memory
	pool *Pool
	end  context.CancelFunc
	done chan struct{}
}

// play starts a pool that wants topics. change may alter its options. The scene ends with the test: whatever a pool
// must leave behind is checked then.
func play(t *testing.T, o twitch.PubSubOptions, wanted []shard.Wanted, change func(*Options)) *scene {
	t.Helper()
	s := &scene{t: t, net: sim.NewNetwork(), up: twitch.NewPubSub(o), sink: &memory{}, done: make(chan struct{})}
	upstream, endUpstream := context.WithCancel(t.Context())
	served := make(chan struct{})
	l := s.net.Listen() // before the first dial
	go func() {
		defer close(served)
		if err := s.up.Serve(upstream, l); err != nil {
			t.Errorf("simulator: %v", err)
		}
	}()
	opts := testOptions(t, s.sink, s.net)
	if change != nil {
		change(&opts)
	}
	s.start(opts, wanted, func() {
		endUpstream()
		<-served
		if unfired := s.up.Unfired(); len(unfired) > 0 {
			t.Errorf("faults that were planned and did not happen: %v", unfired)
		}
	})
	return s
}

// start runs the pool until the test ends. after is called when it has returned.
func (s *scene) start(o Options, wanted []shard.Wanted, after func()) {
	s.t.Helper()
	p, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.pool = p
	p.Want(wanted)
	ctx, end := context.WithCancel(s.t.Context())
	s.end = end
	go func() {
		defer close(s.done)
		if err := p.Run(ctx); err != nil {
			s.t.Errorf("pool: %v", err)
		}
	}()
	s.t.Cleanup(func() {
		end()
		<-s.done
		after()
	})
}

// status asks the pool when nothing moves any more at this moment.
func (s *scene) status() Status {
	s.t.Helper()
	synctest.Wait()
	status, err := s.pool.Status(s.t.Context(), true)
	if err != nil {
		s.t.Fatal(err)
	}
	return status
}

// confirmed waits for n confirmed topics and says how long that took.
func (s *scene) confirmed(n int, within time.Duration) time.Duration {
	s.t.Helper()
	begin := time.Now()
	for {
		synctest.Wait()
		status, err := s.pool.Status(s.t.Context(), false)
		if err != nil {
			s.t.Fatal(err)
		}
		got := status.Topics.Confirmed
		if got == n {
			return time.Since(begin)
		}
		if time.Since(begin) > within {
			s.t.Fatalf("%d topics confirmed after %v, want %d", got, time.Since(begin), n)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// topic is one line of the ledger.
func (s *scene) topic(name shard.Topic) TopicStatus {
	s.t.Helper()
	for _, t := range s.status().Ledger {
		if t.Topic == name {
			return t
		}
	}
	s.t.Fatalf("%s is not in the ledger", name)
	return TopicStatus{}
}

// gaps are the gap notices since the last look, by phase.
func (s *scene) gaps() (open, closed []GapNotice) {
	s.t.Helper()
	_, notices := s.sink.take()
	for _, n := range notices {
		var g GapNotice
		if !strings.HasPrefix(n.subject, "feedmux.gap.") {
			continue
		}
		if err := json.Unmarshal([]byte(n.body), &g); err != nil {
			s.t.Fatal(err)
		}
		switch g.Phase {
		case GapOpen:
			open = append(open, g)
		case GapClosed:
			closed = append(closed, g)
		default:
			s.t.Errorf("gap notice %s", n.body)
		}
	}
	return open, closed
}
