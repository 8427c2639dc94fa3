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
	Odd       map[string]Odd    // events that contradict themselves or what came before, by kind
}

// Odd is how many events are odd in one way.
type Odd struct {
	Count   uint64
	Example string // the topic of one of the newest
}

// Counter counts, one life after the other. Its methods may be called by any goroutine.
type Counter struct {
	events atomic.Uint64
	last   atomic.Int64 // when the newest event was received: Unix nanoseconds

	mu      sync.Mutex
	skipped map[string]uint64
	odd     map[string]*odd
}

type odd struct {
	Odd
	told bool // the example was read: the next one takes its place
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

// Odd counts an event that contradicts itself or what came before. kind is one of a short list: it becomes a metric's
// label. Nothing is kept of topic: one is copied after each Read.
func (t *Counter) Odd(kind string, topic []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.odd[kind]
	if o == nil {
		if t.odd == nil {
			t.odd = make(map[string]*odd)
		}
		o = &odd{told: true}
		t.odd[kind] = o
	}
	o.Count++
	if o.told {
		o.Example, o.told = string(topic), false
	}
}

// Read says what was counted so far.
func (t *Counter) Read() Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := Tally{Events: t.events.Load(), Skipped: maps.Clone(t.skipped)}
	if last := t.last.Load(); last != 0 {
		now.LastEvent = time.Unix(0, last)
	}
	if len(t.odd) > 0 {
		now.Odd = make(map[string]Odd, len(t.odd))
		for kind, o := range t.odd {
			now.Odd[kind], o.told = o.Odd, true
		}
	}
	return now
}
