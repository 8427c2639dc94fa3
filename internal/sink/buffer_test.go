package sink

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/pool"
)

func TestTheBufferGivesBackWhatItTookInOrder(t *testing.T) {
	b := newBuffer(1 << 30)
	f := new(feed)
	b.addFeed(f)
	rnd := rand.New(rand.NewPCG(1, 2))
	type want struct {
		mark    *mark
		payload []byte
		seq     uint64
	}
	var wants []want
	take := func() {
		for c := b.next(); c != nil; c = b.next() {
			for i := range c.entries {
				e, payload := c.event(i)
				w := wants[0]
				wants = wants[1:]
				if e.mark != w.mark || !bytes.Equal(payload, w.payload) || e.seq != w.seq {
					t.Fatalf("event %d came out as %s, %d bytes, seq %d", w.seq, e.mark.topic.Name, len(payload), e.seq)
				}
			}
		}
	}
	for seq := range uint64(20_000) {
		size := rnd.IntN(400)
		if rnd.IntN(500) == 0 {
			size = rnd.IntN(3 * chunkSize) // larger than a chunk, too
		}
		topic := topicOf(f, fmt.Sprint("t", seq))
		w := want{markOf(topic), bytes.Repeat([]byte{byte(seq)}, size), seq}
		wants = append(wants, w)
		e := &pool.Event{Topic: topic, Payload: w.payload, Seq: seq, Received: time.Now()}
		if err := putOne(b, f, e); err != nil {
			t.Fatal(err)
		}
		if rnd.IntN(2000) == 0 {
			take()
		}
	}
	take()
	if len(wants) > 0 {
		t.Errorf("%d events did not come out", len(wants))
	}
	if b.used != 0 || b.common != 0 || f.used != 0 {
		t.Errorf("the empty buffer counts %d bytes, %d in common, %d of the feed", b.used, b.common, f.used)
	}
}

func TestTheBufferShrinksAfterABurst(t *testing.T) {
	b := newBuffer(16 << 20)
	f := new(feed)
	b.addFeed(f)
	fill(b, f, 300)
	for b.next() != nil {
	}
	if n := len(b.spare); n > spareChunks || b.first != nil || b.last != nil {
		t.Errorf("%d chunks are kept, want at most %d", n, spareChunks)
	}
	kept := int64(0)
	for _, c := range b.spare {
		kept += int64(cap(c.bytes)) + int64(cap(c.entries))*entrySize
	}
	if kept > 2*spareChunks*chunkSize {
		t.Errorf("%d bytes are kept", kept)
	}
}

func TestTheBuffersMemoryStaysNearItsBound(t *testing.T) {
	for _, sizes := range [][]int{{0}, {20}, {300}, {3000}, {40_000}, {chunkSize - 100, 300}, {100, chunkSize + 1}, {1 << 20}} {
		b := newBuffer(8 << 20)
		f := new(feed)
		b.addFeed(f)
		fill(b, f, sizes...)
		memory := int64(0)
		for c := b.first; c != nil; c = c.next {
			memory += int64(cap(c.bytes)) + int64(cap(c.entries))*entrySize
			if n := len(c.entries); n > chunkEntries {
				t.Errorf("payloads of %v bytes: a chunk has %d entries", sizes, n)
			}
		}
		if memory > b.limit*21/10 {
			t.Errorf("payloads of %v bytes: a bound of %d takes %d bytes", sizes, b.limit, memory)
		}
	}
}

func TestAFeedAloneMayUseTheWholeBuffer(t *testing.T) {
	b := newBuffer(1 << 20)
	f := new(feed)
	b.addFeed(f)
	n := fill(b, f, 1000)
	if want := int(b.limit / (1000 + entrySize)); n != want {
		t.Errorf("%d events fit, want %d", n, want)
	}
}

func TestAGreedyFeedLeavesTheOthersTheirShare(t *testing.T) {
	b := newBuffer(1 << 20)
	feeds := []*feed{{}, {}, {}, {}}
	for _, f := range feeds {
		b.addFeed(f)
	}
	cost := 1000 + entrySize
	greedy := fill(b, feeds[0], 1000)
	if want := int(b.limit * 5 / 8 / cost); greedy != want {
		t.Errorf("the greedy feed has %d events, want %d: its share and the common half", greedy, want)
	}
	for _, f := range feeds[1:] {
		if n, want := fill(b, f, 1000), int(b.limit/8/cost); n < want {
			t.Errorf("another feed has %d events, want at least %d", n, want)
		}
	}
	if b.used > b.limit {
		t.Errorf("%d bytes are used of %d", b.used, b.limit)
	}
}

func TestAFeedThatLeavesGivesItsShareBackOnceNothingOfItWaits(t *testing.T) {
	b := newBuffer(1 << 20)
	stays, leaves := &feed{}, &feed{}
	b.addFeed(stays)
	b.addFeed(leaves)
	fill(b, leaves, 1000)
	b.removeFeed(leaves)
	for b.next() != nil {
		if len(b.feeds) != 2 {
			t.Fatal("it went while something of it waited")
		}
	}
	if len(b.feeds) != 2 {
		t.Fatal("it went before anybody was told that it had too much")
	}
	if ended := b.overflows(time.Unix(1, 0), true); len(ended) != 1 {
		t.Fatalf("%d topics had too much, want 1", len(ended))
	}
	if len(b.feeds) != 1 || b.share != b.limit/2 || b.common != 0 || b.used != 0 {
		t.Errorf("then %d feeds, a share of %d, %d in the common half, %d in all", len(b.feeds), b.share, b.common, b.used)
	}
}

func TestTheBuffersSumsStayRight(t *testing.T) {
	b := newBuffer(1 << 20)
	feeds := []*feed{{}, {}, {}}
	for _, f := range feeds {
		b.addFeed(f)
	}
	topics := make(map[*feed]*pool.Topic)
	for _, f := range feeds {
		topics[f] = topicOf(f, "t")
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	payload := make([]byte, 20_000)
	for i := range 20_000 {
		if rnd.IntN(50) == 0 {
			b.next()
		}
		if i == 10_000 {
			feeds = append(feeds, new(feed))
			b.addFeed(feeds[3])
			topics[feeds[3]] = topicOf(feeds[3], "t")
		}
		f := feeds[min(rnd.IntN(6), len(feeds)-1)]
		e := &pool.Event{Topic: topics[f], Payload: payload[:rnd.IntN(len(payload))]}
		if err := putOne(b, f, e); err != nil && !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		used, common := int64(0), int64(0)
		for _, f := range feeds {
			used += f.used
			common += max(0, f.used-b.share)
		}
		if used != b.used || common != b.common || used > b.limit {
			t.Fatalf("used %d, want %d; common %d, want %d; limit %d", b.used, used, b.common, common, b.limit)
		}
	}
}

func TestAnIdlePublisherIsWokenOnce(t *testing.T) {
	b := newBuffer(1 << 20)
	f := new(feed)
	b.addFeed(f)
	fill1 := func() {
		if err := putOne(b, f, &pool.Event{Topic: topicOf(f, "t")}); err != nil {
			t.Fatal(err)
		}
	}
	fill1()
	if len(b.wake) != 0 {
		t.Error("a publisher that is not idle was woken")
	}
	for b.next() != nil {
	}
	fill1()
	if len(b.wake) != 1 {
		t.Error("an idle publisher was not woken")
	}
	<-b.wake
	fill1()
	if len(b.wake) != 0 {
		t.Error("a publisher that was woken was woken again")
	}
}

func TestAClosedBufferCountsWhatIsLeft(t *testing.T) {
	b := newBuffer(16 << 20)
	f := new(feed)
	b.addFeed(f)
	n := fill(b, f, 300)
	b.next()
	left := 0
	b.close(10, func(*source) { left++ })
	if left != n-10 {
		t.Errorf("%d events are left, want %d", left, n-10)
	}
	if err := putOne(b, f, &pool.Event{Topic: topicOf(f, "t")}); !errors.Is(err, errClosed) {
		t.Errorf("put says %v, want errClosed", err)
	}
	if b.used != 0 || b.first != nil {
		t.Errorf("the closed buffer holds %d bytes", b.used)
	}
}

// fill puts events with payloads of these sizes, in turn, until the buffer is full, and says how many.
func fill(b *buffer, f *feed, sizes ...int) int {
	topic := topicOf(f, "t")
	for n := 0; ; n++ {
		e := &pool.Event{Topic: topic, Payload: make([]byte, sizes[n%len(sizes)]), Received: time.Unix(1, 0)}
		if putOne(b, f, e) != nil {
			return n
		}
	}
}

// putOne puts a burst of one event.
func putOne(b *buffer, f *feed, e *pool.Event) error {
	c := chunks.Get().(*chunk)
	if n := len(e.Payload); !c.fits(n) {
		c = newChunk(n)
	}
	c.add(&source{feed: f}, e)
	c, full, late := b.put(f, c)
	chunks.Put(c)
	switch {
	case full > 0:
		return errFull
	case late > 0:
		return errClosed
	}
	return nil
}

// burst puts n events of one size at once.
func burst(b *buffer, f *feed, n, size int) (full int) {
	c := chunks.Get().(*chunk)
	from, e := &source{feed: f}, &pool.Event{Topic: topicOf(f, "t"), Payload: make([]byte, size), Received: time.Unix(1, 0)}
	for range n {
		c.add(from, e)
	}
	c, full, _ = b.put(f, c)
	chunks.Put(c)
	return full
}

// A buffer that stays full takes a part of each burst.
func TestAFullBuffersMemoryStaysNearItsBound(t *testing.T) {
	for _, n := range []int{1, 20, 80, 300} {
		b := newBuffer(8 << 20)
		f := new(feed)
		b.addFeed(f)
		for range 3 {
			for burst(b, f, n, 150) < n {
			}
		}
		for range 300 {
			b.next() // one chunk goes, and bursts take its room
			for burst(b, f, n, 150) == 0 {
			}
		}
		memory, events := int64(0), 0
		for c := b.first; c != nil; c = c.next {
			memory += int64(cap(c.bytes)) + int64(cap(c.entries))*entrySize
			events += len(c.entries)
		}
		if memory > b.limit*21/10 {
			t.Errorf("bursts of %d: a bound of %d takes %d bytes", n, b.limit, memory)
		}
		if cost := int64(events) * (150 + entrySize); cost < b.limit*9/10 || cost > b.limit {
			t.Errorf("bursts of %d: events for %d bytes wait, of %d", n, cost, b.limit)
		}
	}
}

func TestAChunkForOneLargeEventIsNotKept(t *testing.T) {
	b := newBuffer(1 << 20)
	f := new(feed)
	b.addFeed(f)
	for _, size := range []int{chunkSize + 1, 2 << 20} { // the second finds no room
		c := newChunk(size)
		c.add(&source{feed: f}, &pool.Event{Topic: topicOf(f, "t"), Payload: make([]byte, size)})
		if next, _, _ := b.put(f, c); cap(next.bytes) != chunkSize || len(next.entries) > 0 {
			t.Errorf("after an event of %d bytes the reader goes on with a chunk of %d", size, cap(next.bytes))
		}
	}
}

// While a reader adds, it holds its session's lock.
func TestAReaderPausesWhenMuchWaitsAndOnlyInFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCore(Options{Buffer: 2 * muchWaits})
		f := c.Feed("f")
		b, e := f.Batch(), event(f, benchBody)
		begin := time.Now()
		b.Add(e)
		b.Flush()
		for range 2 * muchWaits / len(benchBody) { // more than there is room for
			b.Add(e)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %v before the first Flush that finds much", took)
		}
		b.Flush()
		if took := time.Since(begin); took != pause {
			t.Errorf("the pause took %v, want %v", took, pause)
		}
		b.Flush()
		if took := time.Since(begin); took != pause {
			t.Errorf("a Flush with nothing to hand on paused, %v in all", took)
		}
		c.buffer.away.Store(true)
		b.Add(e)
		b.Flush()
		if took := time.Since(begin); took != pause {
			t.Errorf("a reader paused while NATS is away, %v in all", took)
		}
	})
}
