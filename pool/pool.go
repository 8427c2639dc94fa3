package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/conn"
	"feedmux/internal/ledger"
	"feedmux/internal/protocol"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Pool is the connections of one feed.
type Pool struct {
	opts   Options
	wantMu sync.Mutex // one sender at a time for wanted

	wanted     chan []shard.Wanted // one slot, the newest wins
	looks      chan func()         // unbuffered: whoever wants to look waits
	news       chan slots.News     // unbuffered: conns wait for the pool, never the reverse
	changed    chan struct{}       // one slot: the credential changed, once or more
	renewed    chan struct{}       // one slot: connections are to be handed over
	pardons    chan struct{}       // one slot: topics that were refused are to be asked for again
	configured chan struct{}       // one slot: there are newer settings
	ended      chan struct{}       // closed when Run is about to return

	newest atomic.Pointer[Settings] // what it points to never changes

	// Owned by Run.
	conns      []*conn.Conn
	slots      []SlotStatus
	sent       [][]*topic.Topic // the topics of each slot's newest order
	full       []reduced        // of each slot
	words      []words          // of each slot
	renewals   int              // times that all connections were to be renewed
	changes    int              // times that the credential changed
	assignment shard.Assignment
	ledger     *ledger.Ledger
	counters   Counters
	settings   *Settings         // that count
	listed     []shard.Wanted    // what was wanted last
	refusals   int               // topics refused that were not logged yet
	refusal    []any             // the first of them, for the log
	assignAt   time.Time         // when to assign again; zero: not before something changes
	turnAt     time.Time         // when to look for turns that are over; zero: nobody waits for one
	watches    []watch           // of each slot; none where there are no others to compare it with
	watchAt    time.Time         // when to look at what came on them; zero: never
	odd        map[string]uint64 // odd events that were logged, by kind
	skipped    map[string]uint64 // messages that were skipped, as it was logged, by reason
	oddAt      time.Time         // when to look for more of both
	short      bool              // it was announced that topics have no place
	readiness  readiness         // as it was logged
	ending     bool
	endedAt    time.Time
}

// never is far enough for a timer.
const never = 24 * time.Hour

// New makes a pool. It does nothing until Run.
func New(o Options) (*Pool, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Pool{
		opts:       o,
		wanted:     make(chan []shard.Wanted, 1),
		looks:      make(chan func()),
		news:       make(chan slots.News),
		changed:    make(chan struct{}, 1),
		renewed:    make(chan struct{}, 1),
		pardons:    make(chan struct{}, 1),
		configured: make(chan struct{}, 1),
		ended:      make(chan struct{}),

		settings: o.settings(),
		slots:    make([]SlotStatus, o.Conn.Connections),
		sent:     make([][]*topic.Topic, o.Conn.Connections),
		full:     make([]reduced, o.Conn.Connections),
		words:    make([]words, o.Conn.Connections),
		counters: Counters{
			Dials: make(map[string]uint64), Disconnects: make(map[cause.Cause]uint64),
		},
	}
	p.newest.Store(p.settings)
	o.Conn.Share.SetBackoff(o.Conn.Backoff)
	if o.Conn.Connections > 1 {
		p.watches = make([]watch, o.Conn.Connections)
	}
	p.ledger = ledger.New(ledger.Options{
		Feed: o.Conn.Feed, Sink: o.Sink, Subject: o.Subject, NoticeSubject: o.NoticeSubject, Note: o.Note,
		Check: func(w shard.Wanted) error {
			return o.Conn.Protocol.Check(protocol.Topic{Name: w.Topic, Options: w.Options})
		},
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

// Pardon asks again for the topics that were refused, without waiting for their hour. It never waits; any goroutine may call it.
func (p *Pool) Pardon() { raise(p.pardons) }

func raise(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default: // it is raised already
	}
}

// Status asks the pool's loop what it knows; withLedger adds a line for each wanted topic. An error means that the loop
// did not turn before ctx ended, or is ErrEnded.
func (p *Pool) Status(ctx context.Context, withLedger bool) (Status, error) {
	s := Status{Feed: p.opts.Conn.Feed}
	err := p.look(ctx, func() { s = p.status(withLedger) })
	return s, err
}

// Topic asks the pool's loop for the line of one topic. It costs no look at the others. wanted is false for a topic that
// nobody wants; an error means that the loop did not turn before ctx ended, or is ErrEnded.
func (p *Pool) Topic(ctx context.Context, name shard.Topic) (line TopicStatus, wanted bool, err error) {
	err = p.look(ctx, func() {
		if r := p.ledger.Record(name); r != nil {
			line, wanted = r.Line(), true
		}
	})
	return line, wanted, err
}

// ErrEnded says that a pool's Run has returned, so that its loop can be asked nothing.
var ErrEnded = errors.New("the pool has ended")

// look runs at in the loop, which it must not hold up, and returns after it. An error means that it did not run.
func (p *Pool) look(ctx context.Context, at func()) error {
	done := make(chan struct{})
	select {
	case p.looks <- func() { at(); close(done) }:
		<-done
		return nil
	case <-p.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Snapshot says what the next pool should know. Once Run has returned it is exact: each topic that was confirmed when
// the end began has an open gap, from the last frame of its connection. An error means that the loop did not turn before
// ctx ended.
func (p *Pool) Snapshot(ctx context.Context) (Snapshot, error) {
	reply := make(chan Snapshot, 1)
	select {
	case p.looks <- func() { reply <- p.ledger.Snapshot(time.Now()) }:
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
		c := conn.New(&p.opts.Conn, p.connSettings, shard.Slot(i), p.news, begin)
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
	p.oddAt, p.readiness.since = begin.Add(oddEvery), begin
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
		case <-p.pardons:
			if !p.ending {
				p.ledger.PardonAll(time.Now())
				p.assign(time.Now())
				p.orderAll() // a slot that was not told yet that it lost a topic asks for it again all the same
			}
		case <-p.renewed:
			p.renewals++
			p.orderAll()
		case <-p.configured:
			p.onSettings(time.Now())
		case look := <-p.looks:
			look()
		case <-timer.C:
		case <-done:
			done = nil
			p.end()
		case <-stopped:
			p.sayOdd()
			p.saySkipped()
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
	gainAt := p.gainSoon(now)
	pardoned, next := p.ledger.Pardon(now)
	if pardoned || !p.assignAt.IsZero() && !now.Before(p.assignAt) {
		p.assign(now)
	}
	if !p.turnAt.IsZero() && !now.Before(p.turnAt) && p.assignAt.IsZero() {
		p.turnAt = time.Time{}
		if p.rotate(now) {
			p.turnAt = now.Add(p.settings.turnEvery())
		}
	}
	if !p.watchAt.IsZero() && !now.Before(p.watchAt) {
		p.lookForStarved(now)
		p.watchAt = now.Add(watchEvery)
	}
	if !p.oddAt.IsZero() && !now.Before(p.oddAt) {
		p.sayOdd()
		p.saySkipped()
		p.sayPutOff()
		p.oddAt = now.Add(oddEvery)
	}
	turnAt := p.turnAt
	if !p.assignAt.IsZero() {
		turnAt = time.Time{} // it waits for that
	}
	for _, t := range []time.Time{next, gainAt, p.assignAt, turnAt, p.watchAt, p.oddAt, p.ledger.Announce(now), p.sayReady(now)} {
		if !t.IsZero() && t.Before(wake) {
			wake = t
		}
	}
	return wake
}

func (p *Pool) onWant(topics []shard.Wanted, now time.Time) {
	if p.ending || p.listed != nil && slices.Equal(topics, p.listed) {
		return
	}
	p.listed = topics
	p.ledger.Want(topics, now)
	p.assign(now)
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
