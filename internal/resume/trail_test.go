package resume

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestATrailNeverSaysMoreThanIsDone(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 3))
		tr := trail{order: newUpstream()}
		tr.reach(pos(0))
		var taken []int // positions by number
		cursor, done, merged := 0, 0, false
		check := func(exact bool) {
			safe, truth := number(tr.safe()), cursor
			for _, at := range taken[done:] {
				truth = min(truth, at-1)
			}
			if safe > truth || exact && safe != truth {
				t.Fatalf("seed %d: safe %d, in truth %d", seed, safe, truth)
			}
		}
		for range 6000 {
			if r.IntN(10) > 0 {
				at := cursor + 1 + r.IntN(3)
				if cursor > 50 && r.IntN(40) == 0 {
					at = cursor - r.IntN(20) // late
				}
				taken = append(taken, at)
				tr.took(uint64(len(taken)), pos(at), time.Unix(int64(len(taken)), 0))
				if at > cursor {
					cursor = at
					tr.reach(pos(cursor))
				}
			} else if r.IntN(200) == 0 {
				done += r.IntN(len(taken) - done + 1)
				tr.settle(uint64(done))
				tr.seal()
				check(false)
			}
			merged = merged || tr.width > 1
			if len(tr.spans) > maxSpans {
				t.Fatalf("%d spans", len(tr.spans))
			}
		}
		check(false)
		done = len(taken)
		tr.settle(uint64(done))
		check(true)
		if len(tr.spans) > 0 {
			t.Fatal("spans are left")
		}
		for range 100 { // few: exact
			cursor++
			taken = append(taken, cursor)
			tr.took(uint64(len(taken)), pos(cursor), time.Time{})
			tr.reach(pos(cursor))
		}
		for range 100 {
			done++
			tr.settle(uint64(done))
			check(true)
		}
		if seed == 0 && !merged {
			t.Error("nothing was ever merged")
		}
	}
}

func TestWhatWasSeenIsBoundedAndForgottenInOrder(t *testing.T) {
	s := newSeen()
	k := func(n int) key { return s.key(pos(n), nil) }
	for n := range maxSeen + 100 {
		s.add(k(n), uint64(n))
	}
	if len(s.ring) != maxSeen || len(s.keys) != maxSeen || s.has(k(99)) || !s.has(k(100)) {
		t.Fatalf("%d, %d", len(s.ring), len(s.keys))
	}
	s.forget(1000)
	if !s.has(k(1000)) || s.has(k(1001)) || len(s.keys) != 901 {
		t.Fatalf("%d are known", len(s.keys))
	}
	s.add(k(1001), 1001)
	if !s.has(k(100)) || !s.has(k(1001)) {
		t.Error("what was not to be forgotten is")
	}
	if s.key(pos(1), nil) == s.key(nil, pos(1)) || s.key(nil, nil) != (key{}) {
		t.Error("an id and a position look the same")
	}
}
