package protocol

import (
	"time"

	"feedmux/shard"
)

// Out is what a session says. The caller owns it and resets it between calls.
type Out struct {
	Events   []Event
	Frames   []Frame
	Settled  []Settlement
	Words    []Words
	Oddities []Oddity
	Live     bool   // the first application frame came; true once in a life
	Pong     bool   // the upstream answered a Ping
	Move     bool   // the upstream asks for a new connection and will end this one
	Full     bool   // the upstream did not take all topics that it was asked for, and does not say which
	Skipped  []Skip // what of the message was skipped, or that all of it was; see Skip
}

// Reset empties o and keeps its memory. It sets each field by itself: one value for all of them would be made elsewhere and
// copied, for every message.
func (o *Out) Reset() {
	o.Events, o.Frames, o.Settled = o.Events[:0], o.Frames[:0], o.Settled[:0]
	o.Words, o.Oddities = o.Words[:0], o.Oddities[:0]
	o.Skipped = o.Skipped[:0]
	o.Live, o.Pong, o.Move, o.Full = false, false, false, false
}

// Skip counts a message, or a part of one that could have held an event, that is skipped. reason is a short word for a
// metric's label, one of a few.
func (o *Out) Skip(reason string) {
	for i := range o.Skipped {
		if o.Skipped[i].Reason == reason {
			o.Skipped[i].N++
			return
		}
	}
	o.Skipped = append(o.Skipped, Skip{reason, 1})
}

// Skip is how much of a message was skipped for one reason.
type Skip struct {
	Reason string
	N      int
}

// Event is one message for one topic. Its fields alias the message, or memory of the session: valid until the
// session's next call.
type Event struct {
	// Topic is the topic that the event is for, or an Aside. Where topics are filters it is the narrowest name that one
	// might have; if nobody wants that, the first name in Wider counts that somebody wants, or else nothing does.
	Topic []byte
	Wider [][]byte

	// Values stand for the variables of a subject that the upstream fills in, in the order in which the protocol names them.
	// nil: the event goes to its topic's own subject.
	Values [][]byte

	ID       []byte // the upstream's own, or nil
	Payload  []byte
	Position []byte    // where the upstream's stream is after this event; nil: the upstream does not keep it
	Sent     time.Time // when the upstream says that it happened; zero: it does not. Only events with a Position have it
}

// Frame is one message to write. It is the receiver's to keep.
type Frame struct {
	Kind    Kind
	Payload []byte
	Asks    []shard.Topic // topics whose answer is awaited from the moment when the frame is written
}

// Words are something that the upstream says to people. They are the receiver's to keep, hold no secret, and are short.
type Words struct {
	Kind string // the upstream's own word for what they are, such as "error"
	Text string
}

// Oddity says that an event contradicts itself or what came before. The event is published all the same, unless the feed
// wants otherwise. Topic aliases the message.
type Oddity struct {
	Kind  string // a short word for a metric's label
	Topic []byte
}
