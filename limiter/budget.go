package limiter

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// inFlightPoll is how long Try tells its caller to wait when only the end of another attempt can help, of which nobody
// knows when it comes.
const inFlightPoll = 10 * time.Millisecond

// Budget lets attempts begin so that at most N of them count at any moment, and at most so many are in flight. An
// attempt counts from its begin until Per has passed since it ended: what the upstream saw, and when, is only certain
// from its begin on, and only after its end is it certain that it will see nothing more of it.
//
// All methods, and the functions that they return, may be called by any goroutine.
type Budget struct {
	per time.Duration

	turn  chan struct{} // holds a token, unless an Acquire is at the head of the queue and has taken it
	ended chan struct{} // one slot, newest wins: an attempt ended since the head of the queue looked

	mu    sync.Mutex
	lanes []*rate.Limiter // those without an attempt, in the order in which their last one ended
	room  int             // how many more attempts may be in flight
}

// NewBudget makes a budget that nothing was taken from. It panics if w is outside its bounds or inFlight below 1.
func NewBudget(w Window, inFlight int) *Budget {
	if err := w.check(); err != nil || inFlight < 1 {
		panic(fmt.Sprintf("limiter: bug: budget of %v with %d in flight", w, inFlight))
	}
	b := &Budget{
		per:   w.Per,
		turn:  make(chan struct{}, 1),
		ended: make(chan struct{}, 1),
		lanes: make([]*rate.Limiter, w.N),
		room:  inFlight,
	}
	for i := range b.lanes {
		b.lanes[i] = rate.NewLimiter(rate.Every(w.Per), 1)
	}
	b.turn <- struct{}{}
	return b
}

// Acquire waits until an attempt may begin. Those who wait are served in the order in which they came. The attempt
// begins when Acquire returns; done ends it. done must be called, further calls do nothing.
//
// Acquire fails only with ctx's error, and then nothing was taken from the budget.
func (b *Budget) Acquire(ctx context.Context) (done func(), err error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.turn:
	}
	defer func() { b.turn <- struct{}{} }()

	// Nothing is held while waiting, so there is nothing to give back. rate.Limiter.Wait would hold a reservation,
	// and would fail ahead of ctx's deadline instead of at it.
	for ctx.Err() == nil {
		done, wait := b.begin()
		if done != nil {
			return done, nil
		}
		var rested <-chan time.Time
		if wait > 0 {
			rested = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-b.ended:
		case <-rested:
		}
	}
	return nil, ctx.Err()
}

// Try is Acquire for a loop that has a timer of its own. If done is not nil, the attempt has begun. Otherwise wait,
// which is never zero then, is how long to wait at least before asking again. It is a guess where it depends on
// attempts in flight or on others who wait.
//
// Try holds no place in the queue: an Acquire that waits comes first, and of several loops that use Try none is
// preferred.
func (b *Budget) Try() (done func(), wait time.Duration) {
	if len(b.turn) > 0 {
		if done, wait = b.begin(); done != nil {
			return done, 0
		}
	}
	return nil, max(wait, inFlightPoll)
}

// begin takes a lane and a place in flight, if there are both. Otherwise wait is how long no lane will be rested, as
// far as that is known; zero if only the end of an attempt can help.
func (b *Budget) begin() (done func(), wait time.Duration) {
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
	lane.ReserveN(time.Now(), 1) // the lane's only token: it is full again when Per has passed
	b.lanes = append(b.lanes, lane)
	b.room++
	b.mu.Unlock()

	select {
	case b.ended <- struct{}{}:
	default:
	}
}

// rest is how long after now a lane must still rest. It is rounded to the nanosecond, since times are whole
// nanoseconds, and the error of the limiter's arithmetic is far below half of one.
func rest(lane *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - lane.TokensAt(now)
	return time.Duration(math.Round(missing / float64(lane.Limit()) * float64(time.Second)))
}
