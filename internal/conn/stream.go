package conn

import (
	"context"
	"errors"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/conn/life"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
)

// A feed whose upstream keeps what it sent has a Stream (package resume): every life brings it what comes, and it fetches
// what was missed. Its topics are confirmed once it has caught up with the life.

// runStream lets the stream work beside the conn.
func (c *Conn) runStream(ctx context.Context) (changed <-chan struct{}) {
	s := c.opts.Stream
	if s == nil {
		return nil
	}
	c.children.Go(func() { s.Run(ctx) })
	return s.Changed()
}

// onStream takes what the stream has to say.
func (c *Conn) onStream(now time.Time) {
	s := c.opts.Stream
	for _, g := range s.Gaps() {
		at := slots.AtDelivery
		if g.Cause != cause.NATSBroke {
			at = slots.AtUpstream
		}
		c.up <- slots.GapNews{Slot: c.slot, From: g.From, To: g.To, Cause: g.Cause, At: at, Filled: g.Filled}
	}
	l, st := c.life, s.State()
	if s.Refused() {
		c.onRefused()
	}
	switch {
	case l == nil || st.Life != l.Number || l.Ending != "":
		return
	case st.CaughtUp:
		c.listening(l, now, st.Filled)
	case l.Listening && !st.Behind.IsZero(): // nothing flows: the topics are as dark as if the line had been cut
		l.Listening = false
		l.Asks.Unheed()
		c.up <- slots.LifeEnded{Slot: c.slot, Life: l.Number, LastFrame: st.Behind, Cause: st.Cause, GoesOn: true}
		c.setState(c.state, st.Cause, st.Err)
	}
	if st.Unvouched && l.Move == "" && !l.LiveSince.IsZero() {
		l.Move = cause.Renewed // the next life vouches for the credential that there is now
	}
}

// listening says that a life whose topics are not asked for brings all that there is from now on.
func (c *Conn) listening(l *life.Life, now time.Time, filled topic.Filled) {
	if !l.Listening {
		l.Listening = true
		c.report(l, l.Asks.Listening(now, filled))
	}
}

var errRefused = errors.New("the upstream does not accept the credential any more: nothing is fetched until it changes")

// onRefused notes that the upstream refused the stream's credential. A life that is open goes on.
func (c *Conn) onRefused() {
	c.opts.Credential.Refused(c.fetching)
	switch {
	case c.state == slots.Live:
		c.setState(slots.Live, cause.TokenExpired, errRefused)
	case c.state == slots.Waiting && c.attempt == nil:
		c.setState(slots.Parked, cause.Auth, errRefused)
	}
}

// dead says that the upstream does not accept the secret as it was after so many changes.
func (c *Conn) dead(changes int) {
	c.opts.Credential.Refused(changes)
	if s := c.opts.Stream; s != nil && changes == c.opts.Credential.Changes() { // else there is a newer one
		s.Denied()
	}
}
