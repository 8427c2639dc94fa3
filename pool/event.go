package pool

import "time"

// Event is one message for one topic, as a Sink gets it.
type Event struct {
	Subject  string // built once, when the topic is wanted
	Topic    []byte
	ID       []byte // the upstream's own, or nil
	Payload  []byte
	Slot     int
	Life     int
	Seq      uint64    // dense for each topic since start, from 1
	Received time.Time // when the bytes were read from the socket
}

// Sink takes the events and notices of one feed.
type Sink interface {
	// Publish copies what it needs of e before it returns, keeps nothing of it but Subject, and never waits for
	// the network. An error means that the event is dropped and counted by the sink. Readers call it, several at
	// once.
	Publish(e *Event) error

	// Notice announces what became of a topic, a gap or a slot. body is the sink's to keep. It never waits.
	Notice(subject string, body []byte)
}
