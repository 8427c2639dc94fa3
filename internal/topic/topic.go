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
	Options any    // the protocol's own; can be compared with ==
	Subject string // of its events

	// Mark is the sink's own: what it has to know of the topic's events. It is set before the first of them.
	Mark any

	// of is what this is a form of: carrier and counts are there. nil: they are here.
	of *Topic

	// carrier is the slot whose events count, plus one; 0: nobody's do.
	carrier atomic.Int32

	// Written by the reader that carries the topic.
	events atomic.Uint64
	last   atomic.Int64 // when the newest event was received: Unix nanoseconds, 0 before the first
}

// Form is t with other options or another subject: the same topic in all else. What is counted in one is counted in all
// of its forms.
func (t *Topic) Form(options any, subject string) *Topic {
	return &Topic{Name: t.Name, Options: options, Subject: subject, of: t.Self()}
}

// Is says whether t and other are forms of the same topic.
func (t *Topic) Is(other *Topic) bool { return t.Self() == other.Self() }

// Self is the same for all forms of a topic: a key for what is known of all of them.
func (t *Topic) Self() *Topic {
	if t.of != nil {
		return t.of
	}
	return t
}

// CarryBy says that the topic has its place in slot s: from here on what other slots still bring of it is nobody's. The
// ledger calls it.
func (t *Topic) CarryBy(s shard.Slot) { t.Self().carrier.Store(int32(s) + 1) }

// CarryAnywhere says that it counts in whichever slot it comes.
func (t *Topic) CarryAnywhere() { t.Self().carrier.Store(anywhere) }

const anywhere = -1

// CarryNowhere says that the topic has no place, or is not wanted any more.
func (t *Topic) CarryNowhere() { t.Self().carrier.Store(0) }

// CarriedBy says whether the events that slot s brings count.
func (t *Topic) CarriedBy(s shard.Slot) bool {
	by := t.Self().carrier.Load()
	return by == int32(s)+1 || by == anywhere
}

// Count counts an event that was received at that time, and returns the how-manieth of the topic it is. The reader that
// carries the topic calls it.
func (t *Topic) Count(received time.Time) uint64 {
	t = t.Self()
	t.last.Store(received.UnixNano())
	return t.events.Add(1)
}

// Events is how many came since the topic was first wanted. Any goroutine may ask.
func (t *Topic) Events() uint64 { return t.Self().events.Load() }

// LastEvent is when the newest event was received; zero before the first. Any goroutine may ask.
func (t *Topic) LastEvent() (at time.Time) {
	if n := t.Self().last.Load(); n != 0 {
		at = time.Unix(0, n)
	}
	return at
}
