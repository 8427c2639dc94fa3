package pool

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/conn"
	"feedmux/internal/ledger"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Pool is the connections of one feed.
type Pool struct {
	opts   Options
	wantMu sync.Mutex // one sender at a time for wanted

	wanted  chan []shard.Wanted // one slot, the newest wins
	queries chan query          // unbuffered: whoever asks waits
	news    chan slots.News     // unbuffered: conns wait for the pool, never the reverse
	changed chan struct{}       // one slot: the credential changed, once or more
	renewed chan struct{}       // one slot: connections are to be handed over
	ended   chan struct{}       // closed when Run is about to return

	snapshots chan chan Snapshot // unbuffered; a reply has room, so the loop never waits

	// Owned by Run.
	conns      []*conn.Conn
	slots      []SlotStatus
	sent       [][]*topic.Topic // the topics of each slot's newest order
	full       []int            // topics that the upstream takes on a slot's life, where it said so; 0: as usual
	renewals   int              // times that all connections were to be renewed
	changes    int              // times that the credential changed
	assignment shard.Assignment
	ledger     *ledger.Ledger
	counters   Counters
	newest     []shard.Wanted // what was wanted last
	refusals   int            // topics refused that were not logged yet
	refusal    []any          // the first of them, for the log
	assignAt   time.Time      // when to assign again; zero: not before something changes
	turnAt     time.Time      // when to look for turns that are over; zero: nobody waits for one
	watches    []watch        // of each slot; none where there are no others to compare it with
	watchAt    time.Time      // when to look at what came on them; zero: never
	short      bool           // it was announced that topics have no place
	ending     bool
	endedAt    time.Time
}

// query asks the loop for a Status.
type query struct {
	ledger bool
	reply  chan Status // room for one: the loop never waits
}

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
		news:    make(chan slots.News),
		changed: make(chan struct{}, 1),
		renewed: make(chan struct{}, 1),
		ended:   make(chan struct{}),

		snapshots: make(chan chan Snapshot),
		slots:     make([]SlotStatus, o.Conn.Connections),
		sent:      make([][]*topic.Topic, o.Conn.Connections),
		full:      make([]int, o.Conn.Connections),
		counters: Counters{
			Dials: make(map[string]uint64), Disconnects: make(map[cause.Cause]uint64),
		},
	}
	if o.Conn.Connections > 1 {
		p.watches = make([]watch, o.Conn.Connections)
	}
	p.ledger = ledger.New(ledger.Options{
		Feed: o.Conn.Feed, Sink: o.Sink, Check: o.Conn.Protocol.Check, Subject: o.Subject, NoticeSubject: o.NoticeSubject,
		Queue: o.Overflow == Turns, Start: rand.New(rand.NewPCG(o.Conn.Seed, o.Conn.Seed)).Uint64(), Last: o.Last,
	})
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

// CredentialChanged says that the feed dials with another secret from now on: slots that wait for that may dial, sessions
// get the new one, and topics that the upstream refused are asked for again. It never waits; any goroutine may call it.
func (p *Pool) CredentialChanged() {
	if c := p.opts.Conn.Credential; c != nil {
		c.Changed()
	}
	raise(p.changed)
}

// Renew hands every connection over to a new one. It never waits; any goroutine may call it.
func (p *Pool) Renew() { raise(p.renewed) }

func raise(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default: // it is raised already
	}
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

// Snapshot says what the next pool should know. Once Run has returned it is exact: each topic that was confirmed when
// the end began has an open gap, from the last frame of its connection. An error means that the loop did not turn before
// ctx ended.
func (p *Pool) Snapshot(ctx context.Context) (Snapshot, error) {
	reply := make(chan Snapshot, 1)
	select {
	case p.snapshots <- reply:
		return <-reply, nil
	case <-p.ended:
		return p.ledger.Snapshot(p.endedAt), nil
	case <-ctx.Done():
		return Snapshot{}, ctx.Err()
	}
}

// Run keeps the wanted topics confirmed until ctx ends, then closes every connection in the upstream's good manner. It
// returns after all of its goroutines.
func (p *Pool) Run(ctx context.Context) error {
	var conns sync.WaitGroup
	begin := time.Now()
	for i := range p.opts.Conn.Connections {
		c := conn.New(&p.opts.Conn, shard.Slot(i), p.news, begin)
		p.slots[i] = SlotStatus{Slot: shard.Slot(i), State: slots.Closed, Since: begin}
		p.conns = append(p.conns, c)
		conns.Go(func() { c.Run(ctx) })
	}
	stopped := make(chan struct{})
	go func() { // ends with the conns
		conns.Wait()
		close(stopped)
	}()

	if p.watches != nil {
		p.watchAt = begin.Add(watchEvery)
	}
	timer := time.NewTimer(time.Until(p.onTime(begin)))
	defer timer.Stop()
	done := ctx.Done()
	for {
		select {
		case topics := <-p.wanted:
			p.onWant(topics, time.Now())
		case news := <-p.news:
			if ctx.Err() != nil {
				p.end() // it may be known here first
			}
			p.onNews(news, time.Now())
		case <-p.changed:
			p.onCredential(time.Now())
		case <-p.renewed:
			p.renewals++
			p.orderAll()
		case q := <-p.queries:
			q.reply <- p.status(q.ledger)
		case reply := <-p.snapshots:
			reply <- p.ledger.Snapshot(time.Now())
		case <-timer.C:
		case <-done:
			done = nil
			p.end()
		case <-stopped:
			p.endedAt = time.Now()
			close(p.ended)
			return nil
		}
		timer.Reset(time.Until(p.onTime(time.Now())))
	}
}

// end begins the end: places stay as they are, and what becomes of topics is told by the next pool.
func (p *Pool) end() {
	p.ending = true
	p.ledger.End()
}

// onTime does what has come due and returns when it is next needed.
func (p *Pool) onTime(now time.Time) time.Time {
	wake := now.Add(never)
	if p.ending {
		return wake
	}
	pardoned, next := p.ledger.Pardon(now)
	if pardoned || !p.assignAt.IsZero() && !now.Before(p.assignAt) {
		p.assign(now)
	}
	if !p.turnAt.IsZero() && !now.Before(p.turnAt) && p.assignAt.IsZero() {
		p.turnAt = time.Time{}
		if p.rotate(now) {
			p.turnAt = now.Add(p.opts.turnEvery())
		}
	}
	if !p.watchAt.IsZero() && !now.Before(p.watchAt) {
		p.lookForStarved(now)
		p.watchAt = now.Add(watchEvery)
	}
	turnAt := p.turnAt
	if !p.assignAt.IsZero() {
		turnAt = time.Time{} // it waits for that
	}
	for _, t := range []time.Time{next, p.assignAt, turnAt, p.watchAt, p.ledger.Announce(now)} {
		if !t.IsZero() && t.Before(wake) {
			wake = t
		}
	}
	return wake
}

func (p *Pool) onWant(topics []shard.Wanted, now time.Time) {
	if p.ending || p.newest != nil && slices.Equal(topics, p.newest) {
		return
	}
	p.newest = topics
	p.ledger.Want(topics, now)
	p.assign(now)
}

func (p *Pool) onNews(news slots.News, now time.Time) {
	switch n := news.(type) {
	case slots.StateNews:
		p.onSlot(n)
	case slots.DialEnded:
		p.counters.DialWait.add(n.Waited)
		result := "ok"
		if n.Cause != "" {
			result = string(n.Cause)
		}
		p.counters.Dials[result]++
	case slots.LifeEnded:
		p.counters.Disconnects[n.Cause]++
		if p.ending && n.Cause == cause.Drain {
			n.Cause = cause.Restart
		}
		p.ledger.LifeEnded(n, now)
		if p.full[n.Slot] > 0 && !n.Replaced {
			p.full[n.Slot] = 0 // the next life may have more room
			p.assignSoon(now)
		}
	case slots.TopicNews:
		p.onTopics(n, now)
	case slots.FullNews:
		p.full[n.Slot] = n.Capacity
		p.assignSoon(now)
	case slots.PongNews:
		p.slots[n.Slot].PingRTT = Seconds(n.RTT)
		p.counters.PingRTT.add(n.RTT)
	}
}

// order tells a slot what it is to do.
func (p *Pool) order(slot int) {
	p.conns[slot].Order(slots.Order{Topics: p.sent[slot], Renewals: p.renewals, Credential: p.changes})
}

func (p *Pool) onCredential(now time.Time) {
	p.changes++
	if !p.ending {
		p.ledger.PardonAll(now)
		p.assign(now)
	}
	p.orderAll()
}

// orderAll tells every slot what it is to do, though its topics are the same.
func (p *Pool) orderAll() {
	for slot := range p.conns {
		p.order(slot)
	}
}

func (p *Pool) onSlot(n slots.StateNews) {
	s := &p.slots[n.Slot]
	if n.State != slots.Live || n.Life != s.Life {
		p.fed(s, n.At)
	}
	if n.Life != s.Life && p.full[n.Slot] > 0 { // what the life before took means nothing to this one
		p.full[n.Slot] = 0
		p.assignSoon(n.At)
	}
	s.State, s.Since, s.Life, s.NextDial = n.State, n.At, n.Life, n.NextDial
	if n.State == slots.Waiting || n.State == slots.Closed || n.State == slots.Parked {
		s.LastCause, s.LastError = n.Cause, ""
		if n.Err != nil {
			s.LastError = n.Err.Error()
		}
	}
	level := slog.LevelInfo
	switch {
	case n.State == slots.Waiting || n.State == slots.Parked:
		level = slog.LevelWarn
	case n.State == slots.Dialing || n.State == slots.Opening:
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
	if n.State == slots.Parked {
		attrs = append(attrs, slog.String("until", "the credential changes"))
	}
	p.opts.Log.LogAttrs(context.Background(), level, "slot is "+n.State.String(), attrs...)
	p.ledger.NotifyFeed(&ledger.FeedNotice{
		Feed: p.opts.Conn.Feed, Slot: n.Slot, Life: n.Life, State: n.State, Cause: n.Cause, At: n.At.UTC(),
	})
}

func (p *Pool) onTopics(n slots.TopicNews, now time.Time) {
	refused := false
	for _, t := range n.Topics {
		r := p.ledger.Record(t.Name)
		if r == nil || r.Topic != t || r.Slot != n.Slot || r.State == topic.Unplaced || r.State == topic.Refused {
			continue // not wanted, or not there, any more
		}
		switch n.State {
		case topic.Asked:
			p.ledger.Asked(r, n.At)
		case topic.Confirmed:
			p.ledger.Confirm(r, n.By, n.At)
		case topic.Refused:
			if n.Credential < p.changes { // the order that says so is on its way, and lets it be asked for again
				p.ledger.Unasked(r, n.Reason, n.At)
				continue
			}
			p.ledger.RefuseForNow(r, n.Reason, n.At)
			if p.refusals == 0 {
				p.refusal = []any{"first", t.Name, "reason", n.Reason, "slot", int(n.Slot)}
			}
			p.refusals++
			refused = true
		case topic.Assigned:
			p.ledger.Unasked(r, n.Reason, n.At)
		}
	}
	if refused { // that frees a place
		p.assignSoon(now)
	}
}
