package conn

import (
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
)

func (c *Conn) onHeard(h heard) {
	l := h.life
	if l == c.last {
		return // its topics are another life's
	}
	if h.live && l.liveSince.IsZero() {
		l.liveSince = h.at
		l.seat.Live()
		if l == c.life && c.state == slots.Opening {
			c.setState(slots.Live, "", nil)
		}
	}
	if h.pong && l.pings.Answered() {
		c.up <- slots.PongNews{Slot: c.slot, RTT: h.at.Sub(l.pings.Sent)}
	}
	for _, s := range h.settled {
		c.report(l, l.asks.Settle(s, l, time.Now()))
	}
	c.report(l, l.asks.ByEvent(h.first, h.at))
	c.sayFull(l)
	if l.ending != "" {
		return
	}
	l.asks.Reply(h.frames)
	if h.move && l.move == "" {
		l.move = cause.ServerAsked
		if within := c.opts.Protocol.Limits().MoveWithin; within > 0 {
			l.moveBy = h.at.Add(within)
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
func (c *Conn) sayFull(l *life) {
	if l != c.life {
		return
	}
	if n := l.asks.TakeFull(); n > 0 {
		c.up <- slots.FullNews{Slot: c.slot, Capacity: n}
	}
}
