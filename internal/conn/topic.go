package conn

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

	// Written by the reader that carries the topic.
	events atomic.Uint64
	last   atomic.Int64 // when the newest event was received: Unix nanoseconds, 0 before the first
}

// Events is how many came since the topic was first wanted. Any goroutine may ask.
func (t *Topic) Events() uint64 { return t.events.Load() }

// LastEvent is when the newest event was received; zero before the first. Any goroutine may ask.
func (t *Topic) LastEvent() time.Time { return fromUnixNano(t.last.Load()) }

func fromUnixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
