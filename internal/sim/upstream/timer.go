package upstream

import (
	"slices"
	"time"

	"feedmux/internal/sim/websocket"
)

// Timer does something about a client later, with the server's lock held. Nothing is done once the client is closing or
// silent.
type Timer struct {
	c        *Client
	at       time.Time // zero: not armed
	doLocked func()
}

// NewTimer returns a timer that is not armed.
func (c *Client) NewTimer(doLocked func()) *Timer { return &Timer{c: c, doLocked: doLocked} }

// SetLocked arms the timer for d from now, instead of any earlier time; with d = 0 or less it is not armed any more.
func (t *Timer) SetLocked(d time.Duration) {
	t.at = time.Time{}
	if d <= 0 {
		return
	}
	t.at = time.Now().Add(d)
	if !slices.Contains(t.c.timers, t) {
		t.c.timers = append(t.c.timers, t)
	}
	t.c.wakeUp()
}

// ArmedLocked says whether the timer has yet to do its work.
func (t *Timer) ArmedLocked() bool { return !t.at.IsZero() }

// QueueAfterLocked is QueueLocked d later. Frames that are due together go in the order of the calls.
func (c *Client) QueueAfterLocked(d time.Duration, frame []byte) {
	const most = 1000 // a client that floods is not answered for ever
	if d <= 0 {
		c.QueueLocked(frame, nil)
	} else if len(c.timers) < most {
		c.NewTimer(func() { c.QueueLocked(frame, nil) }).SetLocked(d)
	}
}

// onTimersLocked does what is due and returns when it wants to be called again.
func (c *Client) onTimersLocked(now time.Time) (next time.Time) {
	if !c.closeBy.IsZero() && !now.Before(c.closeBy) {
		c.closeBy = time.Time{}
		c.endLocked("FIN")
		_ = c.nc.Close()
	}
	var due []*Timer
	c.timers = slices.DeleteFunc(c.timers, func(t *Timer) bool {
		isDue := !now.Before(t.at) // one that is no longer armed leaves the list here, too
		if isDue {
			due = append(due, t)
		}
		return isDue
	})
	for _, t := range due {
		armed := !t.at.IsZero() && !now.Before(t.at) // not so if one before it disarmed it, or armed it anew
		if armed && !c.closing && !c.muted {
			t.at = time.Time{}
			t.doLocked()
		}
	}
	next = now.Add(time.Hour)
	if !c.closeBy.IsZero() {
		next = c.closeBy
	}
	if !c.closing && !c.muted {
		for _, t := range c.timers {
			if t.at.Before(next) {
				next = t.at
			}
		}
	}
	return next
}

func (c *Client) onLifeLocked() {
	c.FiredLocked(FaultLife)
	c.DismissLocked(c.s.o.CloseCode, "end of life")
}

func (c *Client) onWSPingLocked() {
	c.QueueLocked(websocket.AppendFrame(nil, websocket.OpPing, nil), nil)
	c.wsPing.SetLocked(c.s.o.WSPing)
	if !c.wsPong.ArmedLocked() {
		c.wsPong.SetLocked(c.s.o.WSPong)
	}
}

func (c *Client) onNoPongLocked() {
	code, reason := 4100, "ping pong failed"
	if p, ok := c.Session.(Pinger); ok {
		code, reason = p.NoPongLocked()
	}
	c.ExpelLocked(RuleWSPong, "no pong", code, reason)
}
