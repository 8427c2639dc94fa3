package life

import (
	"errors"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/topic"
)

// Why we end a life that the upstream keeps open.
var (
	errDead       = errors.New("no sign of life after a ping, or three answers in a row missing")
	errSilent     = errors.New("nothing came for longer than the upstream, or ping.silence, allows")
	errUnanswered = errors.New("an ask was repeated three times and never answered")
	errNotLive    = errors.New("the upstream's first message did not come in time")
)

// Wake is when Dead, Assume or Pump has something to do.
func (l *Life) Wake() time.Time {
	wake := l.pings.Next
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(wake) {
			wake = t
		}
	}
	sooner(l.pings.Due)
	sooner(l.Asks.Wake())
	if l.silence > 0 {
		sooner(l.Socket.LastRead().Add(l.silence))
	}
	if l.limits.LiveWithin > 0 && l.LiveSince.IsZero() {
		sooner(l.Opened.Add(l.limits.LiveWithin))
	}
	return wake
}

// Dead says whether nothing good comes from the life any more, and why; "": it is not known to be dead. It is called once
// for each time that Wake gave.
func (l *Life) Dead(now time.Time) (why cause.Cause, err error) {
	last := l.Socket.LastRead()
	switch {
	case l.LiveSince.IsZero() && l.limits.LiveWithin > 0 && !now.Before(l.Opened.Add(l.limits.LiveWithin)):
		return cause.Timeout, errNotLive
	case l.pings.Dead(now, last):
		return cause.PingTimeout, errDead
	case l.silence > 0 && now.Sub(last) >= l.silence:
		return cause.Silent, errSilent
	case l.Asks.Unanswered(now):
		return cause.Silent, errUnanswered
	}
	return "", nil
}

// Pong takes an answer to a ping that the session saw, and says how long it took, if it is the first to the newest ping.
func (l *Life) Pong(at time.Time) (rtt time.Duration, first bool) {
	if !l.pings.Answered() {
		return 0, false
	}
	return at.Sub(l.pings.Sent), true
}

// ControlPong looks for the answer to a ping of WebSocket's own: the session does not see those. An upstream that has never
// answered one is not held to it while data flows. It returns what Pong does.
func (l *Life) ControlPong() (rtt time.Duration, first bool) {
	if l.pings.Due.IsZero() || !l.controlPings {
		return 0, false
	}
	at := l.Socket.LastPong()
	switch {
	case !at.IsZero() && !at.Before(l.pings.Sent):
		return l.Pong(at)
	case at.IsZero() && l.Socket.LastRead().After(l.pings.Sent):
		l.pings.Answered()
	}
	return 0, false
}

// Assume is Asks.Assume.
func (l *Life) Assume(now time.Time) []topic.News { return l.Asks.Assume(now, l.Socket.LastRead()) }

// Pump writes what is due, as far as the subscribe rate allows: pings first, then what the session wants to say, then
// asks. report is told what becomes of topics, as it does.
func (l *Life) Pump(now time.Time, report func([]topic.News)) {
	for l.Ending == "" && !l.Mute {
		if l.pings.Wanted(now) {
			l.Asks.Ping(l)
			l.pings.Next = l.pacer.Next(now, l.rand)
		}
		frame, sent := l.Asks.Next(l, now)
		report(l.Asks.SettledAtOnce(l, now))
		if frame == nil {
			return
		}
		begun := now
		err := l.Write(frame.Kind, frame.Payload)
		sent()
		if err != nil {
			l.Mute = true
			return
		}
		now = time.Now() // the write may have taken a while
		l.Wrote = now
		if frame.Ping {
			l.pings.Written(now, l.Settings.PingTimeout)
			if l.controlPings = frame.Kind == protocol.Ping; l.controlPings {
				l.pings.Sent = begun // the reader may see the pong before a busy machine lets us look at the clock
			}
		}
		report(l.Asks.Written(frame, now))
	}
}
