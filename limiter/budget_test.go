package limiter

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	_ "feedmux/internal/bubble"
)

// diary notes when attempts began and ended, as an upstream would that counts strictly.
type diary struct {
	w        Window
	inFlight int

	mu       sync.Mutex
	attempts []*attempt // in the order of their begin
}

type attempt struct {
	begin time.Time
	end   time.Time // zero: in flight
}

// begin notes an attempt and fails the test if it is one too many.
func (d *diary) begin(t *testing.T) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	counted, flying := 0, 0
	for _, a := range d.attempts {
		if a.end.IsZero() {
			flying++
			counted++
		} else if now.Sub(a.end) < d.w.Per {
			counted++
		}
	}
	if counted >= d.w.N || flying >= d.inFlight {
		t.Errorf("%v, %d in flight: an attempt began while %d counted and %d were in flight",
			d.w, d.inFlight, counted, flying)
	}
	a := &attempt{begin: now}
	d.attempts = append(d.attempts, a)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		a.end = time.Now()
	}
}

// begin waits until b lets an attempt begin, as its owner would; done is nil if patience ends before.
func begin(b *Budget, patience time.Duration) (done func()) {
	giveUp := time.Now().Add(patience)
	for {
		done, wait := b.Try()
		if done != nil {
			return done
		}
		if wait == 0 {
			wait = 50 * time.Millisecond // some attempt must end, and nobody tells
		}
		if time.Now().Add(wait).After(giveUp) {
			return nil
		}
		time.Sleep(wait)
	}
}

var budgets = []struct {
	w        Window
	inFlight int
}{
	{Window{1, 2 * time.Second}, 1},
	{Window{1, 2 * time.Second}, 5},
	{Window{3, time.Second}, 1},
	{Window{3, 700 * time.Millisecond}, 2},
	{Window{10, time.Second}, 10},
	{Window{7, time.Second / 3}, 100},
}

func TestNeverMoreThanNCountInAnyWindow(t *testing.T) {
	for _, tt := range budgets {
		t.Run(fmt.Sprintf("%v in flight %d", tt.w, tt.inFlight), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const seed, waiters = 1, 40
				b, d := NewBudget(tt.w, tt.inFlight), &diary{w: tt.w, inFlight: tt.inFlight}
				var all sync.WaitGroup
				for i := range waiters {
					r := rand.New(rand.NewPCG(seed, uint64(i)))
					all.Go(func() {
						for range 10 {
							time.Sleep(upTo(tt.w.Per, r))
							patience := time.Hour
							if r.IntN(2) == 0 {
								patience = upTo(6*tt.w.Per, r)
							}
							if done := begin(b, patience); done != nil {
								end := d.begin(t)
								if r.IntN(3) > 0 {
									time.Sleep(upTo(2*tt.w.Per, r))
								}
								end()
								done()
							}
						}
					})
				}
				all.Wait()
				if len(d.attempts) < 10*waiters/2 {
					t.Errorf("only %d attempts were made", len(d.attempts))
				}

				// Nothing was lost to those who gave up.
				time.Sleep(tt.w.Per)
				for range min(tt.w.N, tt.inFlight) {
					if done, wait := b.Try(); done == nil {
						t.Errorf("after a rest the budget asks to wait for %v", wait)
					}
				}
			})
		})
	}
}

func TestFullSpeedIsReached(t *testing.T) {
	for _, tt := range budgets {
		w := tt.w
		for _, length := range []time.Duration{0, 30 * time.Millisecond, time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				b, d := NewBudget(w, w.N), &diary{w: w, inFlight: w.N}
				start := time.Now()
				const rounds = 5
				var all sync.WaitGroup
				for range rounds * w.N {
					all.Go(func() {
						defer begin(b, 24*time.Hour)()
						defer d.begin(t)()
						time.Sleep(length)
					})
				}
				all.Wait()
				for i, a := range d.attempts {
					want := time.Duration(i/w.N) * (w.Per + length)
					if got := a.begin.Sub(start); got != want {
						t.Errorf("%v, attempts of %v: attempt %d began after %v, want %v", w, length, i, got, want)
					}
					if length == 0 && want != w.After(i) {
						t.Errorf("%v: After(%d) = %v, and it took %v", w, i, w.After(i), want)
					}
				}
			})
		}
	}
}

func TestDoneCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Window{2, time.Second}, 1)
		done, _ := b.Try()
		done()
		time.Sleep(time.Second)
		done() // neither a second lane, nor a second place, nor a later charge
		d := &diary{w: Window{2, time.Second}, inFlight: 1}
		for range 4 {
			done := begin(b, time.Minute)
			d.begin(t)()
			done()
		}
		if took := d.attempts[3].begin.Sub(d.attempts[0].begin); took != time.Second {
			t.Errorf("four attempts at %v took %v", d.w, took)
		}
	})
}

func TestTryTellsWhenToAskAgain(t *testing.T) {
	for _, tt := range budgets {
		synctest.Test(t, func(t *testing.T) {
			b, d := NewBudget(tt.w, tt.inFlight), &diary{w: tt.w, inFlight: tt.inFlight}
			start := time.Now()
			asked := 0
			for n := 0; n < 5*tt.w.N; asked++ {
				done, wait := b.Try()
				if done == nil {
					if wait <= 0 {
						t.Fatalf("Try asks to wait for %v", wait)
					}
					time.Sleep(wait)
					continue
				}
				if at := time.Since(start); at != tt.w.After(n) {
					t.Errorf("%v: attempt %d began after %v, want %v", tt.w, n, at, tt.w.After(n))
				}
				d.begin(t)()
				done()
				n++
			}
			if asked > 5*tt.w.N+4 {
				t.Errorf("%v: asked %d times for %d attempts", tt.w, asked, 5*tt.w.N)
			}
		})
	}
}

func TestTryWaitsForWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Window{2, 10 * time.Second}, 1)
		first, _ := b.Try()
		if done, wait := b.Try(); done != nil || wait != 0 {
			t.Errorf("with a lane free and no place in flight: wait %v", wait)
		}
		first()
		second, _ := b.Try()
		if done, wait := b.Try(); done != nil || wait != 10*time.Second {
			t.Errorf("with a lane at rest and no place in flight: wait %v", wait)
		}
		second()

		b = NewBudget(Window{1, 10 * time.Second}, 2)
		only, _ := b.Try()
		if done, wait := b.Try(); done != nil || wait != 10*time.Second {
			t.Errorf("with every lane in flight: wait %v", wait)
		}
		only()
	})
}

func TestWhatIsRecalledCountsAsIfItHadBegunHere(t *testing.T) {
	ago := func(ds ...time.Duration) (ended []time.Time) {
		for _, d := range ds {
			ended = append(ended, time.Now().Add(-d))
		}
		return ended
	}
	for _, tt := range []struct {
		w    Window
		ago  []time.Duration // in any order
		want []time.Duration // when the next may begin
	}{
		{Window{1, time.Second}, nil, []time.Duration{0, time.Second}},
		{Window{1, time.Second}, []time.Duration{300 * time.Millisecond}, []time.Duration{700 * time.Millisecond}},
		{Window{1, time.Second}, []time.Duration{0}, []time.Duration{time.Second}},
		{Window{1, time.Second}, []time.Duration{time.Second}, []time.Duration{0}},
		{Window{1, time.Second}, []time.Duration{time.Second - 1}, []time.Duration{1}},
		{Window{3, time.Second}, []time.Duration{200 * time.Millisecond}, []time.Duration{0, 0, 800 * time.Millisecond, time.Second}},
		{Window{2, time.Second}, []time.Duration{100, 500, 100, 300}, []time.Duration{time.Second - 100, time.Second - 100}},
		{Window{2, time.Minute}, []time.Duration{50 * time.Second, time.Hour, 10 * time.Second, 20 * time.Second},
			[]time.Duration{40 * time.Second, 50 * time.Second, 100 * time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(tt.w, tt.w.N)
			b.Recall(ago(tt.ago...))
			start := time.Now()
			for n, want := range tt.want {
				begin(b, time.Hour)()
				if got := time.Since(start); got != want {
					t.Errorf("%v after %v: attempt %d began after %v, want %v", tt.w, tt.ago, n, got, want)
				}
			}
		})
	}
}

func TestABudgetOutsideItsBoundsPanics(t *testing.T) {
	for _, tt := range []struct {
		w        Window
		inFlight int
	}{
		{Window{0, time.Second}, 1},
		{Window{1, 0}, 1},
		{Window{1, time.Second}, 0},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("there is a budget of %v with %d in flight", tt.w, tt.inFlight)
				}
			}()
			NewBudget(tt.w, tt.inFlight)
		}()
	}
}

func TestALaneRestsForTheWholeWindowAndNotLonger(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	pers := []time.Duration{1, 2, 3, time.Millisecond, 100 * time.Millisecond, time.Second / 3, maxPer - 1, maxPer}
	for range 1000 {
		pers = append(pers, 1+upTo(maxPer, r))
	}
	for _, per := range pers {
		lane := rate.NewLimiter(rate.Every(per), 1)
		end := time.Now()
		lane.ReserveN(end, 1)
		for _, left := range []time.Duration{per, per/2 + 1, 1} {
			if got := rest(lane, end.Add(per-left)); got != left {
				t.Errorf("window of %d ns: %d left, and rest says %d", per, left, got)
			}
		}
		for _, past := range []time.Duration{0, 1, per} {
			if got := rest(lane, end.Add(per+past)); got != 0 {
				t.Errorf("window of %d ns, past by %d: rest says %d", per, past, got)
			}
		}
	}
}
