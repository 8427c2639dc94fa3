package account

import (
	"context"
	"slices"
	"sync"
	"time"

	"feedmux/shard"
)

// turns is the queue of those who want to dial. The one with the most topics to bring back is first, then the one that
// has waited longest, then the one with the lowest slot, where the most wanted topics are. A better one that comes takes
// the lead at once.
type turns struct {
	mu      sync.Mutex
	waiting []*waiter
	leader  *waiter // the one that may take a place and a turn in the budget
}

// waiter is one who wants to dial.
type waiter struct {
	ctx    context.Context
	topics int
	since  time.Time
	slot   shard.Slot

	// lead carries a context that lasts as long as the lead: one slot, the newest wins, sent under the lock.
	lead chan context.Context
	end  context.CancelFunc // of the newest lead
}

// sameTime is what since is rounded down to: those of a pool that starts come together.
const sameTime = 100 * time.Millisecond

// before says whether w goes before v.
func (w *waiter) before(v *waiter) bool {
	switch {
	case w.topics != v.topics:
		return w.topics > v.topics
	case !w.since.Equal(v.since):
		return w.since.Before(v.since)
	}
	return w.slot < v.slot
}

// join puts w in the queue.
func (t *turns) join(w *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, w)
	t.chooseLocked()
}

// quit takes w out of the queue: it had its turn, or wants none any more.
func (t *turns) quit(w *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = slices.DeleteFunc(t.waiting, func(v *waiter) bool { return v == w })
	if t.leader == w {
		w.end()
		t.leader = nil
	}
	t.chooseLocked()
}

// again takes the lead away and gives it anew, so that the leader begins from the beginning.
func (t *turns) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leader != nil {
		t.leader.end()
		t.leader = nil
		t.chooseLocked()
	}
}

// chooseLocked gives the lead to the first in the queue.
func (t *turns) chooseLocked() {
	var first *waiter
	for _, w := range t.waiting {
		if first == nil || w.before(first) {
			first = w
		}
	}
	if first == t.leader {
		return
	}
	if t.leader != nil {
		t.leader.end()
	}
	t.leader = first
	var lead context.Context
	lead, first.end = context.WithCancel(first.ctx)
	select {
	case <-first.lead: // of a lead that ended before it was noticed
	default:
	}
	first.lead <- lead
}
