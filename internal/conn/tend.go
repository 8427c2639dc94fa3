package conn

import (
	"context"
	"errors"
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
)

// What is done for lives while they are open: their ends, their timers, what is written on them, and what is told of their
// topics.

// leave begins the end of a life in the upstream's good manner. What still comes is read and published.
func (c *Conn) leave(l *life, why cause.Cause, code int) {
	l.ending = why
	l.Socket.Leave(code, "")
	if l == c.life {
		c.setState(slots.Leaving, why, nil)
	}
}

// Why we end a life that the upstream keeps open.
var (
	errDead       = errors.New("no sign of life after a ping, or three answers in a row missing")
	errSilent     = errors.New("nothing came for longer than the upstream, or ping.silence, allows")
	errUnanswered = errors.New("an ask was repeated three times and never answered")
	errNotLive    = errors.New("the upstream's first message did not come in time")
)

// fail ends a life at once: nothing good comes from it any more.
func (c *Conn) fail(l *life, why cause.Cause, err error) {
	if l.ending == "" {
		l.ending, l.endErr = why, err
	}
	l.Socket.Abort()
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
	for _, l := range []*life{c.life, c.next} {
		if l != nil {
			c.tend(l, now)
		}
	}
	if c.next != nil {
		c.takeOver()
	}
	if c.last != nil && c.life != nil && !c.life.readyAt.IsZero() && !now.Before(c.life.readyAt.Add(closeWithin)) {
		c.last.Socket.Abort()
		c.life.readyAt = now.Add(never) // once
	}
}

// tend does for a life what has come due.
func (c *Conn) tend(l *life, now time.Time) {
	last := l.Socket.LastRead()
	c.notePong(l, last)
	switch {
	case l.ending != "" || l.mute:
	case l.liveSince.IsZero() && c.limits.LiveWithin > 0 && !now.Before(l.opened.Add(c.limits.LiveWithin)):
		c.fail(l, cause.Timeout, errNotLive)
	case l.pings.Dead(now, last):
		c.fail(l, cause.PingTimeout, errDead)
	case c.silence > 0 && now.Sub(last) >= c.silence:
		c.fail(l, cause.Silent, errSilent)
	case l.asks.Unanswered(now):
		c.fail(l, cause.Silent, errUnanswered)
	case l == c.next && !now.Before(l.giveUpAt):
		c.leave(l, cause.Timeout, 1000)
	default:
		c.report(l, l.asks.Assume(now, last))
		c.pump(l, now)
	}
}

// pump writes what is due, as far as the subscribe rate allows: pings first, then what the session wants to say, then
// asks.
func (c *Conn) pump(l *life, now time.Time) {
	for l.ending == "" && !l.mute {
		if l.pings.Wanted(now) {
			l.asks.Ping(l)
			l.pings.Next = c.pacer.Next(now, c.rand)
		}
		frame, sent := l.asks.Next(l, now)
		c.report(l, l.asks.SettledAtOnce(l, now))
		if frame == nil {
			return
		}
		begun := now
		err := l.Write(frame.Kind, frame.Payload)
		sent()
		if err != nil {
			l.mute = true
			return
		}
		now = time.Now() // the write may have taken a while
		l.wrote = now
		if frame.Ping {
			l.pings.Written(now, c.opts.PingTimeout)
			if l.controlPings = frame.Kind == protocol.Ping; l.controlPings {
				l.pings.Sent = begun // the reader may see the pong before a busy machine lets us look at the clock
			}
		}
		c.report(l, l.asks.Written(frame, now))
	}
}

// report tells what became of topics. During a hand-over a topic is as well off as on the better of its two lives.
func (c *Conn) report(l *life, news []topic.News) {
	var other *life
	switch {
	case l == c.next && c.life != nil && l.ending == "":
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
			n.Topics = slices.DeleteFunc(slices.Clone(n.Topics), func(t *topic.Topic) bool { return other.asks.IsConfirmed(t.Name) })
		}
		if len(n.Topics) > 0 {
			c.up <- slots.TopicNews{Slot: c.slot, Credential: c.order.Credential, News: n}
		}
	}
}
