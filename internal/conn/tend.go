package conn

import (
	"context"
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/conn/life"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
)

// What is done for lives while they are open: their ends, their timers, what is written on them, and what is told of their
// topics.

// leave begins the end of a life in the upstream's good manner. What still comes is read and published.
func (c *Conn) leave(l *life.Life, why cause.Cause, code int) {
	l.Leave(why, code)
	if l == c.life {
		c.setState(slots.Leaving, why, nil)
	}
}

func (c *Conn) onTime(ctx context.Context, now time.Time) {
	switch c.state {
	case slots.Waiting:
		if c.attempt == nil && !now.Before(c.retryAt) {
			c.dial(ctx)
		}
	case slots.Parked:
		c.dial(ctx)
	}
	for _, l := range []*life.Life{c.life, c.next} {
		if l != nil {
			c.tend(l, now)
		}
	}
	if c.next != nil {
		c.takeOver()
	}
	if c.last != nil && c.life != nil && !c.life.ReadyAt.IsZero() && !now.Before(c.life.ReadyAt.Add(closeWithin)) {
		c.last.Socket.Abort()
		c.life.ReadyAt = now.Add(never) // once
	}
}

// tend does for a life what has come due.
func (c *Conn) tend(l *life.Life, now time.Time) {
	if rtt, first := l.ControlPong(); first {
		c.up <- slots.PongNews{Slot: c.slot, RTT: rtt}
	}
	if l.Ending != "" || l.Mute {
		return
	}
	if why, err := l.Dead(now); why != "" {
		l.Fail(why, err)
		return
	}
	if l == c.next && !now.Before(l.GiveUpAt) {
		c.leave(l, cause.Timeout, 1000)
		return
	}
	c.report(l, l.Assume(now))
	c.pump(l, now)
}

// pump writes on a life what is due.
func (c *Conn) pump(l *life.Life, now time.Time) {
	l.Pump(now, func(news []topic.News) { c.report(l, news) })
}

// report tells what became of topics. During a hand-over a topic is as well off as on the better of its two lives.
func (c *Conn) report(l *life.Life, news []topic.News) {
	var other *life.Life
	switch {
	case l == c.next && c.life != nil && l.Ending == "":
		other = c.life
	case l == c.life:
		other = c.next
	default:
		return
	}
	for _, n := range news {
		if l == c.next && n.State == topic.Confirmed {
			c.cede(l, n.Topics)
		}
		if other != nil && n.State != topic.Confirmed {
			n.Topics = slices.DeleteFunc(slices.Clone(n.Topics), func(t *topic.Topic) bool { return other.Asks.IsConfirmed(t.Name) })
		}
		if len(n.Topics) > 0 {
			c.up <- slots.TopicNews{Slot: c.slot, Credential: c.order.Credential, News: n}
		}
	}
}
