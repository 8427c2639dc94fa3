// Package tally counts what the readers of one slot see.
package tally

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

// Counter counts, one life after the other. Its methods may be called by any goroutine.
type Counter struct {
	events atomic.Uint64
	last   atomic.Int64 // when the newest event was received: Unix nanoseconds

	mu      sync.Mutex
	skipped map[string]uint64
}

// Add counts n events, the newest of which came at last.
func (t *Counter) Add(n int, last time.Time) {
	t.events.Add(uint64(n))
	t.last.Store(last.UnixNano())
}

// Skip counts a message that carried no event for anyone. reason is one of a short list: it becomes a metric's label.
func (t *Counter) Skip(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.skipped == nil {
		t.skipped = make(map[string]uint64)
	}
	t.skipped[reason]++
}

// Read says what was counted so far.
func (t *Counter) Read() Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := Tally{Events: t.events.Load(), Skipped: maps.Clone(t.skipped)}
	if last := t.last.Load(); last != 0 {
		now.LastEvent = time.Unix(0, last)
	}
	return now
}
