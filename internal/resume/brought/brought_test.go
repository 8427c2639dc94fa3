package brought

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

func TestATrailNeverSaysMoreThanIsDone(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 3))
		tr := Trail{Order: numbers{}}
		tr.Reach(pos(0))
		var taken []int // positions by number
		cursor, done, merged := 0, 0, false
		check := func(exact bool) {
			safe, truth := number(tr.Safe()), cursor
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
				tr.Took(uint64(len(taken)), pos(at), time.Unix(int64(len(taken)), 0))
				if at > cursor {
					cursor = at
					tr.Reach(pos(cursor))
				}
			} else if r.IntN(200) == 0 {
				done += r.IntN(len(taken) - done + 1)
				tr.Settle(uint64(done))
				tr.Seal()
				check(false)
			}
			merged = merged || tr.width > 1
			if len(tr.spans) > maxSpans {
				t.Fatalf("%d spans", len(tr.spans))
			}
		}
		check(false)
		done = len(taken)
		tr.Settle(uint64(done))
		check(true)
		if len(tr.spans) > 0 {
			t.Fatal("spans are left")
		}
		for range 100 { // few: exact
			cursor++
			taken = append(taken, cursor)
			tr.Took(uint64(len(taken)), pos(cursor), time.Time{})
			tr.Reach(pos(cursor))
		}
		for range 100 {
			done++
			tr.Settle(uint64(done))
			check(true)
		}
		if seed == 0 && !merged {
			t.Error("nothing was ever merged")
		}
	}
}

func TestWhatWasSeenIsBoundedAndForgottenInOrder(t *testing.T) {
	s := NewSeen()
	k := func(n int) Key { return s.Key(pos(n), nil) }
	for n := range MaxSeen + 100 {
		s.Add(k(n), uint64(n))
	}
	if len(s.ring) != MaxSeen || len(s.keys) != MaxSeen || s.Has(k(99)) || !s.Has(k(100)) {
		t.Fatalf("%d, %d", len(s.ring), len(s.keys))
	}
	s.Forget(1000)
	if !s.Has(k(1000)) || s.Has(k(1001)) || len(s.keys) != 901 {
		t.Fatalf("%d are known", len(s.keys))
	}
	s.Add(k(1001), 1001)
	if !s.Has(k(100)) || !s.Has(k(1001)) {
		t.Error("what was not to be forgotten is")
	}
	if s.Key(pos(1), nil) == s.Key(nil, pos(1)) || s.Key(nil, nil) != (Key{}) {
		t.Error("an id and a position look the same")
	}
}

// numbers are positions.
type numbers struct{}

func (numbers) Compare(a, b []byte) int { return number(a) - number(b) }
func (numbers) Before(p []byte) []byte  { return pos(number(p) - 1) }

func pos(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) }

func number(p []byte) int {
	n, err := strconv.Atoi(string(p))
	if err != nil {
		panic(err)
	}
	return n
}
