package conn

import (
	"errors"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/conn/life"
	"feedmux/internal/protocol"
	"feedmux/internal/reader"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
)

func (c *Conn) onHeard(h reader.Heard) {
	l := c.of(h.Reader)
	if l == c.last {
		return // its topics are another life's
	}
	if h.Live && l.LiveSince.IsZero() {
		l.LiveSince = h.At
		l.Seat.Live()
		c.accepted(l.Changes)
		switch {
		case c.opts.Stream != nil:
			c.opts.Stream.Live()
		case c.limits.Answers == protocol.Unasked:
			c.listening(l, h.At, topic.Filled{})
		}
		if l == c.life && c.state == slots.Opening {
			c.setState(slots.Live, "", nil)
		}
	}
	if h.Pong {
		if rtt, first := l.Pong(h.At); first {
			c.up <- slots.PongNews{Slot: c.slot, RTT: rtt}
		}
	}
	for _, s := range h.Settled {
		c.report(l, l.Asks.Settle(s, l, time.Now()))
	}
	c.report(l, l.Asks.ByEvent(h.First, h.At))
	for _, w := range h.Words {
		if w.Kind == "error" {
			l.Asks.Objected(h.At)
		}
		c.up <- slots.WordsNews{Slot: c.slot, Life: l.Number, Kind: w.Kind, Text: w.Text, At: h.At}
	}
	c.sayFull(l)
	if l.Ending != "" {
		return
	}
	if h.Full {
		c.tooMany(l)
		return
	}
	l.Asks.Reply(h.Frames)
	if h.Move && l.Move == "" {
		l.Move = cause.ServerAsked
		if within := c.limits.MoveWithin; within > 0 {
			l.MoveBy = h.At.Add(within)
		}
		if l == c.life && c.state == slots.Opening { // it has nothing to hand over
			c.leave(l, cause.ServerAsked, 1000)
			return
		}
	}
	c.pump(l, time.Now())
	if l == c.next {
		c.takeOver()
	}
}

// sayFull tells of a life that takes no more topics.
func (c *Conn) sayFull(l *life.Life) {
	if l != c.life {
		return
	}
	if n := l.Asks.TakeFull(); n > 0 {
		c.up <- slots.FullNews{Slot: c.slot, Life: l.Number, Capacity: n}
	}
}

var errFull = errors.New("the upstream did not take all topics, and did not say which")

// tooMany goes on after the upstream did not take all topics. On a life that has settled what it took before stays, and what it
// was asked for just now goes elsewhere. A young one is ended, since nobody knows what it has: the upstream may still count the
// topics of the life before. It gets more and more time for that, and if the first wait did not help, fewer topics.
func (c *Conn) tooMany(l *life.Life) {
	now := time.Now()
	if l == c.life && !l.LiveSince.IsZero() && now.Sub(l.LiveSince) >= l.Settings.Backoff.Settle && l.Asks.Overflow(l) {
		c.sayFull(l)
		c.pump(l, now)
		return
	}
	if l == c.life && c.fulls > 0 {
		n := len(c.order.Topics)
		c.up <- slots.FullNews{Slot: c.slot, Life: c.lives + 1, Capacity: max(n-l.Settings.SubscribeBatch, n/2, 1)}
	}
	l.Full, l.EndErr = true, errFull
	c.leave(l, cause.RateLimited, 1000) // an upstream that sees no Close may count its topics for even longer
}

// fullWait is how long to wait after so many lives in a row that ended because the upstream did not take all topics.
func (c *Conn) fullWait() time.Duration { return c.opts.Share.Hold() << min(c.fulls-1, 5) }
