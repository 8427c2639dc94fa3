package account

import (
	"context"
	"slices"
	"time"

	"feedmux/shard"
)

// Request says who wants to dial, and what for. A hand-over whose old connection ends is another request: withdraw it, or
// its turn may come without a place when there is nobody left to pass one on.
type Request struct {
	Slot     shard.Slot
	Topics   int       // that the dial would bring back: dark, or never confirmed; 0 for a hand-over
	HandOver bool      // the slot has a connection that goes on meanwhile: if the share is full for good, the turn comes without a place
	Deadline time.Time // of a hand-over: when the upstream ends the old connection; zero: it does not
	Free     bool      // the upstream does not count this socket: it needs no place
}

// waiter is a request that waits.
type waiter struct {
	Request
	share *Share
	since time.Time
	turn  chan *Seat // one slot, and one seat in all: sent under the lock
}

// sameTime is what since is rounded down to: those of a pool that starts come together.
const sameTime = 100 * time.Millisecond

// Turn waits for a place and a turn in the budget. The attempt counts from the moment when Turn returns, and the seat
// must be left, however the attempt ends. Turn fails only with ctx's error, and then there is nothing to leave.
func (s *Share) Turn(ctx context.Context, r Request) (*Seat, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := s.account
	w := &waiter{Request: r, share: s, since: time.Now().Truncate(sameTime), turn: make(chan *Seat, 1)}
	a.mu.Lock()
	a.waiting = append(a.waiting, w)
	a.grantLocked()
	a.mu.Unlock()

	select {
	case seat := <-w.turn:
		a.save() // before the dial: if we die in it, it still counts
		return seat, nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	a.removeLocked(w)
	a.grantLocked()
	a.mu.Unlock()
	select {
	case seat := <-w.turn: // too late for it: nothing was opened, and the budget has no way back
		seat.Leave(End{PeerGone: true})
	default:
	}
	return nil, ctx.Err()
}

func (a *Account) removeLocked(w *waiter) {
	a.waiting = slices.DeleteFunc(a.waiting, func(v *waiter) bool { return v == w })
}

// again is grantLocked for a timer.
func (a *Account) again() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.grantLocked()
}

// grantLocked gives turns as long as there is somebody who may have one, and sets the timer if time alone will change
// that. It must be called after every change but one that only makes turns rarer.
func (a *Account) grantLocked() {
	if a.timer != nil {
		a.timer.Stop()
	}
	for {
		w, look := a.firstLocked()
		if w == nil {
			if !look.IsZero() { // else whatever helps is a change
				a.timer = time.AfterFunc(time.Until(look), a.again)
			}
			return
		}
		wait := time.Until(a.openAtLocked())
		if wait <= 0 {
			var dialled func()
			if dialled, wait = a.dials.Try(); dialled != nil {
				a.removeLocked(w)
				w.turn <- a.seatLocked(w, dialled)
				continue
			}
			a.budgetAt = time.Now().Add(wait)
		}
		if wait > 0 { // else the end of an attempt helps
			a.timer = time.AfterFunc(wait, a.again)
		}
		return
	}
}

// firstLocked is who goes next of those that have a place or need none; nil if there is nobody, or if nobody may go
// before the probe under way has ended. look is when time alone changes that; zero: never.
func (a *Account) firstLocked() (first *waiter, look time.Time) {
	probing := a.live == 0
	if probing && a.fresh > 0 {
		return nil, time.Time{}
	}
	for _, w := range a.waiting {
		ok, at := w.eligibleLocked()
		if ok && (first == nil || w.before(first, probing)) {
			first = w
		}
		if !at.IsZero() && (look.IsZero() || at.Before(look)) {
			look = at
		}
	}
	return first, look
}

// nearEnd is how long before the old connection of a hand-over ends a place is not waited for any more.
const nearEnd = 5 * time.Second

// eligibleLocked says whether w has a place, or needs none; or else from when on it needs none. A hand-over waits for a
// place that will be free without its help: one that is held, or that another hand-over uses for a moment.
func (w *waiter) eligibleLocked() (ok bool, at time.Time) {
	s := w.share
	switch {
	case s.taken < s.limit, w.Free:
		return true, time.Time{}
	case !w.HandOver:
		return false, time.Time{}
	case s.held == 0 && len(s.handing) == 0:
		return true, time.Time{}
	case w.Deadline.IsZero():
		return false, time.Time{}
	}
	at = w.Deadline.Add(-nearEnd)
	return !time.Now().Before(at), at
}

// before says whether w goes before v. Probes go round the slots. Otherwise those with a deadline are first, then those
// with the most topics to bring back, then those that have waited longest, then the lowest slots, where the most wanted
// topics are.
func (w *waiter) before(v *waiter, probing bool) bool {
	if wp, vp := w.share.probed[w.Slot], v.share.probed[v.Slot]; probing && wp != vp {
		return wp < vp
	}
	switch {
	case !w.Deadline.Equal(v.Deadline):
		return v.Deadline.IsZero() || (!w.Deadline.IsZero() && w.Deadline.Before(v.Deadline))
	case w.Topics != v.Topics:
		return w.Topics > v.Topics
	case !w.since.Equal(v.since):
		return w.since.Before(v.since)
	case w.Slot != v.Slot:
		return w.Slot < v.Slot
	}
	return w.share.index < v.share.index
}
