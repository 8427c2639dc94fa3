package reader

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/socket"
	"feedmux/internal/tally"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// counting is a Batch that only counts.
type counting struct{ events, flushes int }

func (c *counting) Batch() topic.Batch { return c }
func (c *counting) Add(*topic.Event)   { c.events++ }
func (c *counting) Flush()             { c.flushes++ }

func readerOf(topics int, b *counting, news chan<- any) *Reader {
	r := New(Options{
		Number: 1, Publisher: b, Tally: &tally.Counter{}, News: news,
		Session: pubsub.New(pubsub.Options{}).Open(protocol.Endpoint{}),
	})
	for i := range topics {
		name := shard.Topic(fmt.Sprintf("video-playback-by-id.%d", i))
		t := &topic.Topic{Name: name, Subject: "feed.f." + string(name)}
		t.CarryBy(0)
		r.routes[name] = &route{topic: t}
	}
	return r
}

func message(topic string) socket.Message {
	return socket.Message{
		Kind: socket.Text, Received: time.Unix(1, 0),
		Data: []byte(`{"type":"MESSAGE","data":{"topic":"` + topic + `","message":"{\"type\":\"viewcount\",\"viewers\":17}"}}`),
	}
}

func TestAReaderAllocatesNothingForAnEvent(t *testing.T) {
	b := &counting{}
	r := readerOf(50, b, make(chan any, 1))
	m := message("video-playback-by-id.7")
	if err := r.take(m); err != nil { // the first one is news
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { r.take(m) }); n != 0 {
		t.Errorf("%v allocations for an event", n)
	}
	if b.events < 1000 {
		t.Errorf("%d events came through", b.events)
	}
}

func TestABurstIsFlushedAndCountedOnceBeforeTheReaderWaits(t *testing.T) {
	b := &counting{}
	r := readerOf(2, b, make(chan any, 2))
	r.take(message("video-playback-by-id.0"))
	r.take(message("video-playback-by-id.1"))
	before := b.flushes
	for range 5 {
		r.take(message("video-playback-by-id.1"))
	}
	if b.flushes != before {
		t.Error("flushed in the middle of a burst")
	}
	if r.mu.TryLock() {
		t.Error("the session is free in the middle of a burst")
	}
	r.rest()
	if b.flushes != before+1 {
		t.Errorf("flushed %d times at the end of a burst", b.flushes-before)
	}
	if !r.mu.TryLock() {
		t.Fatal("the session is not free while the reader waits")
	}
	r.mu.Unlock()
	r.rest()
	if b.flushes != before+1 {
		t.Error("flushed again without an event")
	}
	if got := r.Tally.Read(); got.Events != 7 || !got.LastEvent.Equal(time.Unix(1, 0)) {
		t.Errorf("tally %+v", got)
	}
}

// A Conn that waits for the session while its reader waits for the Conn would wait for ever.
func TestTheReaderDoesNotHoldTheSessionWhileItTellsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := make(chan any) // unbuffered, as a Conn's
		r := readerOf(1, &counting{}, inbox)
		go r.take(message("video-playback-by-id.0")) // the first event is news
		synctest.Wait()
		if !r.mu.TryLock() {
			t.Error("the reader holds the session")
		} else {
			r.mu.Unlock()
		}
		if h, ok := (<-inbox).(Heard); !ok || len(h.First) != 1 {
			t.Errorf("news: %+v", h)
		}
	})
}

func TestAnEventOfATopicThatIsNotWantedIsCounted(t *testing.T) {
	b := &counting{}
	r := readerOf(1, b, make(chan any, 1))
	r.take(message("raid.1"))
	if got := r.Tally.Read(); b.events != 0 || got.Skipped["unwanted_topic"] != 1 {
		t.Errorf("%d events, skipped %v", b.events, got.Skipped)
	}
}

func TestAnEventOfATopicThatHasItsPlaceElsewhereIsCounted(t *testing.T) {
	for name, move := range map[string]func(*topic.Topic){
		"another slot": func(t *topic.Topic) { t.CarryBy(1) }, "nowhere": (*topic.Topic).CarryNowhere,
	} {
		b := &counting{}
		r := readerOf(1, b, make(chan any, 1))
		for _, to := range r.routes {
			move(to.topic)
		}
		r.take(message("video-playback-by-id.0"))
		if got := r.Tally.Read(); b.events != 0 || got.Skipped["unwanted_topic"] != 1 {
			t.Errorf("%s: %d events, skipped %v", name, b.events, got.Skipped)
		}
	}
}
