package conn

import (
	"context"
	"errors"
	"slices"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/cause"
	"feedmux/internal/conn/life"
	"feedmux/internal/protocol"
	"feedmux/internal/reader"
	"feedmux/internal/slots"
	"feedmux/internal/socket"
	"feedmux/internal/topic"
)

func (c *Conn) onEnded(ctx context.Context, e reader.Ended) {
	l := c.of(e.Reader)
	l.Over()
	if s := c.opts.Stream; s != nil {
		s.Ended()
	}
	why, err := l.Ending, l.EndErr
	if why == "" {
		why, err = c.judge(l, e), e.Err
	}
	if c.opts.Credential != nil && l.LiveSince.IsZero() {
		c.opts.Credential.GivenUp(c.slot)
	}
	end := account.End{PeerGone: l.Socket.PeerGone()}
	if !l.LiveSince.IsZero() {
		end.Lived = time.Since(l.LiveSince)
	}
	switch {
	case l.Denied: // nobody goes on to the next probe with it
	case l.Ending == cause.Drain, l.Ending == cause.Renewed:
	case l.Ending == cause.ServerAsked: // an upstream that asks again and again is no better than one that closes
		end.Failed = end.Lived < l.Settings.Backoff.Settle
	default:
		end.Failed = true
	}
	switch l {
	case c.next:
		l.Seat.Leave(end)
		c.abandon(l, e, why, err, end)
	case c.last:
		l.Seat.Leave(end)
		c.release(l, e, why, end)
	default:
		c.onServingEnded(ctx, l, e, why, err, end)
	}
}

// onServingEnded goes on after the life that served.
func (c *Conn) onServingEnded(ctx context.Context, l *life.Life, e reader.Ended, why cause.Cause, err error, end account.End) {
	now := time.Now()
	if l.Ending == "" {
		if guilty := l.Asks.LifeEnded(now, !l.LiveSince.IsZero() || !c.opts.Share.Probing()); guilty != nil {
			c.refuse(guilty, "the upstream ends each connection that asks for it: "+err.Error(), now)
		}
	}
	l.Release() // what it holds back was received, and the one before is as good as gone
	if c.left != nil {
		c.left.Release()
		c.left = nil
	}
	if l.Full {
		c.fulls++
	} else {
		c.fulls = 0
	}
	c.life = nil
	c.current.Store(nil)
	if c.next != nil && c.next.Ending == "" && !c.next.Mute {
		l.Seat.Leave(end)
		c.settleBackoff(end)
		c.up <- slots.LifeEnded{Slot: c.slot, Life: l.Number, LastFrame: e.LastFrame, Cause: why, Heir: c.next.Asks.Inherited(l.Asks)}
		c.inherit()
		return
	}
	if c.next != nil { // it is as good as gone, too: only its last events are awaited, and nobody else brings what it holds back
		c.next.Release()
		c.last, c.next = c.next, nil
	}
	waiting := c.attempt // of a hand-over
	var heir *account.Seat
	if waiting != nil {
		if heir = waiting.seat; heir == nil { // it is in the queue with others that can wait; this slot cannot any more
			waiting.cancel()
		}
	}
	l.Seat.PassTo(heir, end) // this end may be what the new one needs
	c.settleBackoff(end)
	c.retryAt = now
	if end.Failed {
		c.retryAt = c.afterFailure(now)
	}
	if l.Full {
		c.retryAt = slices.MaxFunc([]time.Time{c.retryAt, now.Add(c.fullWait())}, time.Time.Compare)
	}
	c.moveAt = c.retryAt // an upstream that asks each new life to move is waited for, too
	c.up <- slots.LifeEnded{Slot: c.slot, Life: l.Number, LastFrame: e.LastFrame, Cause: why}
	switch {
	case l.Denied && len(c.order.Topics) > 0 && ctx.Err() == nil && (waiting == nil || waiting.seat == nil):
		c.setState(slots.Parked, why, err)
	case waiting == nil || waiting.seat == nil:
		c.rest(ctx, why, err)
	case !waiting.opened && (!waiting.seat.Placed() || len(c.order.Topics) == 0):
		// the peer did not say that it saw the end, so its place is not free for a while; or nothing is wanted any more
		waiting.cancel()
		c.attempt = nil
		waiting.seat.Leave(account.End{PeerGone: true})
		c.rest(ctx, why, err)
	default: // a dial like any other, from now on
		waiting.handOver = false
		c.setState(slots.Dialing, why, err)
		if !waiting.opened {
			c.open(ctx, waiting)
		}
	}
}

// refuse says that a topic cannot be asked for. The next life does not, even if it begins before the order that says so.
func (c *Conn) refuse(t *topic.Topic, reason string, now time.Time) {
	c.up <- slots.TopicNews{Slot: c.slot, Credential: c.order.Credential, News: topic.News{Topics: []*topic.Topic{t}, State: topic.Refused, Reason: reason, At: now}}
	c.order.Topics = slices.DeleteFunc(slices.Clone(c.order.Topics), func(other *topic.Topic) bool { return other.Is(t) })
}

// settleBackoff takes what a life that ended means for later delays.
func (c *Conn) settleBackoff(end account.End) {
	c.backoff.Change(c.settings().Backoff)
	c.raiseBackoff()
	switch {
	case !end.Failed:
		c.backoff.Ended(end.Lived)
	case end.Lived > 0 || !c.opts.Share.Probing(): // else the account counts it
		c.backoff.Failed(end.Lived)
	default:
		c.raiseBackoff()
	}
}

// raiseBackoff counts the account's failed probes: they are failures of all who share it.
func (c *Conn) raiseBackoff() {
	probes := c.opts.Share.FailedProbes()
	c.backoff.Raise(probes - c.probes)
	c.probes = probes
}

// afterFailure is when to dial again. While no life of the account is live, the account says when, and then to whom.
func (c *Conn) afterFailure(now time.Time) time.Time {
	if !c.opts.Share.Probing() {
		now = now.Add(c.backoff.Next(c.rand))
	}
	if at := c.opts.Share.OpenAt(); at.After(now) {
		return at // the account would wait as long, and not say so
	}
	return now
}

// rest goes on after a dial that failed or a life that ended.
func (c *Conn) rest(ctx context.Context, why cause.Cause, err error) {
	if len(c.order.Topics) > 0 && ctx.Err() == nil {
		c.setState(slots.Waiting, why, err)
		return
	}
	if c.opts.Credential != nil {
		c.opts.Credential.GivenUp(c.slot)
	}
	c.setState(slots.Closed, why, nil)
}

// idleFor is how long nothing must have gone either way before a connection broke, for a middlebox to be suspected: the
// shortest of the usual limits, 30 s, less what clocks differ.
const idleFor = 29 * time.Second

// judge names the cause of an end that was not ours, and draws the consequences that reach beyond the slot.
func (c *Conn) judge(l *life.Life, e reader.Ended) cause.Cause {
	var closed *socket.CloseError
	if judge, ok := c.opts.Protocol.(protocol.CloseJudge); ok && errors.As(e.Err, &closed) {
		switch judge.JudgeClose(closed.Code, closed.Reason) {
		case protocol.Unanswered:
			return cause.PingTimeout
		case protocol.Duplicate:
			c.opts.Share.Yield() // whoever it is would be closed by our next dial
			return cause.Duplicate
		case protocol.Denied:
			return c.refused(l)
		}
	}
	var denied *protocol.DeniedError
	if errors.As(e.Err, &denied) {
		return c.refused(l)
	}
	why := cause.Of(e.Err)
	quiet := time.Since(l.Socket.LastRead())
	if !l.Wrote.IsZero() {
		quiet = min(quiet, time.Since(l.Wrote))
	}
	switch {
	case why == cause.Reset && quiet >= idleFor:
		return cause.IdleClose
	case l.Move == cause.ServerAsked && (why == cause.Reset || why == cause.ClosedByServer):
		return cause.ServerAsked // it had said so
	}
	return why
}

// refused notes that the upstream ended the life because of its credential, and names the cause. Nobody dials with that
// again.
func (c *Conn) refused(l *life.Life) cause.Cause {
	if c.opts.Credential != nil {
		l.Denied = true
		c.dead(l.Changes)
	}
	if l.LiveSince.IsZero() {
		return cause.Auth
	}
	return cause.TokenExpired
}
