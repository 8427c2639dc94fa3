package account

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/limiter"
	"feedmux/shard"
)

const hold = 10 * time.Second

// wide are the options of an account whose budget is in nobody's way.
func wide(connections int) Options {
	return Options{
		Name: "a", Connections: connections, Hold: hold, Seed: 1,
		Dials: limiter.Window{N: 1000, Per: time.Second}, InFlight: 1000,
		Backoff: limiter.Backoff{Base: time.Second, Max: 2 * time.Minute, Settle: time.Minute},
	}
}

func join(t *testing.T, a *Account, feed string, connections int) *Share {
	t.Helper()
	s, err := a.Join(feed, connections)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// turn waits for r's turn.
func turn(t *testing.T, s *Share, r Request) *Seat {
	t.Helper()
	seat, err := s.Turn(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return seat
}

// liven brings a slot's life up, once it has its turn.
func liven(t *testing.T, s *Share, slot shard.Slot) *Seat {
	t.Helper()
	seat := turn(t, s, Request{Slot: slot})
	seat.Dialled()
	seat.Live()
	return seat
}

// wantOpen fails unless the upstream may count so many sockets.
func wantOpen(t *testing.T, a *Account, want int) {
	t.Helper()
	if got := a.Connections(); got != want {
		t.Errorf("%d places are taken, want %d", got, want)
	}
}

// wantTook fails unless so much time has passed since begin.
func wantTook(t *testing.T, what string, begin time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(begin); got != want {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

func TestSharesTogetherFitTheAccount(t *testing.T) {
	a := New(wide(10))
	one := join(t, a, "one", 4)
	join(t, a, "two", 5)
	for _, n := range []int{2, 0, -1} {
		if _, err := a.Join("three", n); err == nil {
			t.Errorf("a share of %d connections of one that is left", n)
		}
	}
	join(t, a, "three", 1)
	if a.Name() != "a" || a.Limit() != 10 || one.Limit() != 4 || one.Account() != a {
		t.Errorf("account %q of %d, share of %d of it", a.Name(), a.Limit(), one.Limit())
	}
}

func TestNobodyDialsWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(2))
		s := join(t, a, "one", 2)
		first, second := liven(t, s, 0), liven(t, s, 1)
		began := make(chan *Seat, 2)
		for slot := range shard.Slot(2) {
			go func() { began <- liven(t, s, slot) }()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(began) > 0 {
			t.Fatal("three sockets for two places")
		}
		begin := time.Now()
		first.Leave(End{Lived: time.Minute}) // the peer did not say that it saw the end
		first.Leave(End{PeerGone: true})     // too late
		if s.Probing() {
			t.Error("the second is live")
		}
		<-began
		wantTook(t, "freeing a held place", begin, hold)
		begin = time.Now()
		second.Leave(End{Lived: time.Minute, PeerGone: true})
		<-began
		wantTook(t, "freeing a place", begin, 0)
		wantOpen(t, a, 2)
	})
}

func TestAFullShareHoldsNobodyElseUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(3))
		one, two := join(t, a, "one", 1), join(t, a, "two", 2)
		full := liven(t, one, 0)
		waits := make(chan *Seat)
		go func() { waits <- turn(t, one, Request{Slot: 1, Topics: 100, Deadline: time.Now()}) }() // first of all, but for the place
		synctest.Wait()
		begin := time.Now()
		liven(t, two, 0)
		liven(t, two, 1)
		wantTook(t, "dialling next to a full share", begin, 0)
		wantOpen(t, a, 3)
		full.Leave(End{PeerGone: true})
		<-waits
		wantOpen(t, a, 3)
	})
}

func TestAPauseThatTheUpstreamAskedForHoldsEveryDialBack(t *testing.T) {
	for _, tt := range []struct {
		live        bool
		asked, want time.Duration
	}{
		{true, time.Minute, time.Minute},
		{true, time.Millisecond, leastPause},
		{true, 24 * time.Hour, mostPause},
		{false, time.Minute, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := New(wide(10))
			one, two := join(t, a, "one", 5), join(t, a, "two", 5)
			if tt.live {
				liven(t, one, 0)
			}
			begin := time.Now()
			if until := one.Pause(tt.asked); !until.Equal(begin.Add(tt.want)) {
				t.Errorf("asked for %v: until %v", tt.asked, until.Sub(begin))
			}
			if until := two.Pause(0); tt.want > leastPause && !until.Equal(begin.Add(tt.want)) {
				t.Errorf("asked for %v, then for less: until %v", tt.asked, until.Sub(begin))
			}
			for slot := range shard.Slot(3) {
				liven(t, two, slot)
				wantTook(t, "the pause", begin, tt.want)
			}
		})
	}
}

func TestAPauseHoldsThoseBackWhoWaitAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(10)
		o.Dials = limiter.Window{N: 1, Per: 2 * time.Second}
		s := join(t, New(o), "one", 10)
		liven(t, s, 0)
		begin := time.Now()
		go func() {
			time.Sleep(time.Second)
			s.Pause(time.Minute)
		}()
		turn(t, s, Request{Slot: 1})
		wantTook(t, "the pause", begin, 61*time.Second)
	})
}

func TestWhoGivesUpLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(2)
		o.Dials = limiter.Window{N: 1, Per: time.Minute}
		a := New(o)
		s := join(t, a, "one", 2)
		liven(t, s, 0)
		begin := time.Now()
		gaveUp := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := s.Turn(ctx, Request{Slot: 1, Topics: 100})
			gaveUp <- err
		}()
		synctest.Wait()
		got := make(chan *Seat)
		go func() { got <- turn(t, s, Request{Slot: 2, Topics: 1}) }()
		time.Sleep(time.Second)
		cancel()
		if err := <-gaveUp; err != context.Canceled {
			t.Errorf("giving up says %v", err)
		}
		wantOpen(t, a, 1)
		<-got
		wantTook(t, "the turn of the next", begin, time.Minute)
		if _, err := s.Turn(ctx, Request{}); err != context.Canceled {
			t.Errorf("with a context that is over: %v", err)
		}
		if len(a.waiting) > 0 {
			t.Errorf("%d still wait", len(a.waiting))
		}
	})
}

// lastMoment is a context that ends when somebody begins to wait for its end.
type lastMoment struct {
	context.Context
	end func()
}

func (c lastMoment) Done() <-chan struct{} {
	c.end()
	return c.Context.Done()
}

func TestWhoGivesUpInTheMomentOfItsTurnLeavesNothingBehind(t *testing.T) {
	gaveUp := 0
	for range 50 { // a select chooses
		synctest.Test(t, func(t *testing.T) {
			o := wide(2)
			o.InFlight = 1
			a := New(o)
			s := join(t, a, "one", 2)
			liven(t, s, 0)
			dialling := turn(t, s, Request{Slot: 1})
			ctx, cancel := context.WithCancel(t.Context())
			seat, err := s.Turn(lastMoment{ctx, func() {
				dialling.Leave(End{PeerGone: true}) // gives the turn
				cancel()
			}}, Request{Slot: 1})
			if err == nil {
				seat.Leave(End{PeerGone: true})
			} else if gaveUp++; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			wantOpen(t, a, 1)
			turn(t, s, Request{Slot: 1})
			if a.fresh != 1 || a.live != 1 {
				t.Errorf("%d dial and %d are live", a.fresh, a.live)
			}
		})
	}
	if gaveUp == 0 || gaveUp == 50 {
		t.Errorf("%d of 50 gave up", gaveUp)
	}
}

func TestTheEndOfADialLetsTheNextBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide(3)
		o.InFlight = 1
		s := join(t, New(o), "one", 3)
		liven(t, s, 0)
		begin := time.Now()
		first := turn(t, s, Request{Slot: 1})
		time.AfterFunc(time.Hour, first.Dialled)
		turn(t, s, Request{Slot: 2})
		wantTook(t, "the first dial", begin, time.Hour)
	})
}

func TestALifeThatIsOverDoesNotComeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := join(t, New(wide(3)), "one", 3)
		seat := turn(t, s, Request{})
		seat.Leave(End{})
		seat.Live()
		if !s.Probing() {
			t.Error("it did")
		}
	})
}
