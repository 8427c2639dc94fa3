package tap

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"feedmux/shard"
)

// What a Stream holds for its reader. An event that finds no room is left out and counted.
const (
	maxEvents = 4096
	maxBytes  = 4 << 20 // of payloads
)

// Event is one that went to NATS. It is the reader's to keep.
type Event struct {
	Feed     string
	Topic    shard.Topic
	Subject  string
	Payload  []byte
	Received time.Time
}

// Tap is where events can be looked at. The zero value is ready, and nobody looks on. Its methods may be called from any
// goroutine.
type Tap struct {
	// streams is nil while nobody looks on. The list is replaced, never changed.
	streams atomic.Pointer[[]*Stream]

	mu sync.Mutex // held while the list is replaced
}

// Offer shows an event to everybody who asked for its topic. It copies what it needs of payload, and never waits for a
// reader.
func (t *Tap) Offer(feed string, topic shard.Topic, subject string, payload []byte, received time.Time) {
	if streams := t.streams.Load(); streams != nil {
		offer(*streams, feed, topic, subject, payload, received)
	}
}

func offer(streams []*Stream, feed string, topic shard.Topic, subject string, payload []byte, received time.Time) {
	for _, s := range streams {
		if s.match(feed, topic) {
			s.add(Event{feed, topic, subject, payload, received})
		}
	}
}

// Subscribe makes a Stream of the events that match says yes to. match is called for every event, by whoever offers it:
// it must be quick and may not call the Tap. The Stream must be closed.
func (t *Tap) Subscribe(match func(feed string, topic shard.Topic) bool) *Stream {
	s := &Stream{tap: t, match: match, wake: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []*Stream{s}
	if old := t.streams.Load(); old != nil {
		list = append(slices.Clone(*old), s)
	}
	t.streams.Store(&list)
	return s
}

// remove takes s off the list.
func (t *Tap) remove(s *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.streams.Load()
	if old == nil {
		return
	}
	list := slices.DeleteFunc(slices.Clone(*old), func(other *Stream) bool { return other == s })
	if len(list) == 0 {
		t.streams.Store(nil)
		return
	}
	t.streams.Store(&list)
}

// Stream is what one reader sees. Next belongs to one goroutine; the other methods may be called from any.
type Stream struct {
	tap   *Tap
	match func(string, shard.Topic) bool
	wake  chan struct{} // room for one: it is raised already, nothing is lost

	mu     sync.Mutex // held while one event is copied, or all are taken
	events []Event
	bytes  int
	left   uint64 // left out after events
}

func (s *Stream) add(e Event) {
	s.mu.Lock()
	// Once one was left out, so are all until the reader has taken what there is: leftOut then comes after them all.
	if s.left > 0 || len(s.events) == maxEvents || s.bytes+len(e.Payload) > maxBytes {
		s.left++
	} else {
		e.Payload = bytes.Clone(e.Payload)
		s.events = append(s.events, e)
		s.bytes += len(e.Payload)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next waits for events and returns all that came since it last did, in the order in which they went to NATS, and how
// many were left out after them. It fails only with ctx.
func (s *Stream) Next(ctx context.Context) (events []Event, leftOut uint64, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		s.mu.Lock()
		events, leftOut = s.events, s.left
		s.events, s.bytes, s.left = nil, 0, 0
		s.mu.Unlock()
		if len(events) > 0 || leftOut > 0 {
			return events, leftOut, nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// Close ends the Stream: nothing is copied for it any more. It may be called twice.
func (s *Stream) Close() { s.tap.remove(s) }
