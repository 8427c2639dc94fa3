package conn

import (
	"context"
	"errors"
	"slices"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/cause"
	"feedmux/internal/conn/life"
	"feedmux/internal/overlap"
	"feedmux/internal/protocol"
	"feedmux/internal/reader"
	"feedmux/internal/slots"
	"feedmux/internal/socket"
	"feedmux/internal/topic"
)

// A hand-over, the same for every cause: a turn to dial is taken first. Where a place is free, the new life opens while the old
// one serves; its events are held back (package overlap). Once it has confirmed what the old one had, the old one is sent
// Close and read to its FIN, for two seconds at most, and what was held back follows. Where no place is free, the old one
// is closed first and its place passes on: then there is a gap, and it is announced.

// handOverWithin is how long a new life may take to confirm what the old one has. Then it is given up and tried again later,
// while the old one serves on.
const handOverWithin = 45 * time.Second

// How a hand-over ends: both lives are open for a little while, since two of an upstream's servers are seldom equally fast;
// then the old one is closed. All that is over in two seconds.
const (
	linger      = 500 * time.Millisecond
	closeWithin = 2 * time.Second
)

// mustMove says why the life that serves must be handed over, if it must, and by when.
func (c *Conn) mustMove() (why cause.Cause, by time.Time) {
	switch l := c.life; {
	case l == nil:
	case l.Move != "":
		return l.Move, l.MoveBy
	case l.Renewals < c.order.Renewals, !l.RetireAt.IsZero() && !time.Now().Before(l.RetireAt):
		return cause.Renewed, time.Time{}
	}
	return "", time.Time{}
}

// movable says whether a hand-over can begin.
func (c *Conn) movable() bool {
	return c.state == slots.Live && c.life.Ending == "" && !c.life.Mute && c.next == nil && c.last == nil && c.attempt == nil
}

// considerHandOver begins a hand-over that is due.
func (c *Conn) considerHandOver(ctx context.Context, now time.Time) {
	if !c.movable() || now.Before(c.moveAt) {
		return
	}
	why, by := c.mustMove()
	if why == "" {
		return
	}
	a := &attempt{handOver: true}
	if !c.may(a) {
		c.moveAt = now.Add(lookAgain)
		return
	}
	c.begin(ctx, a, account.Request{
		Slot: c.slot, HandOver: true, Deadline: by, Free: c.limits.Overlap == protocol.Free,
	})
}

// closeFirst says whether the old life must end before the new one is dialled.
func (c *Conn) closeFirst(a *attempt) bool {
	return !a.seat.Placed() || c.limits.Overlap == protocol.Never
}

// standBy lets a new life get ready beside the one that serves.
func (c *Conn) standBy(ctx context.Context, l *life.Life) {
	// What was wanted since, or is about to be asked for again, is the new one's alone: else its events would come by both
	// in an order that nobody knows.
	j := overlap.New(overlap.MaxHeld, c.life.Asks.Carried())
	j.Snapshots = c.limits.Snapshots
	c.life.Asks.Freeze(true)
	l.Join(j, true)
	l.GiveUpAt = time.Now().Add(handOverWithin)
	c.life.Join(j, false)
	c.next = l
	c.start(ctx, l)
	c.pump(l, time.Now())
}

// takeOver makes the new life the one that serves, once it has confirmed what the old one has.
func (c *Conn) takeOver() {
	old, l := c.life, c.next
	if old.Ending != "" || l.Ending != "" || l.Mute || l.LiveSince.IsZero() {
		return
	}
	if !l.Asks.Covers(old.Asks) { // a topic that was wanted since may be confirmed there first
		l.ReadyAt = time.Time{}
		return
	}
	now := time.Now()
	if l.ReadyAt.IsZero() {
		l.ReadyAt = now
	}
	if now.Before(l.ReadyAt.Add(linger)) {
		return
	}
	why, _ := c.mustMove()
	c.life, c.last, c.next = l, old, nil
	c.current.Store(l)
	l.Closing()
	old.Ending, old.Heirs = why, l.Asks.Inherited(old.Asks)
	c.serve(l, slots.Live, why)
	old.Socket.Leave(1000, "")
}

// serve tells that a life serves now, and all that is known of its topics.
func (c *Conn) serve(l *life.Life, s slots.State, why cause.Cause) {
	c.setState(s, why, nil)
	c.report(l, l.Asks.Known())
	c.sayFull(l)
}

// release ends a hand-over when the old life has ended: what was held back follows.
func (c *Conn) release(old *life.Life, e reader.Ended, why cause.Cause, end account.End) {
	c.last = nil
	c.settleBackoff(end)
	c.catchUp()
	if end.Failed {
		c.moveAt = slices.MaxFunc([]time.Time{c.moveAt, c.afterFailure(time.Now())}, time.Time.Compare)
	}
	news := slots.LifeEnded{Slot: c.slot, Life: old.Number, LastFrame: e.LastFrame, Cause: why, Replaced: true}
	var closed *socket.CloseError
	if !errors.As(e.Err, &closed) && !errors.Is(e.Err, socket.ErrNoClose) {
		news.Heir = old.Heirs // nobody knows for how long it had been deaf
	}
	if c.life != nil {
		c.life.Release()
	}
	c.up <- news
}

// catchUp lets no other hand-over begin while the new life may still be behind the old one, and bring what that one brought:
// it can be the newer in one, or the older in the next.
func (c *Conn) catchUp() { c.moveAt = time.Now().Add(overlap.LateFor) }

// inherit makes the new life the one that serves, ready or not, since the old one is gone.
func (c *Conn) inherit() {
	c.catchUp()
	l := c.next
	c.life, c.next = l, nil
	c.current.Store(l)
	l.Release()
	state := slots.Live
	if l.LiveSince.IsZero() {
		state = slots.Opening
	}
	c.serve(l, state, "")
}

// abandon ends a hand-over whose new life has ended. While the old one serves on it brings what was held back; once it ends,
// nobody does.
func (c *Conn) abandon(l *life.Life, e reader.Ended, why cause.Cause, err error, end account.End) {
	c.next = nil
	c.up <- slots.LifeEnded{Slot: c.slot, Life: l.Number, LastFrame: e.LastFrame, Cause: why, Replaced: true, Alone: l.Ceded}
	if c.life.Ending != "" {
		c.left = l
	} else {
		c.life.Join(nil, false)
		c.life.Asks.Freeze(false)
		c.ask(c.life)
	}
	c.settleBackoff(end)
	c.moveAt = c.afterFailure(time.Now())
	if c.left == nil && why != cause.Drain {
		c.up <- slots.HandOverFailed{Slot: c.slot, Cause: why, Err: err, Again: c.moveAt}
	}
}

// cede makes topics the new life's alone that it has confirmed and the old one has not: they would be held back for as long
// as the hand-over takes, and nobody else brings them.
func (c *Conn) cede(l *life.Life, confirmed []*topic.Topic) {
	var alone []*topic.Topic
	for _, t := range confirmed {
		if c.life.Asks.IsConfirmed(t.Name) {
			continue
		}
		if l.Ceded == nil {
			l.Ceded = make(map[*topic.Topic]bool)
		}
		l.Ceded[t.Self()] = true
		alone = append(alone, t)
	}
	l.Cede(alone)
}
