package account

import (
	"time"

	"feedmux/shard"
)

// Seat is one socket in the eyes of the account, from its turn to dial until the upstream counts it no more.
type Seat struct {
	share   *Share
	slot    shard.Slot
	attempt *Attempt

	// Guarded by share.account.mu.
	dialled func() // ends the attempt in the budget; nil once it did
	place   bool   // it has taken one of the share
	free    bool   // it needs none
	live    bool
	left    bool
}

// End is how a life ended, or a dial that came to nothing.
type End struct {
	Lived    time.Duration // live for so long; 0: it never was
	Failed   bool          // neither we nor the topics wanted it over
	PeerGone bool          // the peer saw the end, or nothing was opened: the place is free now, else after Options.Hold
}

// seatLocked gives w its seat, with a place if there is one and it needs one.
func (a *Account) seatLocked(w *waiter, dialled func()) *Seat {
	s := w.share
	t := &Seat{share: s, slot: w.Slot, attempt: a.log.begin(), dialled: dialled, free: w.Free}
	if !t.free && s.taken < s.limit {
		t.place = true
		s.taken++
		if w.HandOver {
			s.handing[w.Slot] = true
		}
	}
	if a.live == 0 {
		a.probes++
		s.probed[w.Slot] = a.probes
	}
	a.fresh++
	return t
}

// Placed says whether it has a place, or needs none. If not, nothing may be opened before PassTo gave it one.
func (t *Seat) Placed() bool {
	a := t.share.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.place || t.free
}

// Dialled tells that the dial ended, however: in the eyes of the budget. Only the first call does anything. Leave does it
// too.
func (t *Seat) Dialled() {
	a := t.share.account
	a.mu.Lock()
	ended := t.dialledLocked()
	a.grantLocked()
	a.mu.Unlock()
	if ended {
		a.save()
	}
}

// dialledLocked ends the attempt and reports whether it was under way.
func (t *Seat) dialledLocked() bool {
	if t.dialled == nil {
		return false
	}
	t.dialled()
	t.dialled = nil
	t.attempt.End = time.Now()
	return true
}

// Live tells that the first application frame came. Only the first call does anything.
func (t *Seat) Live() {
	a := t.share.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.live || t.left {
		return
	}
	t.live = true
	a.crowded = 0
	a.fresh--
	a.live++
	a.probeAt = time.Time{}
	a.grantLocked()
}

// Leave tells that the life is over, or that the dial came to nothing. Of Leave and PassTo only the first call does
// anything.
func (t *Seat) Leave(e End) { t.PassTo(nil, e) }

// PassTo is Leave, but the place goes straight to next, a seat of the same share that has none. Where the peer did not
// see the end it is like Leave: next gets nothing.
func (t *Seat) PassTo(next *Seat, e End) {
	a := t.share.account
	a.mu.Lock()
	if t.left {
		a.mu.Unlock()
		return
	}
	t.left = true
	delete(t.share.handing, t.slot) // one of the slot's two is over
	ended := t.dialledLocked()
	a.overLocked(t, e)
	if t.place {
		t.place = false
		switch {
		case !e.PeerGone:
			t.share.held++
			time.AfterFunc(a.hold, t.share.vacate)
		case next != nil && !next.place && !next.free && !next.left:
			next.place = true
		default:
			t.share.taken--
		}
	}
	a.grantLocked()
	a.mu.Unlock()
	if ended {
		a.save()
	}
}

// vacate gives a place back.
func (s *Share) vacate() {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	s.taken--
	s.held--
	a.grantLocked()
}

// overLocked works out what the end of t means for those who probe. While others are live it is no fault of the account.
func (a *Account) overLocked(t *Seat, e End) {
	if t.live {
		a.live--
		at := time.Now()
		if !e.PeerGone {
			at = at.Add(a.hold)
		}
		a.roomLocked(at)
	} else {
		a.fresh--
		e.Lived = 0
	}
	a.backoff.Change(t.share.backoff)
	switch {
	case !e.Failed || a.live > 0:
		a.backoff.Ended(e.Lived)
		return
	case !t.live:
		a.failed++
	}
	a.backoff.Failed(e.Lived)
	a.probeAt = time.Now().Add(a.backoff.Next(a.rand))
}
