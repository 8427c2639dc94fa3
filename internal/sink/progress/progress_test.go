package progress

import (
	"math/rand/v2"
	"testing"
)

// take takes as many events as may be taken, at most n, and says how many.
func take(f *Feed, n int) (taken int) {
	for ; taken < n; taken++ {
		if r, _ := f.Admit(); r == nil {
			break
		}
		f.Took()
	}
	return taken
}

// pass lets n events of a run pass into a window.
func pass(r *Run, window, n int) {
	for range n {
		r.Passed(window)
	}
}

func want(t *testing.T, f *Feed, done uint64, lost bool) {
	t.Helper()
	if gotDone, gotLost := f.Progress(); gotDone != done || gotLost != lost {
		t.Fatalf("%d are done with, lost: %v; want %d, %v", gotDone, gotLost, done, lost)
	}
}

func TestEventsAreDoneByWindows(t *testing.T) {
	f := New()
	r, _ := f.Admit()
	take(f, 100)
	pass(r, 0, 30)
	want(t, f, 0, false)
	pass(r, 1, 20) // while the first is asked about
	r.Confirmed(0)
	want(t, f, 30, false)
	pass(r, 0, 10)
	r.Confirmed(1)
	want(t, f, 50, false)
	r.Confirmed(0)
	want(t, f, 60, false)
	r.Confirmed(0) // there is nothing in it
	want(t, f, 60, false)
}

func TestARunIsToldOnceThatItIsInAWindow(t *testing.T) {
	r, _ := New().Admit()
	for _, window := range []int{0, 1} {
		if !r.Passed(window) || r.Passed(window) {
			t.Errorf("window %d: not the first alone is the first", window)
		}
	}
	if r.Confirmed(0); !r.Passed(0) {
		t.Error("in a window that was confirmed, the next is not the first")
	}
}

func TestNothingIsTakenAfterALossUntilARestart(t *testing.T) {
	f := New()
	r, _ := f.Admit()
	take(f, 10)
	pass(r, 0, 4)
	r.Confirmed(0)
	pass(r, 1, 4)
	r.Broke()
	want(t, f, 4, true)
	if !r.Stopped() || take(f, 1) != 0 {
		t.Fatal("it goes on after a hole")
	}
	if done := f.Restart(); done != 4 {
		t.Fatalf("it goes on after %d, want 4", done)
	}
	want(t, f, 4, false)
	next, _ := f.Admit()
	if next == r || next.Stopped() {
		t.Fatal("the run is not a new one")
	}
	take(f, 3)
	pass(next, 0, 3)
	next.Confirmed(0)
	want(t, f, 7, false)
}

func TestARunThatIsOverCountsForNothing(t *testing.T) {
	f := New()
	old, _ := f.Admit()
	take(f, 10)
	pass(old, 0, 10)
	f.Restart()
	old.Confirmed(0)
	want(t, f, 0, false)
	pass(old, 0, 1) // the one that was in hand
	old.Broke()
	want(t, f, 0, false)
}

func TestOneEventThatBreaksEveryConnectionIsFound(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		events := 1 + rnd.Uint64N(20_000)
		poison := 1 + rnd.Uint64N(events)
		f := New()
		given, breaks, next := uint64(0), 0, uint64(1)
		for {
			done, lost := f.Progress()
			if done == events {
				break
			}
			if lost {
				next = f.Restart() + 1
			}
			bad := false
			var run *Run
			for ; next <= events; next++ {
				r, skip := f.Admit()
				if r == nil {
					break
				}
				if skip {
					given = next
				}
				bad = bad || next == poison && !skip
				f.Took()
				r.Passed(0)
				run = r
			}
			if run == nil {
				t.Fatalf("seed %d: nothing more may be taken, %d of %d are done with", seed, done, events)
			}
			if !bad {
				run.Confirmed(0)
			} else if run.Broke(); breaks > 100 {
				t.Fatalf("seed %d: event %d of %d is not found after %d breaks", seed, poison, events, breaks)
			} else {
				breaks++
			}
		}
		if given != poison {
			t.Errorf("seed %d: event %d was given up, want %d", seed, given, poison)
		}
	}
}

// A break now and then must not make the stream slow.
func TestABreakAfterProgressIsNoReasonToTakeLess(t *testing.T) {
	f := New()
	for range 20 {
		r, _ := f.Admit()
		if n := take(f, 1000); n != 1000 {
			t.Fatalf("%d may be taken, want 1000", n)
		}
		pass(r, 0, 1)
		r.Confirmed(0)
		pass(r, 0, 1)
		r.Broke()
		f.Restart()
	}
}
