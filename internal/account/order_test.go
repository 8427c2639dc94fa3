package account

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/limiter"
	"feedmux/shard"
)

func TestTheOneWithTheMostTopicsDialsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(10)
		o.Dials = limiter.Window{N: 1, Per: 2 * time.Second}
		a := New(o)
		s := join(t, a, "one", 10)
		liven(t, s, 9)
		var mu sync.Mutex
		var order []shard.Slot
		var all sync.WaitGroup
		want := func(r Request) {
			all.Go(func() {
				seat := turn(t, s, r)
				mu.Lock()
				order = append(order, r.Slot)
				mu.Unlock()
				seat.Dialled()
			})
		}
		want(Request{Slot: 3, Topics: 50})
		want(Request{Slot: 0, Topics: 10})
		want(Request{Slot: 2, Topics: 50})
		time.Sleep(sameTime / 2)
		want(Request{Slot: 1, Topics: 50}) // as good as at once
		synctest.Wait()
		time.Sleep(time.Second)
		want(Request{Slot: 7, Topics: 50})                                          // came later than its equals
		want(Request{Slot: 8, Topics: 60})                                          // better than all who wait
		want(Request{Slot: 5, HandOver: true, Deadline: time.Now().Add(time.Hour)}) // but for those that cannot wait
		want(Request{Slot: 6, HandOver: true, Deadline: time.Now().Add(time.Minute)})
		want(Request{Slot: 4, HandOver: true})
		all.Wait()
		if wanted := []shard.Slot{6, 5, 8, 1, 2, 3, 7, 0, 4}; !slices.Equal(order, wanted) {
			t.Errorf("dialled in the order %v, want %v", order, wanted)
		}
		wantOpen(t, a, 10)
	})
}

func TestTheOrderGoesAcrossShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(10)
		o.Dials = limiter.Window{N: 1, Per: 2 * time.Second}
		a := New(o)
		one, two := join(t, a, "one", 5), join(t, a, "two", 5)
		liven(t, one, 4)
		type who struct {
			s    *Share
			slot shard.Slot
		}
		var mu sync.Mutex
		var order []who
		var all sync.WaitGroup
		want := func(s *Share, slot shard.Slot, topics int) {
			all.Go(func() {
				seat := turn(t, s, Request{Slot: slot, Topics: topics})
				mu.Lock()
				order = append(order, who{s, slot})
				mu.Unlock()
				seat.Dialled()
			})
		}
		want(two, 1, 1)
		want(two, 0, 1)
		want(one, 0, 1)
		want(one, 1, 1)
		want(two, 3, 2)
		all.Wait()
		if wanted := []who{{two, 3}, {one, 0}, {two, 0}, {one, 1}, {two, 1}}; !slices.Equal(order, wanted) {
			t.Errorf("dialled in the order %v, want %v", order, wanted)
		}
	})
}

func TestAHandOverAtAFullShareHasItsTurnFirstAndItsPlaceAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(2))
		s := join(t, a, "one", 2)
		other, old := liven(t, s, 0), liven(t, s, 1)
		next := turn(t, s, Request{Slot: 1, HandOver: true})
		if next.Placed() {
			t.Fatal("a third place of two")
		}
		wantOpen(t, a, 2)
		waits := make(chan *Seat, 1)
		go func() { waits <- turn(t, s, Request{Slot: 5, Topics: 100}) }()
		synctest.Wait()
		old.PassTo(next, End{Lived: time.Minute, PeerGone: true})
		synctest.Wait()
		if !next.Placed() || len(waits) > 0 {
			t.Fatal("the place went to somebody else")
		}
		wantOpen(t, a, 2)
		next.Leave(End{PeerGone: true})
		(<-waits).Leave(End{PeerGone: true})

		next = turn(t, s, Request{Slot: 0, HandOver: true})
		if !next.Placed() {
			t.Error("there is a place, and the hand-over has none")
		}
		other.PassTo(next, End{PeerGone: true}) // it needs none
		wantOpen(t, a, 1)
	})
}

func TestAPlaceThatIsHeldCannotBePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(1))
		s := join(t, a, "one", 1)
		old := liven(t, s, 0)
		next := turn(t, s, Request{HandOver: true})
		old.PassTo(next, End{Lived: time.Minute})
		if next.Placed() {
			t.Error("the peer may count two")
		}
		wantOpen(t, a, 1)
		next.Leave(End{PeerGone: true}) // gives back nothing: it has none
		wantOpen(t, a, 1)
		begin := time.Now()
		turn(t, s, Request{})
		wantTook(t, "freeing a held place", begin, hold)
	})
}

func TestAPlaceIsNotPassedToASeatThatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(1))
		s := join(t, a, "one", 1)
		old := liven(t, s, 0)
		next := turn(t, s, Request{HandOver: true})
		next.Leave(End{PeerGone: true})
		old.PassTo(next, End{PeerGone: true})
		wantOpen(t, a, 0)
	})
}

func TestASocketThatIsNotCountedNeedsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(1))
		s := join(t, a, "one", 1)
		liven(t, s, 0)
		seat := turn(t, s, Request{Slot: 1, Free: true})
		if !seat.Placed() {
			t.Error("it waits for a place")
		}
		wantOpen(t, a, 1)
		seat.Live()
		seat.Leave(End{})
		time.Sleep(hold)
		wantOpen(t, a, 1)
	})
}

// counter is the upstream's view: sockets that it may count.
type counter struct {
	mu   sync.Mutex
	open map[*Share]int
	most int
}

func (c *counter) add(t *testing.T, s *Share, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[s] += n
	sum := 0
	for s, n := range c.open {
		sum += n
		if n > s.Limit() {
			t.Errorf("a share of %d has %d sockets", s.Limit(), n)
		}
	}
	if taken := s.Account().Connections(); sum > taken || taken > s.Account().Limit() {
		t.Errorf("%d sockets, the account says %d", sum, taken)
	}
	c.most = max(c.most, sum)
}

// close is what the upstream sees of the end of a socket of s. It says with what, and the upstream forgets the socket in
// the last moment that it may.
func (c *counter) close(t *testing.T, s *Share, r *rand.Rand) End {
	e := End{Failed: r.IntN(2) == 0, PeerGone: r.IntN(2) == 0}
	if e.PeerGone {
		c.add(t, s, -1)
	} else {
		time.AfterFunc(hold-1, func() { c.add(t, s, -1) })
	}
	return e
}

func TestNeverMoreSocketsThanPlacesHoweverLivesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(5)
		o.Backoff = limiter.Backoff{Base: time.Second, Max: time.Second}
		a := New(o)
		c := &counter{open: make(map[*Share]int)}
		passed, placed := 0, 0
		var all sync.WaitGroup
		for i, s := range []*Share{join(t, a, "one", 2), join(t, a, "two", 3)} {
			for slot := range shard.Slot(4) {
				r := rand.New(rand.NewPCG(uint64(i), uint64(slot)))
				nap := func() { time.Sleep(time.Duration(r.Int64N(int64(20 * time.Second)))) }
				all.Go(func() {
					for range 50 {
						for range r.IntN(6) {
							nap()
						}
						seat := turn(t, s, Request{Slot: slot, Topics: r.IntN(3)})
						c.add(t, s, 1)
						for seat != nil {
							nap()
							if r.IntN(4) > 0 {
								seat.Dialled()
								seat.Live()
								nap()
							}
							if r.IntN(2) == 0 {
								seat.Leave(c.close(t, s, r))
								seat = nil
								continue
							}
							seat.Live() // or the gate might wait for it, and it for the gate
							next := turn(t, s, Request{Slot: slot, HandOver: true})
							if next.Placed() {
								c.add(t, s, 1)
								seat.Leave(c.close(t, s, r))
								seat = next
								c.mu.Lock()
								placed++
								c.mu.Unlock()
								continue
							}
							seat.PassTo(next, c.close(t, s, r))
							if seat = nil; !next.Placed() {
								next.Leave(End{PeerGone: true})
								continue
							}
							c.add(t, s, 1)
							seat = next
							c.mu.Lock()
							passed++
							c.mu.Unlock()
						}
					}
				})
			}
		}
		all.Wait()
		time.Sleep(hold)
		synctest.Wait()
		wantOpen(t, a, 0)
		if c.most != 5 || passed < 10 || placed < 10 {
			t.Errorf("at most %d sockets, %d places passed on, %d hand-overs that had one", c.most, passed, placed)
		}
		if a.live != 0 || a.fresh != 0 || len(a.waiting) != 0 {
			t.Errorf("%d live, %d dial, %d wait", a.live, a.fresh, len(a.waiting))
		}
	})
}

func TestAHandOverWaitsForAPlaceThatIsTakenForAMomentOnly(t *testing.T) {
	for _, row := range []struct {
		name     string
		deadline time.Duration // 0: none
		over     time.Duration // when the other hand-over is over; 0: never
		want     time.Duration
		placed   bool
	}{
		{"until then", 0, 3 * time.Second, 3 * time.Second, true},
		{"until shortly before the old connection ends", 30 * time.Second, 0, 30*time.Second - nearEnd, false},
		{"not when there is no time", time.Second, 0, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := join(t, New(wide(3)), "one", 3)
				old := liven(t, s, 0)
				liven(t, s, 1)
				other := turn(t, s, Request{Slot: 0, HandOver: true})
				if !other.Placed() {
					t.Fatal("the first hand-over has no place")
				}
				if row.over > 0 {
					time.AfterFunc(row.over, func() { old.Leave(End{PeerGone: true}) })
				}
				r := Request{Slot: 1, HandOver: true}
				begin := time.Now()
				if row.deadline > 0 {
					r.Deadline = begin.Add(row.deadline)
				}
				seat := turn(t, s, r)
				wantTook(t, "waiting for a place", begin, row.want)
				if seat.Placed() != row.placed {
					t.Errorf("placed: %v", seat.Placed())
				}
			})
		})
	}
}

func TestAtAShareThatIsFullForGoodAHandOverGetsItsTurnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := join(t, New(wide(2)), "one", 2)
		liven(t, s, 0)
		held := liven(t, s, 1)
		begin := time.Now()
		if turn(t, s, Request{Slot: 0, HandOver: true}).Placed() {
			t.Error("a third place of two")
		}
		wantTook(t, "the turn", begin, 0)
		held.Leave(End{}) // its place will be free
		if !turn(t, s, Request{Slot: 0, HandOver: true}).Placed() {
			t.Error("no place, though one was about to be free")
		}
		wantTook(t, "the place that was held", begin, hold)
	})
}
