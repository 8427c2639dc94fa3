package topic

import "time"

// Event is one message for one topic.
type Event struct {
	Topic    *Topic
	ID       []byte // the upstream's own, or nil
	Payload  []byte
	Slot     int
	Life     int
	Seq      uint64    // dense for each topic since it was wanted, from 1
	Received time.Time // when the bytes were read from the socket
}

// Publisher takes the events of one feed.
type Publisher interface {
	// Batch makes what one reader hands its events to. Any goroutine may call it.
	Batch() Batch
}

// Batch gathers the events of one reader. It belongs to that reader, and never waits for the network.
type Batch interface {
	// Add copies what it needs of e before it returns and keeps nothing of it but Topic. An event that finds no room is
	// dropped and counted.
	Add(e *Event)

	// Flush hands on what was added. The reader calls it before it waits for anything, and holds no lock: it may pause
	// for a millisecond. A Batch whose last call was Flush may be forgotten.
	Flush()
}
