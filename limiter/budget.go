package limiter

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Budget lets attempts begin so that at most N of them count at any moment, and at most so many are in flight. An
// attempt counts from its begin until Per has passed since it ended: what the upstream saw, and when, is only certain
// from its begin on, and only after its end is it certain that it will see nothing more of it.
//
// It never waits: its owner has a timer, and says who goes first. All methods, and the functions that they return, may be
// called by any goroutine.
type Budget struct {
	per time.Duration

	mu    sync.Mutex
	lanes []*rate.Limiter // those without an attempt, in the order in which their last one ended
	room  int             // how many more attempts may be in flight
}

// NewBudget makes a budget that nothing was taken from. It panics if w is outside its bounds or inFlight below 1.
func NewBudget(w Window, inFlight int) *Budget {
	if err := w.check(); err != nil || inFlight < 1 {
		panic(fmt.Sprintf("limiter: bug: budget of %v with %d in flight", w, inFlight))
	}
	b := &Budget{per: w.Per, lanes: make([]*rate.Limiter, w.N), room: inFlight}
	for i := range b.lanes {
		b.lanes[i] = rate.NewLimiter(rate.Every(w.Per), 1)
	}
	return b
}

// Recall counts attempts that ended at these times, none later than now, as if this budget had let them begin. It is for
// what was done before a restart, and must be called before the first Try. Of more than N the newest count: the others
// hold back nothing that these do not.
func (b *Budget) Recall(ended []time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ended = slices.SortedFunc(slices.Values(ended), time.Time.Compare)
	for _, at := range ended[max(0, len(ended)-len(b.lanes)):] {
		lane := b.lanes[0]
		lane.ReserveN(at, 1)
		b.lanes = append(b.lanes[1:], lane)
	}
}

// Try begins an attempt if it may begin now. Then done ends it: it must be called, further calls do nothing. Otherwise
// wait is how long to wait at least before asking again; it is zero if only the end of an attempt can help.
func (b *Budget) Try() (done func(), wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lanes) == 0 {
		return nil, b.per // even if one ends now
	}
	lane := b.lanes[0]
	if wait = rest(lane, time.Now()); wait > 0 || b.room == 0 {
		return nil, wait
	}
	b.lanes = b.lanes[1:]
	b.room--
	return sync.OnceFunc(func() { b.end(lane) }), 0
}

func (b *Budget) end(lane *rate.Limiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lane.ReserveN(time.Now(), 1) // the lane's only token: it is full again when Per has passed
	b.lanes = append(b.lanes, lane)
	b.room++
}

// rest is how long after now a lane must still rest. It is rounded to the nanosecond, since times are whole
// nanoseconds, and the error of the limiter's arithmetic is far below half of one.
func rest(lane *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - lane.TokensAt(now)
	return time.Duration(math.Round(missing / float64(lane.Limit()) * float64(time.Second)))
}
