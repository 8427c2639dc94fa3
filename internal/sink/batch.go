package sink

import (
	"time"

	"feedmux/pool"
)

// batch is where one reader gathers the events of a burst, in a chunk of its own. So the buffer's lock is taken once
// for a burst, and a full chunk goes on to the publisher as it is.
type batch struct {
	feed  *feed
	from  *source
	chunk *chunk
}

func newBatch(f *feed, c *chunk) *batch { return &batch{feed: f, from: &source{feed: f}, chunk: c} }

// Add copies e. An event that has no subject to be published on is dropped and counted.
func (b *batch) Add(e *pool.Event) {
	if !markOf(e.Topic).publishable() {
		b.feed.dropped[BadSubject].Add(1)
		return
	}
	if n := len(e.Payload); !b.chunk.fits(n) {
		b.put()
		if !b.chunk.fits(n) {
			b.chunk = newChunk(n)
		}
	}
	if !b.from.is(e) {
		b.from = newSource(b.feed, e, nil)
	}
	b.chunk.add(b.from, e)
}

// Flush hands on what was added, and pauses if much waits.
//
// Readers that always find something to read keep the processors from the publisher, and the runtime from noticing that
// NATS takes more: what waits would grow by hundreds of megabytes, through memory that no cache holds. The pause has its
// length whatever NATS does, so this is no waiting for NATS, and while NATS is away there is none.
func (b *batch) Flush() {
	buffer := b.feed.core.buffer
	if b.put() && buffer.behind.Load() && !buffer.away.Load() {
		time.Sleep(pause)
	}
}

// put hands on what was added, and says whether there was anything. What finds no room is dropped and counted.
func (b *batch) put() bool {
	if len(b.chunk.entries) == 0 {
		return false
	}
	var full, late int
	b.chunk, full, late = b.feed.core.buffer.put(b.feed, b.chunk)
	if full > 0 {
		b.feed.dropped[BufferFull].Add(uint64(full))
	}
	if late > 0 {
		b.feed.dropped[Drain].Add(uint64(late))
	}
	return true
}
