package account

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/limiter"
)

// wantWait fails unless s waits for that, for so long from now on; a negative time: nobody knows.
func wantWait(t *testing.T, s *Share, want Wait, left time.Duration) {
	t.Helper()
	synctest.Wait()
	why, until := s.Waits()
	if why != want || until.IsZero() != (left < 0) || left >= 0 && time.Until(until) != left {
		t.Errorf("waits for %q until %v from now, want %q and %v", why, time.Until(until), want, left)
	}
}

func TestAShareSaysWhatKeepsItFromDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(3)
		o.Dials = limiter.Window{N: 1, Per: time.Hour}
		o.Backoff = limiter.Backoff{}
		a := New(o)
		s, other := join(t, a, "one", 1), join(t, a, "two", 2)
		wantWait(t, s, "", -1)

		seat := turn(t, other, Request{})
		ctx, giveUp := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for ctx.Err() == nil {
				if seat, err := s.Turn(ctx, Request{}); err == nil {
					seat.Live()
					<-ctx.Done()
					seat.Leave(End{PeerGone: true})
				}
			}
		}()
		wantWait(t, s, WaitProbe, -1)
		wantWait(t, other, "", -1)
		seat.Live() // and its attempt goes on
		wantWait(t, s, WaitBudget, time.Hour)
		time.Sleep(time.Minute)
		seat.Dialled()
		wantWait(t, s, WaitBudget, time.Hour)
		s.Pause(10 * time.Minute)
		wantWait(t, s, WaitPause, 10*time.Minute)
		time.Sleep(time.Hour + time.Second)
		wantWait(t, s, "", -1)

		full, stop := context.WithCancel(t.Context())
		waits := make(chan error)
		go func() { _, err := s.Turn(full, Request{Slot: 1}); waits <- err }()
		wantWait(t, s, WaitPlace, -1)
		stop()
		<-waits
		giveUp()
		<-gone
		seat.Leave(End{PeerGone: true})
		s.Crowded()
		wantWait(t, s, WaitCrowded, o.Hold)
	})
}

func TestTheFieldIsLeftToSomebodyElseUntilPeopleInsist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := join(t, New(wide(1)), "one", 1)
		if s.Insist() {
			t.Error("there was nothing to end")
		}
		s.Pause(time.Minute)
		s.Yield()
		wantWait(t, s, WaitYield, 15*time.Minute)
		begin := time.Now()
		seat := make(chan *Seat)
		go func() { seat <- turn(t, s, Request{}) }()
		synctest.Wait()
		if !s.Insist() || s.Insist() {
			t.Error("it was to be ended once")
		}
		wantWait(t, s, WaitPause, time.Minute)
		first := <-seat
		if waited := time.Since(begin); waited != time.Minute {
			t.Errorf("the turn came after %v: the pause is the upstream's word", waited)
		}
		first.Leave(End{PeerGone: true})

		s.Yield()
		begin = time.Now()
		turn(t, s, Request{}).Leave(End{PeerGone: true})
		if waited := time.Since(begin); waited != 15*time.Minute {
			t.Errorf("the turn came after %v", waited)
		}
	})
}

func TestAShareSaysThatItWaitsForADialThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(2)
		o.InFlight = 1
		s := join(t, New(o), "one", 2)
		seat := turn(t, s, Request{})
		seat.Live()
		second := make(chan *Seat)
		go func() { second <- turn(t, s, Request{Slot: 1}) }()
		wantWait(t, s, WaitInFlight, -1)
		seat.Dialled()
		(<-second).Leave(End{PeerGone: true})
		seat.Leave(End{PeerGone: true})
		wantWait(t, s, "", -1)
	})
}

func TestTheAccountWaitsAfterAProbeAsItsShareSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(2)
		o.Backoff = limiter.Backoff{Base: time.Second, Max: time.Second}
		a := New(o)
		patient, hasty := join(t, a, "patient", 1), join(t, a, "hasty", 1)
		patient.SetBackoff(limiter.Backoff{Base: time.Hour, Max: 1000 * time.Hour})
		fail := func(s *Share) (wait time.Duration) {
			t.Helper()
			seat := turn(t, s, Request{})
			seat.Leave(End{Failed: true, PeerGone: true})
			why, until := s.Waits()
			if why != WaitBackoff {
				t.Fatalf("waits for %q", why)
			}
			return time.Until(until)
		}
		if wait := fail(hasty); wait > time.Second {
			t.Errorf("the account's own backoff is %v", wait)
		}
		wait := fail(patient)
		if wait < time.Minute || wait > 2*time.Hour { // two failures so far
			t.Errorf("the patient share's backoff is %v", wait)
		}
		hasty.SetBackoff(limiter.Backoff{Base: time.Millisecond, Max: time.Minute})
		if why, until := hasty.Waits(); why != WaitBackoff || time.Until(until) != wait {
			t.Errorf("the wait that is under way is now %v, for %q", time.Until(until), why)
		}
		for range 20 {
			if wait = fail(hasty); wait > time.Minute {
				t.Errorf("the hasty share's backoff is %v", wait)
			}
		}
	})
}
