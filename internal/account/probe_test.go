package account

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/limiter"
	"feedmux/shard"
)

// probes are the dials that an upstream saw.
type probes struct {
	mu    sync.Mutex
	slots []shard.Slot
	begin []time.Time
	end   []time.Time
}

func TestAnOutageCostsOneDialAtATimeAndTheFirstLifeReleasesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, outage, dial = 10, time.Hour, 200 * time.Millisecond
		o := wide(slots)
		o.Dials = limiter.Window{N: 1, Per: 2 * time.Second}
		a := New(o)
		shares := []*Share{join(t, a, "one", 4), join(t, a, "two", 6)}
		healsAt := time.Now().Add(outage)
		var p probes
		var all sync.WaitGroup
		for i := range shard.Slot(slots) {
			s, slot := shares[0], i
			if i >= 4 {
				s, slot = shares[1], i-4
			}
			all.Go(func() {
				for {
					seat := turn(t, s, Request{Slot: slot, Topics: int(slots - i)}) // the lowest would always be first
					p.mu.Lock()
					p.slots, p.begin = append(p.slots, i), append(p.begin, time.Now())
					p.mu.Unlock()
					time.Sleep(dial)
					p.mu.Lock()
					p.end = append(p.end, time.Now())
					p.mu.Unlock()
					if time.Now().After(healsAt) {
						seat.Dialled()
						seat.Live()
						return
					}
					if !s.Probing() {
						t.Error("a life is live")
					}
					seat.Leave(End{Failed: true, PeerGone: true})
				}
			})
		}
		all.Wait()

		healed := len(p.begin) - slots
		if failed := shares[0].FailedProbes(); failed != healed || shares[1].FailedProbes() != failed {
			t.Errorf("%d probes failed, and the account counted %d", healed, failed)
		}
		if healed < 40 || healed > 120 {
			t.Errorf("%d probes in %v, the mean delay is a minute", healed, outage)
		}
		longest := time.Duration(0)
		for i := 1; i < len(p.begin); i++ {
			wait := p.begin[i].Sub(p.end[i-1])
			switch {
			case wait < o.Dials.Per:
				t.Errorf("dial %d began %v after the end of the one before", i, wait)
			case i <= healed && wait > max(o.Dials.Per, min(o.Backoff.Max, o.Backoff.Base<<min(i-1, 20))):
				t.Errorf("probe %d began %v after the end of the one before", i, wait)
			case i > healed && wait != o.Dials.Per:
				t.Errorf("released dial %d began %v after the end of the one before", i, wait)
			}
			if i <= healed {
				longest = max(longest, wait)
			}
		}
		if longest < time.Minute {
			t.Errorf("no delay was longer than %v", longest)
		}
		for i := 0; i+slots <= healed; i += slots {
			if round := slices.Sorted(slices.Values(p.slots[i : i+slots])); len(slices.Compact(round)) != slots {
				t.Errorf("probes %d to %d were of the slots %v", i, i+slots, p.slots[i:i+slots])
			}
		}
		if shares[0].Probing() || !a.NextProbe().IsZero() {
			t.Error("it still probes")
		}
	})
}

func TestTheFirstDialOfAllIsAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(3))
		s := join(t, a, "one", 3)
		first := turn(t, s, Request{})
		others := make(chan *Seat, 2)
		for slot := range shard.Slot(2) {
			go func() { others <- turn(t, s, Request{Slot: 1 + slot}) }()
		}
		time.Sleep(time.Hour)
		first.Dialled()
		synctest.Wait()
		if len(others) > 0 || !s.Probing() {
			t.Fatal("the upstream has not said a word, and others dial")
		}
		first.Live()
		first.Live()
		<-others
		<-others
		if s.Probing() || s.FailedProbes() != 0 {
			t.Error("it still probes")
		}
	})
}

func TestAnUpstreamThatAcceptsAndClosesIsAFailedProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(1))
		s := join(t, a, "one", 1)
		begin := time.Now()
		n := 0
		for time.Since(begin) < time.Hour {
			seat := turn(t, s, Request{})
			seat.Dialled() // 101
			seat.Leave(End{Failed: true, PeerGone: true, Lived: time.Hour})
			if n++; s.FailedProbes() != n {
				t.Fatalf("%d failed probes of %d", s.FailedProbes(), n)
			}
		}
		if n < 40 || n > 120 {
			t.Errorf("%d dials in an hour", n)
		}
	})
}

func TestAnUpstreamThatEndsEveryLifeAt45SecondsLeavesTopicsDarkForAFifthOfThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(1))
		s := join(t, a, "one", 1)
		longest := time.Duration(0)
		for range 100 {
			seat := liven(t, s, 0)
			time.Sleep(45 * time.Second)
			seat.Leave(End{Lived: 45 * time.Second, Failed: true, PeerGone: true})
			begin := time.Now()
			seat = turn(t, s, Request{})
			longest = max(longest, time.Since(begin))
			seat.Leave(End{PeerGone: true})
		}
		if longest > 9*time.Second || longest < 8*time.Second {
			t.Errorf("the longest delay was %v, the bound is 9s", longest)
		}
		if s.FailedProbes() != 0 {
			t.Errorf("%d failed probes", s.FailedProbes())
		}
	})
}

// longest is the longest of many delays, each after a life that end ends.
func longest(t *testing.T, end func(t *testing.T, s *Share)) (delay time.Duration) {
	t.Helper()
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			o := wide(2)
			o.Seed = seed
			s := join(t, New(o), "one", 2)
			end(t, s)
			begin := time.Now()
			turn(t, s, Request{})
			delay = max(delay, time.Since(begin))
		})
	}
	return delay
}

func TestWhatComesAfterALife(t *testing.T) {
	fail := func(t *testing.T, s *Share, n int) {
		for range n {
			turn(t, s, Request{}).Leave(End{Failed: true, PeerGone: true})
		}
	}
	for name, tt := range map[string]struct {
		end      func(t *testing.T, s *Share)
		from, to time.Duration // of the longest delay
	}{
		"one that settled, and failed": {func(t *testing.T, s *Share) {
			fail(t, s, 5)
			liven(t, s, 0).Leave(End{Failed: true, PeerGone: true, Lived: time.Minute})
		}, 900 * time.Millisecond, time.Second},
		"one that settled, while another went on, and then a failed probe": {func(t *testing.T, s *Share) {
			fail(t, s, 5)
			last := liven(t, s, 0)
			liven(t, s, 1).Leave(End{Failed: true, PeerGone: true, Lived: time.Minute})
			last.Leave(End{PeerGone: true, Lived: time.Second})
			fail(t, s, 1)
		}, 900 * time.Millisecond, time.Second},
		"one that was short": {func(t *testing.T, s *Share) {
			fail(t, s, 5)
			liven(t, s, 0).Leave(End{Failed: true, PeerGone: true, Lived: time.Second})
		}, 29 * time.Second, 32 * time.Second},
		"one that nobody wanted any more": {func(t *testing.T, s *Share) {
			fail(t, s, 5)
			liven(t, s, 0).Leave(End{PeerGone: true, Lived: time.Second})
		}, 0, 0},
		"one of two": {func(t *testing.T, s *Share) {
			liven(t, s, 1)
			liven(t, s, 0).Leave(End{Failed: true, PeerGone: true, Lived: time.Second})
		}, 0, 0},
		"a dial that failed while another was live": {func(t *testing.T, s *Share) {
			liven(t, s, 1)
			fail(t, s, 10)
			if s.FailedProbes() != 0 {
				t.Error("these are no probes")
			}
		}, 0, 0},
		"a dial that nobody wanted any more": {func(t *testing.T, s *Share) {
			turn(t, s, Request{}).Leave(End{PeerGone: true})
			if s.FailedProbes() != 0 {
				t.Error("this is no failure")
			}
		}, 0, 0},
		"a life that came up after a failed probe, and that nobody wanted any more": {func(t *testing.T, s *Share) {
			last := liven(t, s, 1)
			under := turn(t, s, Request{})
			last.Leave(End{Failed: true, PeerGone: true})
			under.Live()
			under.Leave(End{PeerGone: true, Lived: time.Second})
		}, 0, 0},
		"dials that the last live one left behind": {func(t *testing.T, s *Share) {
			last := liven(t, s, 1)
			under := turn(t, s, Request{})
			last.Leave(End{PeerGone: true, Lived: time.Minute})
			under.Leave(End{Failed: true, PeerGone: true})
			if s.FailedProbes() != 1 {
				t.Errorf("%d failed probes", s.FailedProbes())
			}
		}, 900 * time.Millisecond, time.Second},
	} {
		if got := longest(t, tt.end); got < tt.from || got > tt.to {
			t.Errorf("after %s: the longest delay was %v, want %v to %v", name, got, tt.from, tt.to)
		}
	}
}

func TestNextProbeTellsWhatHoldsThoseUpWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(2))
		s := join(t, a, "one", 2)
		for range 10 {
			turn(t, s, Request{}).Leave(End{Failed: true, PeerGone: true})
		}
		if !a.NextProbe().IsZero() {
			t.Error("nobody waits")
		}
		began := make(chan time.Time)
		dial := func() {
			go func() {
				turn(t, s, Request{}).Live()
				began <- time.Now()
			}()
			synctest.Wait()
		}
		dial()
		at := a.NextProbe()
		if got := <-began; !got.Equal(at) {
			t.Errorf("the probe began at %v, it was said to begin at %v", got, at)
		}
		s.Pause(time.Minute)
		dial()
		if !a.NextProbe().IsZero() {
			t.Error("a life is live")
		}
		<-began
	})
}
