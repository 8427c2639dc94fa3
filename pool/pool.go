package pool

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"feedmux/internal/conn"
	"feedmux/shard"
)

// Pool is the connections of one feed.
type Pool struct {
	opts   Options
	wantMu sync.Mutex // one sender at a time for wanted

	wanted  chan []shard.Wanted // one slot, the newest wins
	queries chan query          // unbuffered: whoever asks waits
	news    chan conn.News      // unbuffered: conns wait for the pool, never the reverse

	// Owned by Run.
	conns      []*conn.Conn
	slots      []SlotStatus
	sent       [][]*conn.Topic // the newest order of each slot
	assignment shard.Assignment
	ledger     *ledger
	counters   Counters
	newest     []shard.Wanted // what was wanted last
	refusals   int            // topics refused that were not logged yet
	refusal    []any          // the first of them, for the log
	assignAt   time.Time      // when to assign again; zero: not before something changes
	ending     bool
}

// query asks the loop for a Status.
type query struct {
	ledger bool
	reply  chan Status // room for one: the loop never waits
}

// gatherRefusals is how long the place that a refusal frees stays empty: many come together, and each change of places
// looks at every wanted topic.
const gatherRefusals = 200 * time.Millisecond

// never is far enough for a timer.
const never = 24 * time.Hour

// New makes a pool. It does nothing until Run.
func New(o Options) (*Pool, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Pool{
		opts:    o,
		wanted:  make(chan []shard.Wanted, 1),
		queries: make(chan query),
		news:    make(chan conn.News),
		slots:   make([]SlotStatus, o.Conn.Connections),
		sent:    make([][]*conn.Topic, o.Conn.Connections),
		counters: Counters{
			Dials: make(map[string]uint64), Disconnects: make(map[conn.Cause]uint64),
		},
	}
	p.ledger = newLedger(&p.opts, rand.New(rand.NewPCG(o.Conn.Seed, o.Conn.Seed)).Uint64())
	return p, nil
}

// Want replaces the wanted topics, whole. It never waits, may be called at any time by any goroutine, and keeps topics,
// which must not change afterwards.
func (p *Pool) Want(topics []shard.Wanted) {
	p.wantMu.Lock()
	defer p.wantMu.Unlock()
	select {
	case <-p.wanted:
	default:
	}
	p.wanted <- topics
}

// Status asks the pool's loop what it knows; withLedger adds a line for each wanted topic. An error means that the loop
// did not turn before ctx ended.
func (p *Pool) Status(ctx context.Context, withLedger bool) (Status, error) {
	q := query{ledger: withLedger, reply: make(chan Status, 1)}
	select {
	case p.queries <- q:
		return <-q.reply, nil
	case <-ctx.Done():
		return Status{Feed: p.opts.Conn.Feed}, ctx.Err()
	}
}

// Run keeps the wanted topics confirmed until ctx ends, then closes every connection in the upstream's good manner. It
// returns after all of its goroutines.
func (p *Pool) Run(ctx context.Context) error {
	var conns sync.WaitGroup
	begin := time.Now()
	for i := range p.opts.Conn.Connections {
		c := conn.New(&p.opts.Conn, shard.Slot(i), p.news, begin)
		p.slots[i] = SlotStatus{Slot: shard.Slot(i), State: conn.Closed, Since: begin}
		p.conns = append(p.conns, c)
		conns.Go(func() { c.Run(ctx) })
	}
	stopped := make(chan struct{})
	go func() { // ends with the conns
		conns.Wait()
		close(stopped)
	}()

	timer := time.NewTimer(never)
	defer timer.Stop()
	for {
		select {
		case topics := <-p.wanted:
			p.onWant(topics, time.Now())
		case news := <-p.news:
			p.ending = ctx.Err() != nil
			p.ledger.silent = p.ending
			p.onNews(news, time.Now())
		case q := <-p.queries:
			q.reply <- p.status(q.ledger)
		case <-timer.C:
		case <-stopped:
			return nil
		}
		timer.Reset(time.Until(p.onTime(time.Now())))
	}
}

// onTime does what has come due and returns when it is next needed.
func (p *Pool) onTime(now time.Time) time.Time {
	wake := now.Add(never)
	if p.ending {
		return wake
	}
	pardoned, next := p.ledger.pardon(now)
	if pardoned || !p.assignAt.IsZero() && !now.Before(p.assignAt) {
		p.assign(now)
	}
	for _, t := range []time.Time{next, p.assignAt, p.ledger.announce(now)} {
		if !t.IsZero() && t.Before(wake) {
			wake = t
		}
	}
	return wake
}

func (p *Pool) onWant(topics []shard.Wanted, now time.Time) {
	if p.newest != nil && slices.Equal(topics, p.newest) {
		return
	}
	p.newest = topics
	p.ledger.want(topics, now)
	p.assign(now)
}

// assign places the wanted topics and gives every conn whose topics changed its new order.
func (p *Pool) assign(now time.Time) {
	p.assignAt = time.Time{}
	if p.refusals > 0 {
		p.opts.Log.Warn("topics refused", append([]any{"feed", p.opts.Conn.Feed, "topics", p.refusals}, p.refusal...)...)
		p.refusals = 0
	}
	room := make(shard.Room, p.opts.Conn.Connections)
	for i := range room {
		room[i] = p.opts.TopicsPerConnection
	}
	next, unplaced := shard.Assign(p.assignment, p.ledger.placeable(), room, p.opts.Placement)
	p.assignment = next
	for _, name := range unplaced {
		p.ledger.unplace(p.ledger.records[name], now)
	}
	orders := make([][]*record, len(room))
	for _, r := range p.ledger.order {
		if slot, ok := next[r.Name]; ok {
			p.ledger.place(r, slot, now)
			orders[slot] = append(orders[slot], r)
		}
	}
	for slot, records := range orders {
		slices.SortStableFunc(records, func(a, b *record) int { return b.priority - a.priority })
		topics := make([]*conn.Topic, len(records))
		for i, r := range records {
			topics[i] = r.Topic
		}
		if !slices.Equal(topics, p.sent[slot]) {
			p.sent[slot] = topics
			p.slots[slot].Topics = len(topics)
			p.conns[slot].Order(topics)
		}
	}
}

func (p *Pool) onNews(news conn.News, now time.Time) {
	switch n := news.(type) {
	case conn.SlotNews:
		p.onSlot(n)
	case conn.DialEnded:
		p.counters.DialWait.add(n.Waited)
		result := "ok"
		if n.Cause != "" {
			result = string(n.Cause)
		}
		p.counters.Dials[result]++
	case conn.LifeEnded:
		p.counters.Disconnects[n.Cause]++
		p.ledger.lifeEnded(n.Slot, n.LastFrame, n.Cause, now)
	case conn.TopicNews:
		p.onTopics(n, now)
	case conn.PongNews:
		p.slots[n.Slot].PingRTT = Seconds(n.RTT)
		p.counters.PingRTT.add(n.RTT)
	}
}

func (p *Pool) onSlot(n conn.SlotNews) {
	s := &p.slots[n.Slot]
	s.State, s.Since, s.Life, s.NextDial = n.State, n.At, n.Life, n.NextDial
	if n.State == conn.Waiting || n.State == conn.Closed {
		s.LastCause, s.LastError = n.Cause, ""
		if n.Err != nil {
			s.LastError = n.Err.Error()
		}
	}
	level := slog.LevelInfo
	switch {
	case n.State == conn.Waiting:
		level = slog.LevelWarn
	case n.State == conn.Dialing || n.State == conn.Opening:
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.String("feed", p.opts.Conn.Feed), slog.Int("slot", int(n.Slot)), slog.Int("life", n.Life)}
	if n.Cause != "" {
		attrs = append(attrs, slog.String("cause", string(n.Cause)))
	}
	if n.Err != nil {
		attrs = append(attrs, slog.Any("error", n.Err))
	}
	if !n.NextDial.IsZero() {
		attrs = append(attrs, slog.Duration("retry_in", n.NextDial.Sub(n.At).Round(time.Millisecond)))
	}
	p.opts.Log.LogAttrs(context.Background(), level, "slot is "+n.State.String(), attrs...)
	p.ledger.notify(NoticeFeed, "", feedNotice{
		Feed: p.opts.Conn.Feed, Slot: n.Slot, Life: n.Life, State: n.State, Cause: n.Cause, At: n.At.UTC(),
	})
}

func (p *Pool) onTopics(n conn.TopicNews, now time.Time) {
	refused := false
	for _, t := range n.Topics {
		r := p.ledger.records[t.Name]
		if r == nil || r.Topic != t || r.slot != n.Slot || r.state == conn.Unplaced || r.state == conn.Refused {
			continue // not wanted, or not there, any more
		}
		switch n.State {
		case conn.Asked:
			p.ledger.asked(r, n.At)
		case conn.Confirmed:
			p.ledger.confirm(r, n.By, n.At)
		case conn.Refused:
			p.ledger.refuseForNow(r, n.Reason, n.At)
			if p.refusals == 0 {
				p.refusal = []any{"first", t.Name, "reason", n.Reason, "slot", int(n.Slot)}
			}
			p.refusals++
			refused = true
		case conn.Assigned:
			p.ledger.unasked(r, n.Reason, n.At)
		}
	}
	if refused && p.assignAt.IsZero() {
		p.assignAt = now.Add(gatherRefusals) // a refusal frees a place
	}
}

// status puts together what is known.
func (p *Pool) status(withLedger bool) Status {
	c := p.ledger.counts
	s := Status{
		Feed: p.opts.Conn.Feed, Protocol: p.opts.Name, Account: AccountStatus{
			Name: p.opts.Conn.Account.Name(), Connections: p.opts.Conn.Account.Connections(), Limit: p.opts.Conn.Account.Limit(),
		},
		Capacity: p.opts.Conn.Connections * p.opts.TopicsPerConnection,
		Topics: TopicCounts{
			Wanted: len(p.ledger.records), Unplaced: c[conn.Unplaced], Assigned: c[conn.Assigned], Asked: c[conn.Asked],
			Confirmed: c[conn.Confirmed], Refused: c[conn.Refused],
		},
		Slots:    slices.Clone(p.slots),
		Dark:     p.ledger.dark,
		Counters: p.counters,
	}
	s.Counters.Dials, s.Counters.Disconnects = maps.Clone(p.counters.Dials), maps.Clone(p.counters.Disconnects)
	s.Counters.Gaps, s.Counters.GapTime = maps.Clone(p.ledger.gaps), Seconds(p.ledger.gapTime)
	s.Counters.Skipped = make(map[string]uint64)
	for i, c := range p.conns {
		t := c.Tally()
		s.Slots[i].Events, s.Slots[i].LastFrame = t.Events, c.LastFrame()
		s.Counters.Events += t.Events
		if t.LastEvent.After(s.Counters.LastEvent) {
			s.Counters.LastEvent = t.LastEvent
		}
		for reason, n := range t.Skipped {
			s.Counters.Skipped[reason] += n
		}
	}
	for _, r := range p.ledger.order {
		if r.state == conn.Confirmed {
			s.Slots[r.slot].Confirmed++
		}
	}
	if withLedger {
		s.Ledger = p.ledger.status()
	}
	return s
}
