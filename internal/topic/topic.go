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

	// carrier is the slot whose events count, plus one; 0: nobody's do.
	carrier atomic.Int32

	// Written by the reader that carries the topic.
	events atomic.Uint64
	last   atomic.Int64 // when the newest event was received: Unix nanoseconds, 0 before the first
}

// CarryBy says that the topic has its place in slot s: from here on what other slots still bring of it is nobody's. The
// ledger calls it.
func (t *Topic) CarryBy(s shard.Slot) { t.carrier.Store(int32(s) + 1) }

// CarryNowhere says that the topic has no place, or is not wanted any more.
func (t *Topic) CarryNowhere() { t.carrier.Store(0) }

// CarriedBy says whether the events that slot s brings count.
func (t *Topic) CarriedBy(s shard.Slot) bool { return t.carrier.Load() == int32(s)+1 }

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
