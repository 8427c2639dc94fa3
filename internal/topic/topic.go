// Package topic has what is known of one upstream stream, and what comes of it.
package topic

import (
	"sync/atomic"
	"time"

	"feedmux/shard"
)

// Topic is a wanted topic as ledger, connections and readers know it. A topic that was removed and is wanted again is a
// new one, so that a Conn which never saw the removal can tell that its news is wanted once more.
type Topic struct {
	Name    shard.Topic
	Subject string // of its events

	// Mark is the sink's own: what it has to know of the topic's events. It is set before the first of them.
	Mark any

	// Written by the reader that carries the topic.
	events atomic.Uint64
	last   atomic.Int64 // when the newest event was received: Unix nanoseconds, 0 before the first
}

// Count counts an event that was received at that time, and returns the how-manieth of the topic it is. The reader that
// carries the topic calls it.
func (t *Topic) Count(received time.Time) uint64 {
	t.last.Store(received.UnixNano())
	return t.events.Add(1)
}

// Events is how many came since the topic was first wanted. Any goroutine may ask.
func (t *Topic) Events() uint64 { return t.events.Load() }

// LastEvent is when the newest event was received; zero before the first. Any goroutine may ask.
func (t *Topic) LastEvent() (at time.Time) {
	if n := t.last.Load(); n != 0 {
		at = time.Unix(0, n)
	}
	return at
}
