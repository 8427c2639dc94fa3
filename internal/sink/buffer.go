package sink

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"feedmux/internal/sink/progress"
	"feedmux/pool"
)

const (
	muchWaits    = 512 << 10                  // bytes: then readers pause
	pause        = 500 * time.Microsecond     // the runtime makes up to a millisecond of it
	chunkSize    = 32 << 10                   // bytes of payloads in one chunk
	firstEntries = 16                         // in a new chunk: then it grows
	chunkEntries = int(chunkSize / entrySize) // so that the entries of a chunk take no more than its bytes
	spareChunks  = 64                         // kept when the buffer is empty, if so many were ever needed: 2 to 4 MiB
)

// entry is one event. Its payload lies in its chunk, after that of the entry before.
type entry struct {
	mark     *mark
	from     *source
	seq      uint64
	received int64 // Unix time in nanoseconds
	end      int32 // where the payload ends
	never    never // of one that was taken: whether it can be sent at all
}

// source is what all events of one life have in common.
type source struct {
	feed       *feed
	slot, life int32
	run        *progress.Run // that the events were taken in; nil: a Batch brought them
}

func newSource(f *feed, e *pool.Event, r *progress.Run) *source {
	return &source{f, int32(e.Slot), int32(e.Life), r}
}

// is says whether e comes from the same life.
func (s *source) is(e *pool.Event) bool { return int(s.slot) == e.Slot && int(s.life) == e.Life }

// entrySize is what an entry costs beside its bytes.
const entrySize = int64(unsafe.Sizeof(entry{}))

// chunk is a run of events. It belongs to the reader that fills it, then to the buffer, then to the publisher.
type chunk struct {
	next    *chunk
	entries []entry
	bytes   []byte // never grows: a chunk that has no room is followed by another
}

func newChunk(n int) *chunk {
	return &chunk{entries: make([]entry, 0, firstEntries), bytes: make([]byte, 0, max(n, chunkSize))}
}

func (c *chunk) fits(n int) bool {
	return len(c.entries) < chunkEntries && n <= cap(c.bytes)-len(c.bytes)
}

func (c *chunk) halfFull() bool {
	return len(c.bytes) >= chunkSize/2 || len(c.entries) >= chunkEntries/2
}

// room is how many of the first n events of other fit.
func (c *chunk) room(other *chunk, n int) int {
	n = min(n, chunkEntries-len(c.entries))
	free := int32(cap(c.bytes) - len(c.bytes))
	for n > 0 && other.begin(n) > free {
		n--
	}
	return n
}

// add copies an event, which must fit.
func (c *chunk) add(from *source, e *pool.Event) {
	c.bytes = append(c.bytes, e.Payload...)
	c.growEntries(1)
	c.entries = append(c.entries, entry{
		mark: markOf(e.Topic), from: from, seq: e.Seq, received: e.Received.UnixNano(), end: int32(len(c.bytes)),
	})
}

// growEntries makes room for n more entries, and for no more than a chunk has: append would take half as much again.
func (c *chunk) growEntries(n int) {
	need := len(c.entries) + n
	if need <= cap(c.entries) {
		return
	}
	grown := make([]entry, len(c.entries), max(need, min(2*cap(c.entries), chunkEntries)))
	copy(grown, c.entries)
	c.entries = grown
}

// addAll copies other's events from one to before another, which must fit.
func (c *chunk) addAll(other *chunk, from, to int) {
	begin := other.begin(from)
	shift := int32(len(c.bytes)) - begin
	c.bytes = append(c.bytes, other.bytes[begin:other.begin(to)]...)
	first := len(c.entries)
	c.growEntries(to - from)
	c.entries = append(c.entries, other.entries[from:to]...)
	for i := first; i < len(c.entries); i++ {
		c.entries[i].end += shift
	}
}

// begin is where the i-th event's bytes begin.
func (c *chunk) begin(i int) int32 {
	if i == 0 {
		return 0
	}
	return c.entries[i-1].end
}

// cost is what the events from the i-th to before the j-th count in the bound.
func (c *chunk) cost(i, j int) int64 {
	return int64(c.begin(j)-c.begin(i)) + int64(j-i)*entrySize
}

// empty makes c as good as new. Topics that are gone are not held.
func (c *chunk) empty() {
	clear(c.entries)
	c.entries, c.bytes = c.entries[:0], c.bytes[:0]
}

// event gives the i-th event and its payload. They alias the chunk.
func (c *chunk) event(i int) (e *entry, payload []byte) {
	e = &c.entries[i]
	return e, c.bytes[c.begin(i):e.end]
}

// buffer holds the events that wait for NATS, oldest first, in chunks. Readers bring them a burst at a time; what fits
// into the last chunk is copied there, so that small bursts do not fill memory with chunks that are almost empty. When
// little is going on these are two chunks that change places; in an outage the chain grows to the bound, and shrinks
// again behind the publisher.
//
// The bound counts what events cost: their bytes and an entry each. The chunks take twice that at most where payloads
// are small, since each is half full or stands beside one that is full. One half of the bound is shared out equally:
// so much is kept for each feed whatever the others do. The other half is for who comes first.
type buffer struct {
	behind atomic.Bool   // so much waits that readers should pause
	away   atomic.Bool   // NATS takes nothing for now: a pause would help nobody
	wake   chan struct{} // one slot: something came while the publisher was idle

	overflowing atomic.Bool // overflows has something to give, now or later

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

func newBuffer(limit int64) *buffer {
	return &buffer{limit: limit, wake: make(chan struct{}, 1)}
}

// put takes the events of a burst, all of one feed, and gives back a chunk for the next. full and late are how many
// found no room, and came after the end.
func (b *buffer) put(f *feed, c *chunk) (next *chunk, full, late int) {
	b.mu.Lock()
	n := len(c.entries)
	taken := n
	switch {
	case b.closed:
		taken, late = 0, n
	case !b.chargeLocked(f, c.cost(0, n)):
		for taken = 0; taken < n && b.chargeLocked(f, c.cost(taken, taken+1)); {
			taken++
		}
		if full = n - taken; full > 0 {
			f.overflowLocked(c.entries[taken:], time.Now())
			b.overflowing.Store(true)
		}
	}
	c = b.appendLocked(c, taken)
	wake := taken > 0 && b.arrivedLocked()
	b.mu.Unlock()

	if wake {
		b.kick()
	}
	return c, full, late
}

// arrivedLocked is called after events came. It says whether the publisher is to be kicked.
func (b *buffer) arrivedLocked() (wake bool) {
	wake, b.idle = b.idle, false
	b.behind.Store(b.used > muchWaits)
	return wake
}

// appendLocked puts the first n events of c behind the others, and gives back an empty chunk of ordinary size. A chunk
// that is half full goes on as it is; fewer events are copied into the last chunk if they fit there.
func (b *buffer) appendLocked(c *chunk, n int) *chunk {
	i := 0
	if whole := n == len(c.entries); b.last != nil && !(whole && c.halfFull()) {
		if i = b.last.room(c, n); i < n && whole {
			i = 0 // then c goes on as it is
		}
		b.last.addAll(c, 0, i)
	}
	switch {
	case i == n:
	case i == 0 && n == len(c.entries):
		b.linkLocked(c)
		return b.spareLocked()
	default:
		rest := b.spareLocked()
		if size := int(c.begin(n) - c.begin(i)); !rest.fits(size) {
			rest = newChunk(size)
		}
		rest.addAll(c, i, n)
		b.linkLocked(rest)
	}
	if cap(c.bytes) != chunkSize { // it was made for one large event
		return b.spareLocked()
	}
	c.empty()
	return c
}

// kick makes the publisher look again. It never waits.
func (b *buffer) kick() {
	select {
	case b.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

func (b *buffer) linkLocked(c *chunk) {
	if b.last == nil {
		b.first = c
	} else {
		b.last.next = c
	}
	b.last = c
}

// lastLocked gives the last chunk, or a new one behind it if a payload of n bytes does not fit there.
func (b *buffer) lastLocked(n int) *chunk {
	switch {
	case b.last != nil && b.last.fits(n):
	case n > chunkSize:
		b.linkLocked(newChunk(n))
	default:
		b.linkLocked(b.spareLocked())
	}
	return b.last
}

// spareLocked gives an empty chunk.
func (b *buffer) spareLocked() *chunk {
	last := len(b.spare) - 1
	if last < 0 {
		return newChunk(chunkSize)
	}
	c := b.spare[last]
	b.spare[last] = nil
	b.spare = b.spare[:last]
	return c
}

// spareChunk gives an empty chunk to a reader.
func (b *buffer) spareChunk() *chunk {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spareLocked()
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
	for i, j := 0, 0; i < len(c.entries); i = j {
		from := c.entries[i].from
		for j = i; j < len(c.entries) && c.entries[j].from == from; j++ {
		}
		b.refundLocked(from.feed, c.cost(i, j))
	}
	if cap(c.bytes) == chunkSize && len(b.spare) < spareChunks {
		c.empty()
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

// close refuses all further events and calls drop with the source of each that still waits, in order. done is how many
// of the taken chunk's events are done with.
func (b *buffer) close(done int, drop func(*source)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.taken != nil {
		for i := done; i < len(b.taken.entries); i++ {
			drop(b.taken.entries[i].from)
		}
	}
	b.recycleLocked()
	for b.first != nil {
		b.taken, b.first = b.first, b.first.next
		for i := range b.taken.entries {
			drop(b.taken.entries[i].from)
		}
		b.recycleLocked()
	}
	b.last, b.spare = nil, nil
}
