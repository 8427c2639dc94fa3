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

// Taker takes the events of a feed whose upstream keeps them: what it does not take now can be brought again. It belongs to
// one goroutine at a time, but for Progress.
type Taker interface {
	// Take copies what it needs of e before it returns and keeps nothing of it but Topic. The events that are taken are
	// numbered from one on. False: there is no room now, or events were lost; then nothing is taken, dropped or counted.
	// It never waits.
	Take(e *Event) bool

	// Progress says how many events, from the first on, are done with: NATS is known to have them, or they can never be
	// sent. lost says that some after these may not have got through: nothing more is taken until Restart. Any
	// goroutine may ask.
	Progress() (done uint64, lost bool)

	// Restart forgets what was taken beyond what is done with, and returns that number: the next event to be taken is the
	// one after it. Forgotten events that still wait are not sent.
	Restart() (done uint64)
}
