package limiter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
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
							ctx, cancel := context.WithCancel(t.Context())
							if r.IntN(2) == 0 {
								ctx, cancel = context.WithTimeout(t.Context(), upTo(6*tt.w.Per, r))
							}
							done, err := b.Acquire(ctx)
							if err == nil {
								end := d.begin(t)
								if r.IntN(3) > 0 {
									time.Sleep(upTo(2*tt.w.Per, r))
								}
								end()
								done()
							} else if !errors.Is(err, context.DeadlineExceeded) {
								t.Errorf("Acquire: %v", err)
							}
							cancel()
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
						done, err := b.Acquire(t.Context())
						if err != nil {
							t.Errorf("Acquire: %v", err)
							return
						}
						defer done()
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

func TestNoMoreThanInFlightAreInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Window{10, time.Second}, 2)
		first, _ := b.Acquire(t.Context())
		second, _ := b.Acquire(t.Context())
		began := make(chan time.Duration)
		start := time.Now()
		go func() {
			done, err := b.Acquire(t.Context())
			if err != nil {
				t.Errorf("Acquire: %v", err)
			}
			began <- time.Since(start)
			done()
		}()
		time.Sleep(time.Hour)
		first()
		if after := <-began; after != time.Hour {
			t.Errorf("the third began after %v", after)
		}
		second()
	})
}

func TestWaitersAreServedInTheOrderInWhichTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Window{3, time.Second}, 1) // two at once could note themselves in any order
		var (
			order []int
			all   sync.WaitGroup
		)
		for i := range 50 {
			all.Go(func() {
				done, err := b.Acquire(t.Context())
				if err != nil {
					t.Errorf("Acquire: %v", err)
					return
				}
				order = append(order, i)
				time.Sleep(100 * time.Millisecond)
				done()
			})
			synctest.Wait() // it began or stands in the queue
		}
		all.Wait()
		if !slices.IsSorted(order) {
			t.Errorf("they began in the order %v", order)
		}
	})
}

func TestGivingUpLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Window{1, 10 * time.Second}, 1)
		start := time.Now()
		done, _ := b.Acquire(t.Context())
		done()

		// The head of the queue and one further back give up, each at its own deadline and not before.
		var all sync.WaitGroup
		for i, patience := range []time.Duration{3 * time.Second, time.Minute, 5 * time.Second, time.Minute} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				done, err := b.Acquire(ctx)
				if patience < time.Minute {
					if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != patience {
						t.Errorf("waiter %d: %v after %v", i, err, time.Since(start))
					}
					return
				}
				if want := time.Duration(10*(i/2+1)) * time.Second; err != nil || time.Since(start) != want {
					t.Errorf("waiter %d: %v after %v, want %v", i, err, time.Since(start), want)
					return
				}
				done()
			})
			synctest.Wait()
		}
		all.Wait()
	})
}

func TestNothingBeginsOnceTheContextHasEnded(t *testing.T) {
	b := NewBudget(Window{1, time.Hour}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // a select would choose the turn half of the time
		if done, err := b.Acquire(ctx); done != nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("Acquire: %v", err)
		}
	}
	if done, _ := b.Try(); done == nil {
		t.Error("the budget was spent")
	}
}

func TestDoneCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Window{2, time.Second}, 1)
		done, _ := b.Acquire(t.Context())
		done()
		time.Sleep(time.Second)
		done() // neither a second lane, nor a second place, nor a later charge
		d := &diary{w: Window{2, time.Second}, inFlight: 1}
		for range 4 {
			done, err := b.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
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
		if done, wait := b.Try(); done != nil || wait <= 0 || wait > time.Second {
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

func TestTryDoesNotOvertakeAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Window{1, time.Second}, 1)
		first, _ := b.Try()
		var all sync.WaitGroup
		all.Go(func() {
			done, err := b.Acquire(t.Context())
			if err != nil {
				t.Errorf("Acquire: %v", err)
				return
			}
			done()
		})
		first()
		time.Sleep(time.Second) // both may ask now, in any order
		if done, wait := b.Try(); done != nil || wait <= 0 {
			t.Error("Try came first")
		}
		all.Wait()
	})
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
