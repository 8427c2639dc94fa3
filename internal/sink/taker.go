package sink

import (
	"feedmux/internal/sink/progress"
	"feedmux/internal/topic"
	"feedmux/pool"
)

// taker is the topic.Taker of one feed. Its events wait in the buffer like all others, but what becomes of them is told
// to its owner rather than announced.
type taker struct {
	*progress.Feed
	feed *feed
	from *source
}

func newTaker(f *feed) *taker { return &taker{Feed: progress.New(), feed: f, from: &source{feed: f}} }

// Taker is what a feed whose upstream keeps its events hands them to, instead of a Batch. There is one.
func (f *feed) Taker() topic.Taker { return f.taker }

// never says why an event that was taken cannot ever be sent. It has its number and its place in the order, and no payload.
type never uint8

const (
	sendable     never = iota
	neverNamed         // it has no subject
	neverFits          // it is larger than all that its feed may use of the buffer
	neverWritten       // one connection after another broke over it
)

func (n never) reason() Reason { return [...]Reason{"", BadSubject, TooLarge, NATSBreaks}[n] }

// Take copies e behind what waits.
func (t *taker) Take(e *pool.Event) bool {
	b := t.feed.core.buffer
	b.mu.Lock()
	taken := t.takeLocked(b, e)
	wake := taken && b.arrivedLocked()
	b.mu.Unlock()

	if wake {
		b.kick()
	}
	return taken
}

func (t *taker) takeLocked(b *buffer, e *pool.Event) bool {
	run, poison := t.Admit()
	if run == nil || b.closed {
		return false
	}
	why := sendable
	switch {
	case poison:
		why = neverWritten
	case !markOf(e.Topic).publishable():
		why = neverNamed
	case int64(len(e.Payload))+entrySize > b.mostLocked():
		why = neverFits
	}
	if why != sendable {
		e = &pool.Event{Topic: e.Topic, Slot: e.Slot, Life: e.Life, Seq: e.Seq, Received: e.Received}
	}
	if !b.chargeLocked(t.feed, int64(len(e.Payload))+entrySize) {
		return false
	}
	t.Took()
	if t.from.run != run || !t.from.is(e) {
		t.from = newSource(t.feed, e, run)
	}
	c := b.lastLocked(len(e.Payload))
	c.add(t.from, e)
	c.entries[len(c.entries)-1].never = why
	return true
}
