package conn

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"feedmux/internal/asks"
	"feedmux/internal/cause"
	"feedmux/internal/conn/life"
	"feedmux/internal/protocol"
	"feedmux/internal/reader"
	"feedmux/internal/slots"
	"feedmux/internal/tally"
	"feedmux/limiter"
	"feedmux/shard"
)

// Conn is one slot: its state, its timers, what it writes and when it dials.
type Conn struct {
	opts  *Options
	slot  shard.Slot
	tally *tally.Counter
	up    chan<- slots.News // whose receiver receives until Run has returned

	orders chan slots.Order // one slot, the newest wins
	inbox  chan any         // from the dialer and the readers; unbuffered: they wait

	// current is the life that serves, for those who only look.
	current atomic.Pointer[life.Life]

	limits   protocol.Limits
	anchor   time.Time        // the beginning of the feed's first ping interval
	settings func() *Settings // the newest

	// Owned by Run.
	state    slots.State
	order    slots.Order
	rand     *rand.Rand
	backoff  limiter.Backoff
	probes   int        // failed probes of the account that backoff knows of
	retryAt  time.Time  // no dial before: kept while closed, or topics that come and go would undo the backoff
	dials    int        // so far: each takes the host's next address
	attempt  *attempt   // to open a life; one at a time
	life     *life.Life // opening, live, leaving: the one that serves
	next     *life.Life // hand-over: the one that is to serve
	last     *life.Life // hand-over: the one that served before, or was to and never will, until its end
	left     *life.Life // hand-over: the one that was to serve and ended before the one that serves, until that ends too
	lives    int
	moveAt   time.Time // no hand-over before: the last try failed
	renewing int       // goroutines that fetch the credential that changed
	fetching int       // changes of the credential that the stream knows of
	fulls    int       // lives in a row that ended because the upstream did not take all topics
	blame    asks.Culprits
	children sync.WaitGroup
}

// New makes the Conn of a slot. It does nothing until Run. Its news goes to up, which must be received from until Run has
// returned. o is shared by the slots of a feed and must not change. anchor is the beginning of the feed's first ping
// interval: the same for all of its slots. settings gives the newest of the feed's Settings, which the Conn asks for whenever it
// dials; those that o has count nowhere else.
func New(o *Options, settings func() *Settings, slot shard.Slot, up chan<- slots.News, anchor time.Time) *Conn {
	c := &Conn{
		opts: o, slot: slot, up: up,
		tally: o.Tally, limits: o.Protocol.Limits(), anchor: anchor, settings: settings,
		orders:  make(chan slots.Order, 1),
		inbox:   make(chan any),
		rand:    rand.New(rand.NewPCG(o.Seed, uint64(slot))),
		backoff: settings().Backoff,
	}
	if c.tally == nil {
		c.tally = new(tally.Counter)
	}
	return c
}

// Order tells the Conn what it is to do. It never waits. One goroutine calls it.
func (c *Conn) Order(o slots.Order) {
	select {
	case <-c.orders: // drop the stale one
	default:
	}
	c.orders <- o
}

// Tally is what this slot's readers have counted. Any goroutine may ask.
func (c *Conn) Tally() tally.Tally { return c.tally.Read() }

// Serving is what can be seen of the life that serves.
type Serving struct {
	Began     time.Time // when its handshake was answered
	LastFrame time.Time // when anything last came
	Outdated  bool      // it was dialled with other settings than the newest
}

// Serving looks at the life that serves; all is zero if none does. Any goroutine may ask.
func (c *Conn) Serving() Serving {
	l := c.current.Load()
	if l == nil {
		return Serving{}
	}
	return Serving{Began: l.Opened, LastFrame: l.Socket.LastRead(), Outdated: !l.Settings.Same(c.settings())}
}

// Run keeps the slot as its topics need it until ctx ends, then closes it in the upstream's good manner. It returns after
// its children.
func (c *Conn) Run(ctx context.Context) {
	c.loop(ctx)
	c.children.Wait() // not deferred: a bug's panic must not wait for those who wait for us
}

func (c *Conn) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	done := ctx.Done()
	stream := c.runStream(ctx)
	for {
		timer.Reset(time.Until(c.nextWake()))
		select {
		case o := <-c.orders:
			c.onOrder(ctx, o)
		case news := <-c.inbox:
			c.onNews(ctx, news)
		case <-stream:
			c.onStream(time.Now())
		case <-timer.C:
			c.onTime(ctx, time.Now())
		case <-done:
			done = nil
			c.onOrder(ctx, slots.Order{Renewals: c.order.Renewals, Credential: c.order.Credential})
		}
		c.considerHandOver(ctx, time.Now())
		if ctx.Err() != nil && c.idle() {
			return
		}
	}
}

// idle says that the slot is closed and nothing is on its way to it.
func (c *Conn) idle() bool {
	return c.state == slots.Closed && c.attempt == nil && c.last == nil && c.next == nil && c.renewing == 0
}

// setState is the one place where the state changes: it tells so.
func (c *Conn) setState(s slots.State, why cause.Cause, err error) {
	c.state = s
	news := slots.StateNews{Slot: c.slot, Life: c.lives, State: s, At: time.Now(), Cause: why, Err: err}
	if c.life != nil {
		news.Life = c.life.Number
	}
	if s == slots.Waiting {
		news.NextDial = c.retryAt
	}
	c.up <- news
}

const (
	never     = 24 * time.Hour // far enough for a timer
	lookAgain = time.Second    // parked: how often a slot looks whether it may dial
)

// nextWake is when onTime or considerHandOver has something to do.
func (c *Conn) nextWake() time.Time {
	now := time.Now()
	wake := now.Add(never)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(wake) {
			wake = t
		}
	}
	switch c.state {
	case slots.Waiting:
		if c.attempt == nil { // else it was given up, and is awaited
			sooner(c.retryAt)
		}
	case slots.Parked:
		sooner(now.Add(lookAgain))
	case slots.Live:
		if why, _ := c.mustMove(); why != "" {
			if c.movable() {
				sooner(c.moveAt)
			}
		} else if c.life.RetireAt.After(now) {
			sooner(c.life.RetireAt)
		}
	}
	if c.last != nil && c.life != nil && !c.life.ReadyAt.IsZero() {
		sooner(c.life.ReadyAt.Add(closeWithin))
	}
	for _, l := range []*life.Life{c.life, c.next} {
		if l == nil || l.Ending != "" || l.Mute {
			continue // of these only the reader's last word is awaited
		}
		sooner(l.Wake())
		if l == c.next {
			sooner(l.GiveUpAt)
			if !l.ReadyAt.IsZero() {
				sooner(l.ReadyAt.Add(linger))
			}
		}
	}
	return wake
}

func (c *Conn) onOrder(ctx context.Context, o slots.Order) {
	if ctx.Err() != nil {
		o.Topics = nil // an order that came late does not open what is being closed
	}
	changed := o.Credential > c.order.Credential
	if (changed || o.Renewals > c.order.Renewals) && c.opts.Share.Insist() {
		c.retryAt = time.Now() // else the account says when
	}
	c.order = o
	if s := c.opts.Stream; s != nil && ctx.Err() == nil {
		if changed {
			c.fetching = c.opts.Credential.Changes() // before they are used
			s.Renewed()
		}
		s.Want(o.Topics)
	}
	if changed && c.life != nil {
		c.renew(ctx)
	}
	none := len(o.Topics) == 0
	if none && c.attempt != nil {
		c.attempt.cancel()
	}
	for _, l := range []*life.Life{c.life, c.next} {
		switch {
		case l == nil || l.Ending != "":
		case none:
			c.leave(l, cause.Drain, 1001)
		case c.renewing == 0: // else it would be asked for with the old credential
			c.ask(l)
		}
	}
	if c.next != nil {
		c.takeOver() // what it waited for may not be wanted any more
	}
	switch c.state {
	case slots.Closed:
		switch {
		case none:
		case time.Now().Before(c.retryAt) || c.attempt != nil:
			c.setState(slots.Waiting, "", nil)
		default:
			c.dial(ctx)
		}
	case slots.Waiting, slots.Parked:
		if none {
			c.rest(ctx, cause.Drain, nil)
		} else if c.state == slots.Parked {
			c.dial(ctx) // the order may say that the credential changed
		}
	}
}

// ask lets a life have what is wanted now.
func (c *Conn) ask(l *life.Life) {
	topics := c.order.Topics
	if l == c.life && c.next != nil {
		topics = l.Asks.Still(topics) // newcomers are the new life's
	}
	c.report(l, l.Asks.Want(topics, l))
	c.pump(l, time.Now())
}

// of is the life that a reader reads for; nil: it ended.
func (c *Conn) of(r *reader.Reader) *life.Life {
	for _, l := range []*life.Life{c.life, c.next, c.last, c.left} {
		if l != nil && l.Reader == r {
			return l
		}
	}
	return nil
}

func (c *Conn) onNews(ctx context.Context, news any) {
	switch news := news.(type) {
	case turned:
		c.onTurned(ctx, news)
	case dialled:
		c.onDialled(ctx, news)
	case renewed:
		c.onRenewed(news)
	case reader.Heard:
		c.onHeard(news)
	case reader.Ended:
		c.onEnded(ctx, news)
	}
}
