package conn

import "time"

// Event is one message for one topic.
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

// Publisher takes the events of one feed.
type Publisher interface {
	// Publish copies what it needs of e before it returns, keeps nothing of it but Subject, and never waits for
	// the network. An error means that the event is dropped and was counted. Readers call it, several at once.
	Publish(e *Event) error
}
