package conn

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Tally is what the readers of one slot have counted. Its numbers only grow.
type Tally struct {
	Events    uint64
	LastEvent time.Time         // zero before the first
	Skipped   map[string]uint64 // messages that carried no event for anyone, by reason
}

// tally counts what the readers of one slot see, one life after the other.
type tally struct {
	events atomic.Uint64
	last   atomic.Int64 // when the newest event was received: Unix nanoseconds

	mu      sync.Mutex
	skipped map[string]uint64
}

// add counts n events, the newest of which came at last.
func (t *tally) add(n int, last time.Time) {
	t.events.Add(uint64(n))
	t.last.Store(last.UnixNano())
}

// skip counts a message that carried no event for anyone. reason is one of a short list: it becomes a metric's label.
func (t *tally) skip(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.skipped == nil {
		t.skipped = make(map[string]uint64)
	}
	t.skipped[reason]++
}

func (t *tally) read() Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Tally{Events: t.events.Load(), LastEvent: fromUnixNano(t.last.Load()), Skipped: maps.Clone(t.skipped)}
}
