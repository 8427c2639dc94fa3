package protocol

import (
	"context"
	"net/http"
	"time"

	"feedmux/shard"
)

// Kind is the kind of a WebSocket message.
type Kind uint8

const (
	Text Kind = iota + 1
	Binary
	Ping // a ping of WebSocket's own: only to be written
)

// Protocol is a wire dialect as one feed uses it. Its methods may be called by any goroutine.
type Protocol interface {
	// Limits are the upstream's own rules.
	Limits() Limits

	// Check says why a topic cannot be asked for as it is, before it reaches a connection.
	Check(Topic) error

	// Endpoint is called before every dial, so that the credential in it is fresh. It may read files; it does not
	// open connections to the upstream.
	Endpoint(context.Context) (Endpoint, error)

	// Open starts the session of a new life. The connection that it speaks over was dialled with e.
	Open(e Endpoint) Session
}

// Topic is a topic as it is asked for.
type Topic struct {
	Name shard.Topic

	// Options are the protocol's own for this topic, or nil. They can be compared with ==, and do not change: other
	// options are another value.
	Options any
}

// Limits are what an upstream allows and expects. A feed's configuration may ask for less, never for more.
type Limits struct {
	Connections         int           // most connections to one account
	TopicsPerConnection int           // most topics on one connection
	SubscribeBatch      int           // most topics in one ask
	Ping                time.Duration // usual interval between pings
	Silence             time.Duration // a connection on which nothing comes for so long is dead; 0: nobody knows
	FirstAsk            time.Duration // the upstream ends a connection that asked for nothing for so long; 0: never
	LiveWithin          time.Duration // the first application frame comes within so long; 0: nobody knows
	MoveWithin          time.Duration // the upstream ends a connection so long after it asked to move; 0: nobody knows
	Overlap             Overlap
	Answers             Answers
	Crowded             int  // the HTTP status that says that there are too many connections; 0: none does
	Snapshots           bool // a new connection begins with what was last on each topic; all bring a topic's events in one order
	RetryAtOnce         bool // the first dial after a settled connection needs no delay
}

// Answers says what an upstream says to an ask.
type Answers uint8

const (
	Answered Answers = iota // yes or no
	Assumed                 // nothing, unless something is wrong: what was written and not refused at once was accepted
	Unasked                 // nothing is asked: topics choose from what comes by itself, once the connection is live
)

// Overlap says whether a slot may have two connections for a moment, while one is handed over to the next.
type Overlap uint8

const (
	Counted Overlap = iota // both count against the cap: the usual
	Free                   // the upstream does not count the second one
	Never                  // the second one would kill the first
)

// Endpoint is where to dial and with what.
type Endpoint struct {
	URL    string      // may hold secrets in its query: never logged
	Header http.Header // sent with the handshake; may be nil
	Token  string      // for sessions that send it in frames; may be empty

	// Redact cuts secrets out of the upstream's words. A session has it when it is opened, and passes through it, whole,
	// whatever of them it gives as a reason. nil: nobody knows of secrets.
	Redact func(words string) string
}

// Session is the protocol's side of one life. It does no I/O, has no clock, starts no goroutine and takes no lock: the
// caller makes sure that one call at a time is made.
type Session interface {
	// Message is told each complete message and says what follows from it. A Text message is valid UTF-8: the
	// connection saw to that. out may alias msg and memory of the session, both of which the next call overwrites.
	// An error ends the life; what is merely odd is counted in out.Skipped instead.
	Message(kind Kind, msg []byte, out *Out) error

	// Change ends the topics in drop, and then asks for those in add, at most Limits.SubscribeBatch of them. A topic
	// that cannot be asked for is settled at once. One in add that was asked for already has other options now: it goes
	// on as they say, and only what must be asked for anew is named in a frame's Asks.
	Change(add []Topic, drop []shard.Topic, out *Out)

	// Ping says how to ask for a sign of life.
	Ping(out *Out)

	// Renew tells that the credential changed. What is asked for from now on is asked for with e's, where this upstream
	// takes credentials in messages.
	Renew(e Endpoint)
}

// Verdict is what became of an ask.
type Verdict uint8

const (
	Confirmed Verdict = iota // the upstream will send this topic's events
	Refused                  // the upstream will not, until something changes
	Split                    // a batch was refused as a whole: ask again, one topic at a time
	Again                    // the upstream failed: ask again later
	Full                     // the connection has no room for it: it must go elsewhere
)

// Settlement is the verdict on one or more topics. It is the receiver's to keep. A topic that was confirmed may be
// refused later.
type Settlement struct {
	Topics  []shard.Topic
	Verdict Verdict
	Reason  string // the upstream's own word, for people; never a secret
}
