package conn

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

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

func lifeOf(topics int, b topic.Batch) *life {
	l := &life{
		number: 1, batch: b, tally: &tally.Counter{}, inbox: make(chan any, 1),
		session: pubsub.New(pubsub.Options{}).Open(protocol.Endpoint{}),
		routes:  make(map[shard.Topic]*route),
	}
	for i := range topics {
		name := shard.Topic(fmt.Sprintf("video-playback-by-id.%d", i))
		t := &topic.Topic{Name: name, Subject: "feed.f." + string(name)}
		t.CarryBy(0)
		l.routes[name] = &route{topic: t}
	}
	return l
}

func message(topic string) socket.Message {
	return socket.Message{
		Kind: socket.Text, Received: time.Unix(1, 0),
		Data: []byte(`{"type":"MESSAGE","data":{"topic":"` + topic + `","message":"{\"type\":\"viewcount\",\"viewers\":17}"}}`),
	}
}

func TestAReaderAllocatesNothingForAnEvent(t *testing.T) {
	b := &counting{}
	l := lifeOf(50, b)
	m := message("video-playback-by-id.7")
	if err := l.take(m); err != nil { // the first one is news
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { l.take(m) }); n != 0 {
		t.Errorf("%v allocations for an event", n)
	}
	if b.events < 1000 {
		t.Errorf("%d events came through", b.events)
	}
}

func TestABurstIsFlushedAndCountedOnceBeforeTheReaderWaits(t *testing.T) {
	b := &counting{}
	l := lifeOf(2, b)
	l.inbox = make(chan any, 2)
	l.take(message("video-playback-by-id.0"))
	l.take(message("video-playback-by-id.1"))
	before := b.flushes
	for range 5 {
		l.take(message("video-playback-by-id.1"))
	}
	if b.flushes != before {
		t.Error("flushed in the middle of a burst")
	}
	if l.mu.TryLock() {
		t.Error("the session is free in the middle of a burst")
	}
	l.rest()
	if b.flushes != before+1 {
		t.Errorf("flushed %d times at the end of a burst", b.flushes-before)
	}
	if !l.mu.TryLock() {
		t.Fatal("the session is not free while the reader waits")
	}
	l.mu.Unlock()
	l.rest()
	if b.flushes != before+1 {
		t.Error("flushed again without an event")
	}
	if got := l.tally.Read(); got.Events != 7 || !got.LastEvent.Equal(time.Unix(1, 0)) {
		t.Errorf("tally %+v", got)
	}
}

// A Conn that waits for the session while its reader waits for the Conn would wait for ever.
func TestTheReaderDoesNotHoldTheSessionWhileItTellsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := make(chan any) // unbuffered, as a Conn's
		l := lifeOf(1, &counting{})
		l.inbox = inbox
		go l.take(message("video-playback-by-id.0")) // the first event is news
		synctest.Wait()
		if !l.mu.TryLock() {
			t.Error("the reader holds the session")
		} else {
			l.mu.Unlock()
		}
		if h, ok := (<-inbox).(heard); !ok || len(h.first) != 1 {
			t.Errorf("news: %+v", h)
		}
	})
}

func TestAnEventOfATopicThatIsNotWantedIsCounted(t *testing.T) {
	b := &counting{}
	l := lifeOf(1, b)
	l.take(message("raid.1"))
	if got := l.tally.Read(); b.events != 0 || got.Skipped["unwanted_topic"] != 1 {
		t.Errorf("%d events, skipped %v", b.events, got.Skipped)
	}
}

func TestAnEventOfATopicThatHasItsPlaceElsewhereIsCounted(t *testing.T) {
	for name, move := range map[string]func(*topic.Topic){
		"another slot": func(t *topic.Topic) { t.CarryBy(1) }, "nowhere": (*topic.Topic).CarryNowhere,
	} {
		b := &counting{}
		l := lifeOf(1, b)
		for _, r := range l.routes {
			move(r.topic)
		}
		l.take(message("video-playback-by-id.0"))
		if got := l.tally.Read(); b.events != 0 || got.Skipped["unwanted_topic"] != 1 {
			t.Errorf("%s: %d events, skipped %v", name, b.events, got.Skipped)
		}
	}
}
