package walk

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/limiter"
	"feedmux/pool"
	"feedmux/shard"
)

const (
	hold                = 10 * time.Second
	pingInterval        = 20 * time.Second
	pingTimeout         = 5 * time.Second
	topicsPerConnection = 4
	maxMessage          = 32 << 10
	oversize            = 40 << 10
)

// options are what a walk's world is made of.
type options struct {
	connections int // of the account
	feeds       []feed
	dials       limiter.Window
	inFlight    int
	backoff     limiter.Backoff
	batch       int
	maxAge      time.Duration
	placement   shard.Placement
	overflow    pool.Overflow
	buffer      int64
	upstream    twitch.PubSubOptions
}

type feed struct {
	name        string
	connections int // its share
	reserve     int // of these, kept for hand-overs
	names       []string
}

// world is everything on a walk: an upstream, a NATS server, and the run that is between them.
type world struct {
	t   *testing.T
	r   *rand.Rand
	o   options
	log *slog.Logger

	network *sim.Network // to the upstream
	up      *twitch.PubSub
	nats    *server
	disk    disk
	run     *run
	crashed []*run
	wishes  [][]shard.Wanted // by feed

	begun   time.Time
	trace   []string
	ailing  []span
	deaths  []time.Time
	crashes []time.Time
	wanted  map[string][]span
	deaf    map[string]time.Time // by the client's address: nothing more reaches the client
	cutOff  map[string]bool      // by the same: something is lost in one direction at least

	mu       sync.Mutex
	absences map[string][]time.Time
	returns  map[string][]time.Time
	capped   []int        // connections that take fewer topics
	behind   map[int]bool // connections that got events late or none
}

// newWorld makes a world in which seed decides everything but the order of what happens at the same moment.
func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, r: rand.New(rand.NewPCG(seed, 7)), log: slog.New(slog.DiscardHandler),
		network: sim.NewNetwork(), disk: disk{last: make(map[string]pool.Snapshot)}, begun: time.Now(),
		wanted: make(map[string][]span), deaf: make(map[string]time.Time), cutOff: make(map[string]bool), absences: make(map[string][]time.Time), returns: make(map[string][]time.Time),
		behind: make(map[int]bool),
	}
	w.draw(seed)
	w.up = twitch.NewPubSub(w.o.upstream)
	l := w.network.Listen()
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := w.up.Serve(ctx, l); err != nil {
			t.Errorf("upstream: %v", err)
		}
	})
	w.nats = startServer(t)
	t.Cleanup(func() {
		stop()
		serving.Wait()
	})
	w.wishes = make([][]shard.Wanted, len(w.o.feeds))
	for i := range w.o.feeds {
		w.wish(i, w.draft(i))
	}
	w.run = w.start()
	return w
}

// draw chooses what the world is made of.
func (w *world) draw(seed uint64) {
	o, r := &w.o, w.r
	o.connections = 2 + r.IntN(3)
	o.dials = []limiter.Window{{N: 1, Per: 2 * time.Second}, {N: 3, Per: 5 * time.Second}, {N: 2, Per: time.Second}}[r.IntN(3)]
	o.inFlight = 1 + r.IntN(2)
	o.backoff = limiter.Backoff{Base: time.Second, Max: 15 * time.Second, Settle: 20 * time.Second}
	o.batch = 1 + r.IntN(4)
	if r.IntN(3) == 0 {
		o.maxAge = 30 * time.Second
	}
	o.placement = []shard.Placement{shard.Pack, shard.Spread}[r.IntN(2)]
	if r.IntN(3) == 0 {
		o.overflow = pool.Turns
	}
	o.buffer = 1 << 20
	if r.IntN(2) == 0 {
		o.buffer = 8 << 10
	}
	shares := []int{o.connections}
	if o.connections >= 4 && r.IntN(2) == 0 {
		shares = []int{2, o.connections - 2}
	}
	for i, n := range shares {
		f := feed{name: string(rune('f' + i)), connections: n}
		if n > 1 && r.IntN(2) == 0 {
			f.reserve = 1
		}
		for k := range n*topicsPerConnection + 3 {
			f.names = append(f.names, fmt.Sprintf("raid.%d%02d", i, k))
		}
		o.feeds = append(o.feeds, f)
	}
	u := &o.upstream
	u.Options = upstream.Options{Seed: seed, Rate: 0.5 + 3*r.Float64()}
	u.Record, u.TopicsPerConnection, u.OversizeBytes = true, topicsPerConnection, oversize
	u.BadTopics = []string{"bad.*"}
	u.ReconnectGrace = 10 * time.Second
	if r.IntN(4) == 0 {
		u.ResponseDelay = 200 * time.Millisecond
	}
	if r.IntN(4) == 0 {
		u.ServerErrors, u.ResponseLoss, u.PongLoss = 0.1, 0.1, 0.1
	}
}

// noteState is told what became of a topic.
func (w *world) noteState(topic, state string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch state {
	case "unplaced", "removed":
		w.absences[topic] = append(w.absences[topic], time.Now())
	case "confirmed":
		w.returns[topic] = append(w.returns[topic], time.Now())
	}
}

// history puts together what the observer may look at.
func (w *world) history() *history {
	w.t.Helper()
	synctest.Wait()
	h := &history{
		limit: w.o.connections, dials: w.o.dials, end: time.Now(), topics: make(map[string]*topicHistory),
		frames: make(map[int][]time.Time), ailing: w.ailing, behind: w.behind, unheard: make(map[int]bool), deaths: w.deaths, crashes: w.crashes,
	}
	for _, f := range w.o.feeds {
		for _, name := range f.names {
			h.topics[name] = &topicHistory{wanted: w.wanted[name], absences: w.absences[name], returns: w.returns[name]}
		}
	}
	h.hushed = w.o.upstream.ResponseDelay > 0 || w.o.upstream.ResponseLoss > 0
	conns := w.up.Conns()
	h.sockets, conns = w.sockets(conns)
	numbers := w.addSent(h)
	w.addDelivered(h, numbers)
	w.addListens(h, conns)
	for id := range h.frames {
		slices.SortFunc(h.frames[id], time.Time.Compare)
	}
	return h
}

// sockets gives every dial as the upstream counts it, and conns with the end that their clients made of them.
func (w *world) sockets(conns []twitch.ConnRecord) ([]socket, []twitch.ConnRecord) {
	var list []socket
	accepted := make(map[string]*twitch.ConnRecord, len(conns)) // by the client's address
	for i := range conns {
		accepted[conns[i].Remote] = &conns[i]
	}
	connected := 0
	for _, s := range w.network.Sockets() {
		k := socket{begin: s.Dialled, free: s.ServerEnd}
		k.dialled = earliest(s.ClientEnd, s.ServerEnd)
		if !s.ClientEnd.IsZero() {
			free := s.ClientEnd.Add(hold)
			if s.Connected.IsZero() && s.ClientEnd.Equal(s.Dialled) {
				free = s.ClientEnd // refused: nothing was opened
			}
			for _, d := range w.deaths {
				if !d.Before(s.ClientEnd) {
					free = earliest(free, d) // nobody is left who knows of it
				}
			}
			k.free = earliest(k.free, free)
		}
		if !s.Connected.IsZero() {
			connected++
			c := accepted[s.Client]
			if c == nil {
				w.t.Errorf("the upstream did not accept %s", s.Client)
				continue
			}
			k.dialled = earliest(k.dialled, c.Upgraded)
			c.Ended = earliest(c.Ended, earliest(earliest(s.ClientEnd, s.ServerEnd), w.deaf[c.Remote]))
		}
		list = append(list, k)
	}
	if connected != len(conns) {
		w.t.Errorf("the network connected %d sockets and the upstream accepted %d", connected, len(conns))
	}
	return list, conns
}

// earliest is the earlier of two times, of which a zero one has not come.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// addSent adds what the upstream sent, and gives the number of each event by topic and body.
func (w *world) addSent(h *history) map[string]uint64 {
	sent, whole := w.up.TakeSent()
	if !whole {
		w.t.Error("more was sent than is recorded")
	}
	numbers := make(map[string]uint64)
	for _, e := range sent {
		t := h.topics[e.Topic]
		t.sent = append(t.sent, sentEvent{n: e.N, conn: e.Conn, at: e.At, long: len(e.Body) >= maxMessage})
		h.frames[e.Conn] = append(h.frames[e.Conn], e.At)
		numbers[e.Topic+" "+e.Body] = e.N
	}
	return numbers
}

func (w *world) addDelivered(h *history, numbers map[string]uint64) {
	for _, m := range w.nats.take() {
		words := strings.SplitN(m.subject, ".", 4)
		switch {
		case words[0] == "feed" && len(words) > 2:
			name := strings.Join(words[2:], ".")
			t := h.topics[name]
			if t == nil {
				w.t.Errorf("an event on %s", m.subject)
				continue
			}
			t.got = append(t.got, gotEvent{numbers[name+" "+string(m.body)], m.at})
		case words[1] == "gap":
			n := gapNotice{at: m.at}
			if err := json.Unmarshal(m.body, &n.GapNotice); err != nil {
				w.t.Errorf("%s: %v", m.subject, err)
				continue
			}
			if t := h.topics[string(n.Topic)]; t != nil {
				t.gaps = append(t.gaps, n)
			}
		}
	}
}

// addListens adds who was listened to on which socket, as far as something could come there.
func (w *world) addListens(h *history, conns []twitch.ConnRecord) {
	u := &w.o.upstream
	for _, c := range conns {
		h.unheard[c.ID] = w.cutOff[c.Remote]
		if u.ResponseLoss == 0 && u.ResponseDelay == 0 {
			for _, a := range c.Asks {
				h.frames[c.ID] = append(h.frames[c.ID], a.At)
			}
		}
		if u.PongLoss == 0 {
			h.frames[c.ID] = append(h.frames[c.ID], c.Pings...)
		}
		for _, l := range c.Listens {
			t := h.topics[l.Topic]
			if t == nil {
				continue // one that nobody can have
			}
			k := listen{span: span{l.From, earliest(l.To, c.Ended)}, conn: c.ID}
			k.silently = !k.to.IsZero() && k.to.Equal(w.deaf[c.Remote])
			if k.to.IsZero() || k.from.Before(k.to) || k.silently {
				k.since = l.From.Add(u.ResponseDelay)
				k.answered = u.ResponseLoss == 0 && (k.to.IsZero() || l.From.Add(u.ResponseDelay+lingers).Before(k.to))
				t.listens = append(t.listens, k)
			}
		}
	}
	for _, t := range h.topics {
		slices.SortStableFunc(t.listens, func(a, b listen) int { return a.from.Compare(b.from) })
		got := t.gotNumbers()
		for i := range t.listens {
			l := &t.listens[i]
			if l.answered {
				continue
			}
			for _, e := range t.sent {
				if e.conn == l.conn && l.has(e.at) && got[e.n] { // confirmed by an event
					l.answered, l.since = true, e.at
					break
				}
			}
		}
	}
}
