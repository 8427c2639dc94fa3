// Package account keeps count of what an upstream counts together: sockets open or being opened, and dials in a time.
// Feeds of one account share one, so their connections together stay within its cap and its dial budget.
//
// Whoever wants to dial waits for the lead of a queue, then for a place, then for a turn in the budget. The place is
// taken until the upstream is known to count the socket no more.
package account

import (
	"context"
	"sync/atomic"
	"time"

	"feedmux/limiter"
	"feedmux/shard"
)

// hold is how long a place stays taken after a close that the peer did not answer: what an upstream needs at most,
// as a rule, to count the socket as gone.
const hold = 10 * time.Second

// What an upstream may ask for in Retry-After: less than a second helps nobody, and more than a quarter of an hour would
// let a mistake of its keep topics dark for days.
const (
	leastPause = time.Second
	mostPause  = 15 * time.Minute
)

// Account is what an upstream counts together: its places for sockets and the budget for dials. Feeds of one account
// share one. It may be used by any goroutine.
type Account struct {
	name   string
	limit  int
	turns  turns
	dials  *limiter.Budget
	places chan struct{} // one value for each place that is taken: a full channel is a full account
	pause  atomic.Int64  // no dial before: Unix nanoseconds
	open   atomic.Int32  // of these, sockets that are open, being opened, or held
}

// New makes an account that has room for connections sockets, open or being opened, and lets at most inFlight
// dials run at once and as many begin as the window allows.
func New(name string, connections int, dials limiter.Window, inFlight int) *Account {
	return &Account{
		name:   name,
		limit:  connections,
		dials:  limiter.NewBudget(dials, inFlight),
		places: make(chan struct{}, connections),
	}
}

// Turn waits for a place and a turn in the dial budget, for a slot that has so many topics to bring back. dialled ends the
// attempt in the eyes of the budget. The place is taken until Leave or LeaveLater.
func (a *Account) Turn(ctx context.Context, slot shard.Slot, topics int) (dialled func(), err error) {
	w := &waiter{ctx: ctx, topics: topics, since: time.Now().Truncate(sameTime), slot: slot, lead: make(chan context.Context, 1)}
	a.turns.join(w)
	defer a.turns.quit(w)
	for {
		select {
		case lead := <-w.lead:
			if dialled := a.take(lead); dialled != nil {
				return dialled, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take takes a place and a turn, or gives up when the lead is over.
func (a *Account) take(lead context.Context) (dialled func()) {
	if pause := time.Until(time.Unix(0, a.pause.Load())); pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-lead.Done():
			return nil
		}
	}
	select {
	case a.places <- struct{}{}:
	case <-lead.Done():
		return nil
	}
	dialled, err := a.dials.Acquire(lead)
	if err != nil {
		<-a.places
		return nil
	}
	a.open.Add(1)
	return dialled
}

// Pause lets no dial begin for d, which an upstream asked for in Retry-After: between a second and a quarter of an hour.
// It speaks to all who share the account, since the upstream does. It returns when that will be over.
func (a *Account) Pause(d time.Duration) (until time.Time) {
	until = time.Now().Add(min(max(d, leastPause), mostPause))
	a.pause.Store(until.UnixNano())
	a.turns.again() // whoever leads looked before
	return until
}

// Leave frees a place whose socket the peer knows to be closed, or that was never opened.
func (a *Account) Leave() {
	a.open.Add(-1)
	<-a.places
}

// LeaveLater frees a place after hold: the peer may still count its socket.
func (a *Account) LeaveLater() { time.AfterFunc(hold, a.Leave) }

// Name is what people call the account.
func (a *Account) Name() string { return a.name }

// Limit is how many sockets there may be at most.
func (a *Account) Limit() int { return a.limit }

// Connections is how many sockets the upstream may count now.
func (a *Account) Connections() int { return int(a.open.Load()) }
