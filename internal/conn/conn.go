package conn

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"feedmux/limiter"
	"feedmux/shard"
)

// Conn is one slot: its state, its timers, what it writes and when it dials.
type Conn struct {
	opts  *Options
	slot  shard.Slot
	tally tally
	up    chan<- News // whose receiver receives until Run has returned

	// orders carries the topics that have their place here: one slot, the newest wins.
	orders chan []*Topic
	inbox  chan any // from the dialer and the reader; unbuffered: they wait

	// current is the life that is open, for those who only look.
	current atomic.Pointer[life]

	// Owned by Run.
	state     State
	want      []*Topic
	rand      *rand.Rand
	backoff   limiter.Backoff
	pacer     limiter.Pacer
	retryAt   time.Time          // no dial before: kept while closed, or topics that come and go would undo the backoff
	attempt   int                // dials so far: each takes the host's next address
	undial    context.CancelFunc // dialing: gives it up
	life      *life              // opening, live, leaving
	lives     int
	liveSince time.Time // zero before the first application frame of this life
	ending    Cause     // why we ended this life, if it was us
	endErr    error     // the same for people
	mute      bool      // a write failed: the socket sees to it that the reader ends within seconds, and knows why
	pings     pings
	asks      asks
	children  sync.WaitGroup
}

// New makes the Conn of a slot. It does nothing until Run. Its news goes to up, which must be received from until Run has
// returned. o is shared by the slots of a feed and must not change. anchor is the beginning of the feed's first ping
// interval: the same for all of its slots.
func New(o *Options, slot shard.Slot, up chan<- News, anchor time.Time) *Conn {
	return &Conn{
		opts: o, slot: slot, up: up,
		orders:  make(chan []*Topic, 1),
		inbox:   make(chan any),
		rand:    rand.New(rand.NewPCG(o.Seed, uint64(slot))),
		backoff: o.Backoff,
		pacer:   limiter.NewPacer(o.PingInterval, o.PingJitter, anchor, o.Feed, int(slot), o.Connections),
	}
}

// Order gives the Conn the topics that have their place in its slot, whole and most wanted first. It never waits. One
// goroutine calls it; topics must not change afterwards.
func (c *Conn) Order(topics []*Topic) {
	select {
	case <-c.orders: // drop the stale order
	default:
	}
	c.orders <- topics
}

// Tally is what this slot's readers have counted. Any goroutine may ask.
func (c *Conn) Tally() Tally { return c.tally.read() }

// LastFrame is when anything last came on the life that is open; zero if none is. Any goroutine may ask.
func (c *Conn) LastFrame() time.Time {
	if l := c.current.Load(); l != nil {
		return l.sock.LastRead()
	}
	return time.Time{}
}

// Run keeps the slot as its topics need it until ctx ends, then closes it in the upstream's good manner. It returns after
// its children.
func (c *Conn) Run(ctx context.Context) {
	defer c.children.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	done := ctx.Done()
	for {
		timer.Reset(time.Until(c.nextWake()))
		select {
		case topics := <-c.orders:
			c.onOrder(ctx, topics)
		case news := <-c.inbox:
			c.onNews(ctx, news)
		case <-timer.C:
			c.onTime(ctx, time.Now())
		case <-done:
			done = nil
			c.onOrder(ctx, nil)
		}
		if ctx.Err() != nil && c.state == Closed {
			return
		}
	}
}

// setState is the one place where the state changes: it tells so.
func (c *Conn) setState(s State, cause Cause, err error) {
	c.state = s
	news := SlotNews{Slot: c.slot, Life: c.lives, State: s, At: time.Now(), Cause: cause, Err: err}
	if s == Waiting {
		news.NextDial = c.retryAt
	}
	c.up <- news
}

// never is far enough for a timer.
const never = 24 * time.Hour

// nextWake is when onTime has something to do.
func (c *Conn) nextWake() time.Time {
	wake := time.Now().Add(never)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(wake) {
			wake = t
		}
	}
	switch c.state {
	case Waiting:
		sooner(c.retryAt)
	case Opening, Live:
		if c.ending != "" || c.mute {
			break // only the reader's last word is awaited
		}
		sooner(c.pings.next)
		sooner(c.pings.due)
		sooner(c.asks.wake())
		if c.opts.Silence > 0 {
			sooner(c.life.sock.LastRead().Add(c.opts.Silence))
		}
	}
	return wake
}

func (c *Conn) onOrder(ctx context.Context, topics []*Topic) {
	if ctx.Err() != nil {
		topics = nil // an order that came late does not open what is being closed
	}
	c.want = topics
	switch c.state {
	case Closed:
		switch {
		case len(topics) == 0:
		case time.Now().Before(c.retryAt):
			c.setState(Waiting, "", nil)
		default:
			c.dial(ctx)
		}
	case Waiting:
		if len(topics) == 0 {
			c.setState(Closed, "", nil)
		}
	case Dialing:
		if len(topics) == 0 {
			c.undial()
		}
	case Opening, Live:
		if c.ending != "" {
			return
		}
		if len(topics) == 0 {
			c.leave(CauseDrain, 1001)
			return
		}
		c.report(c.asks.want(topics, c.life))
		c.pump(time.Now())
	}
}

func (c *Conn) onNews(ctx context.Context, news any) {
	switch news := news.(type) {
	case dialled:
		c.onDialled(ctx, news)
	case heard:
		c.onHeard(news)
	case ended:
		c.onEnded(ctx, news)
	}
}

// leave begins the end of a life in the upstream's good manner. What still comes is read and published.
func (c *Conn) leave(why Cause, code int) {
	c.ending = why
	c.life.sock.Leave(code, "")
	c.setState(Leaving, why, nil)
}

// Why we end a life that the upstream keeps open.
var (
	errDead       = errors.New("no sign of life after a ping, or three answers in a row missing")
	errSilent     = errors.New("nothing came for as long as ping.silence allows")
	errUnanswered = errors.New("an ask was repeated three times and never answered")
)

// fail ends a life at once: nothing good comes from it any more.
func (c *Conn) fail(why Cause, err error) {
	if c.ending == "" {
		c.ending, c.endErr = why, err
	}
	c.life.sock.Abort()
}

func (c *Conn) onHeard(h heard) {
	if h.live && c.state == Opening {
		c.liveSince = h.at
		c.setState(Live, "", nil)
	}
	if h.pong && c.pings.answered() {
		c.up <- PongNews{Slot: c.slot, RTT: h.at.Sub(c.pings.sent)}
	}
	for _, s := range h.settled {
		c.report(c.asks.settle(s, c.life, time.Now()))
	}
	c.report(c.asks.byEvent(h.first, h.at))
	if c.ending != "" {
		return
	}
	c.asks.reply(h.frames)
	if h.move {
		// The upstream is about to end this life. Leaving first keeps the cap; the topics are dark until the next
		// life has them.
		c.leave(CauseServerAsked, 1000)
		return
	}
	c.pump(time.Now())
}

func (c *Conn) onEnded(ctx context.Context, e ended) {
	now := time.Now()
	cause, err := c.ending, c.endErr
	if cause == "" {
		cause, err = judge(e.err), e.err
	}
	l := c.life
	l.sock.Close()
	if l.sock.PeerGone() {
		c.opts.Account.Leave()
	} else {
		c.opts.Account.LeaveLater()
	}
	var lived time.Duration
	if !c.liveSince.IsZero() {
		lived = now.Sub(c.liveSince)
	}
	if c.retryAt = now; cause == CauseDrain {
		c.backoff.Ended(lived)
	} else {
		c.backoff.Failed(lived)
		c.retryAt = now.Add(c.backoff.Next(c.rand))
	}
	close(l.over)
	c.life = nil
	c.current.Store(nil)
	c.up <- LifeEnded{Slot: c.slot, LastFrame: e.lastFrame, Cause: cause}
	c.again(ctx, cause, err)
}

// again goes on after a dial that failed or a life that ended.
func (c *Conn) again(ctx context.Context, cause Cause, err error) {
	if len(c.want) == 0 || ctx.Err() != nil {
		c.setState(Closed, cause, nil)
		return
	}
	c.setState(Waiting, cause, err)
}

func (c *Conn) onTime(ctx context.Context, now time.Time) {
	switch c.state {
	case Waiting:
		if !now.Before(c.retryAt) {
			c.dial(ctx)
		}
	case Opening, Live:
		last := c.life.sock.LastRead()
		switch {
		case c.ending != "" || c.mute:
		case c.pings.dead(now, last):
			c.fail(CausePingTimeout, errDead)
		case c.opts.Silence > 0 && now.Sub(last) >= c.opts.Silence:
			c.fail(CauseSilent, errSilent)
		case c.asks.unanswered(now):
			c.fail(CauseSilent, errUnanswered)
		default:
			c.pump(now)
		}
	}
}

// pump writes what is due, as far as the subscribe rate allows: pings first, then what the session wants to say, then
// asks.
func (c *Conn) pump(now time.Time) {
	for c.ending == "" && !c.mute {
		if c.pings.wanted(now) {
			c.asks.ping(c.life)
			c.pings.next = c.pacer.Next(now, c.rand)
		}
		frame, sent := c.asks.next(c.life, now)
		c.report(c.asks.settledAtOnce(c.life, now))
		if frame == nil {
			return
		}
		err := c.life.sock.Write(socketKind(frame.Kind), frame.Payload)
		sent()
		if err != nil {
			c.mute = true
			return
		}
		now = time.Now() // the write may have taken a while
		if frame.ping {
			c.pings.written(now, c.opts.PingTimeout)
		}
		c.report(c.asks.written(frame, now))
	}
}

func (c *Conn) report(news []TopicNews) {
	for _, n := range news {
		n.Slot = c.slot
		c.up <- n
	}
}
