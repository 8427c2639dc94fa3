package sink

import (
	"errors"
	"sync"
	"time"
	"unsafe"

	"feedmux/pool"
)

// ErrFull means that an event was dropped because NATS takes events more slowly than they come, or not at all.
var ErrFull = errors.New("the buffer for NATS is full")

// ErrClosed means that an event came after the last one was sent.
var ErrClosed = errors.New("the sink has ended")

const (
	chunkSize    = 64 << 10 // bytes of topics and payloads in one chunk
	chunkEntries = 1024     // so that the entries of a chunk take no more than its bytes
	spareChunks  = 16       // kept when the buffer is empty: a MiB, two where payloads are tiny
)

// entry is one event. Its topic and its payload lie in its chunk, one behind the other, after those of the entry before.
type entry struct {
	subject    string
	feed       *feed
	slot, life int
	seq        uint64
	received   int64 // Unix time in nanoseconds
	topic, end int32 // where the topic and the payload end
}

// entrySize is what an entry costs beside its bytes.
const entrySize = int64(unsafe.Sizeof(entry{}))

// chunk is a run of events. It is filled under the buffer's lock, then belongs to the publisher.
type chunk struct {
	next    *chunk
	entries []entry
	bytes   []byte // never grows: a chunk that has no room is followed by another
}

func newChunk(n int) *chunk {
	return &chunk{entries: make([]entry, 0, 16), bytes: make([]byte, 0, max(n, chunkSize))}
}

func (c *chunk) fits(n int) bool {
	return len(c.entries) < chunkEntries && n <= cap(c.bytes)-len(c.bytes)
}

// event gives the i-th event's topic and payload. They alias the chunk.
func (c *chunk) event(i int) (e *entry, topic, payload []byte) {
	e = &c.entries[i]
	begin := int32(0)
	if i > 0 {
		begin = c.entries[i-1].end
	}
	return e, c.bytes[begin:e.topic], c.bytes[e.topic:e.end]
}

// buffer holds the events that wait for NATS, oldest first, in chunks: the readers fill the last while the publisher
// empties the first. When little is going on these are two that change places; in an outage the chain grows to the
// bound, and shrinks again behind the publisher.
//
// The bound counts what events cost: their bytes and an entry each. The chunks take a little over twice that at worst,
// about a tenth more where payloads are of some hundred bytes. One half of it is shared out equally: so much is kept for each feed
// whatever the others do. The other half is for who comes first.
type buffer struct {
	topics bool          // whether topics are wanted by who takes the events out
	wake   chan struct{} // one slot: something came while the publisher was idle

	mu          sync.Mutex
	first, last *chunk
	taken       *chunk // the publisher's, until it asks for the next
	spare       []*chunk
	limit       int64
	feeds       []*feed
	share       int64 // what is kept for each feed
	used        int64 // by all
	common      int64 // of used: what feeds use beyond their share
	idle        bool  // the publisher found nothing and sleeps
	closed      bool
}

func newBuffer(limit int64, topics bool) *buffer {
	return &buffer{limit: limit, topics: topics, wake: make(chan struct{}, 1)}
}

// addFeed gives f its share, and the other feeds smaller ones. It is called before the first put of f.
func (b *buffer) addFeed(f *feed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.feeds = append(b.feeds, f)
	b.share = b.limit / 2 / int64(len(b.feeds))
	b.common = 0
	for _, f := range b.feeds {
		b.common += max(0, f.used-b.share)
	}
}

// put copies e behind the others. The error is ErrFull or ErrClosed.
func (b *buffer) put(f *feed, e *pool.Event) error {
	var topic []byte
	if b.topics {
		topic = e.Topic
	}
	n := len(topic) + len(e.Payload)

	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	if !b.chargeLocked(f, int64(n)+entrySize) {
		b.mu.Unlock()
		return ErrFull
	}
	c := b.last
	if c == nil || !c.fits(n) {
		c = b.extendLocked(n)
	}
	c.bytes = append(c.bytes, topic...)
	middle := len(c.bytes)
	c.bytes = append(c.bytes, e.Payload...)
	c.entries = append(c.entries, entry{
		subject: e.Subject, feed: f, slot: e.Slot, life: e.Life, seq: e.Seq, received: e.Received.UnixNano(),
		topic: int32(middle), end: int32(len(c.bytes)),
	})
	wake := b.idle
	b.idle = false
	b.mu.Unlock()

	if wake {
		b.kick()
	}
	return nil
}

// kick makes the publisher look again. It never waits.
func (b *buffer) kick() {
	select {
	case b.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// chargeLocked takes n bytes for a feed, if there is room: in its own share first, then in the common half.
func (b *buffer) chargeLocked(f *feed, n int64) bool {
	beyond := max(0, f.used+n-b.share) - max(0, f.used-b.share)
	if b.common+beyond > b.limit-b.share*int64(len(b.feeds)) {
		return false
	}
	b.common += beyond
	b.used += n
	f.used += n
	return true
}

func (b *buffer) refundLocked(f *feed, n int64) {
	b.common -= max(0, f.used-b.share) - max(0, f.used-n-b.share)
	b.used -= n
	f.used -= n
}

// extendLocked puts an empty chunk with room for n bytes at the end.
func (b *buffer) extendLocked(n int) *chunk {
	var c *chunk
	if last := len(b.spare) - 1; last >= 0 && n <= chunkSize {
		c, b.spare[last] = b.spare[last], nil
		b.spare = b.spare[:last]
	} else {
		c = newChunk(n)
	}
	if b.last == nil {
		b.first = c
	} else {
		b.last.next = c
	}
	b.last = c
	return c
}

// next gives the publisher the oldest chunk, or nil when nothing waits: then the next event kicks it. The chunk that
// next gave before is done with.
func (b *buffer) next() *chunk {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recycleLocked()
	c := b.first
	if c == nil {
		b.idle = true
		return nil
	}
	b.first = c.next
	if b.first == nil {
		b.last = nil
	}
	c.next = nil
	b.taken = c
	return c
}

// recycleLocked gives back what the taken chunk cost, and keeps it for later if it is an ordinary one.
func (b *buffer) recycleLocked() {
	c := b.taken
	if c == nil {
		return
	}
	b.taken = nil
	begin := int32(0)
	for i := range c.entries {
		e := &c.entries[i]
		b.refundLocked(e.feed, int64(e.end-begin)+entrySize)
		begin = e.end
	}
	if cap(c.bytes) == chunkSize && len(b.spare) < spareChunks {
		clear(c.entries) // a subject of a topic that is gone is not held
		c.entries, c.bytes = c.entries[:0], c.bytes[:0]
		b.spare = append(b.spare, c)
	}
}

// waiting is how many bytes wait and since when the oldest of them does: at most a chunk's worth too early. It is the
// zero time when nothing waits.
func (b *buffer) waiting() (bytes int64, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	oldest := b.taken
	if oldest == nil {
		oldest = b.first
	}
	if oldest == nil {
		return 0, time.Time{}
	}
	return b.used, time.Unix(0, oldest.entries[0].received)
}

// close refuses all further events and calls drop for each that still waits, in order. done is how many of the taken
// chunk's events are done with.
func (b *buffer) close(done int, drop func(*feed)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.taken != nil {
		for i := done; i < len(b.taken.entries); i++ {
			drop(b.taken.entries[i].feed)
		}
	}
	b.recycleLocked()
	for b.first != nil {
		b.taken, b.first = b.first, b.first.next
		for i := range b.taken.entries {
			drop(b.taken.entries[i].feed)
		}
		b.recycleLocked()
	}
	b.last, b.spare = nil, nil
}
