package protocol

import (
	"net/http"
	"time"

	"feedmux/shard"
)

// What only some protocols can do. Whoever holds a Protocol asks it with a type assertion.

// CloseJudge knows what the upstream's own close codes mean.
type CloseJudge interface {
	// JudgeClose says what a Close frame means; Unknown where the code alone says enough, or nothing.
	JudgeClose(code int, reason string) Closing
}

// Closing is why an upstream closed a connection.
type Closing uint8

const (
	Unknown    Closing = iota
	Unanswered         // we did not answer its pings in time
	Denied             // it does not accept the credential, or not any more: another one is needed
	Duplicate          // somebody else uses the same credential, and there may be only one
)

// DeniedError means that another credential is needed. Session.Message returns it where the upstream spoke, and what it said
// means that ours is not the right one; Protocol.Endpoint returns it where there is none to dial with. Reason holds no
// secret.
type DeniedError struct{ Reason string }

func (e *DeniedError) Error() string { return e.Reason }

// Narrator tells of things that no topic is about, such as what happens to the whole account.
type Narrator interface {
	// Asides are what events may name as their Topic though nobody wants it. Their subjects are those of the feed's template
	// with the Aside and the event's Values in the place of the topic. Connections of the feed may bring the same one each:
	// the protocol lets it through once.
	Asides() []shard.Topic
}

// Resumer can ask for what came after a position. It does no I/O: it says what to send, and reads what comes back. Its
// methods may be called by any goroutine.
//
// Positions are opaque to everybody else, and those of one upstream and credential are in one order: all connections of the
// feed carry the same stream.
type Resumer interface {
	Protocol

	// Request asks for what came after a position, the oldest first: for so many events at most, which is 1 or more. Where
	// there is nothing the upstream may wait as long as wait for something, or answer at once if that is zero. after is one
	// that IsPosition takes.
	Request(e Endpoint, after []byte, most int, wait time.Duration) (*http.Request, error)

	// NeedsLife says that an answer does not show whose it is, as a connection does: no Request is made with a credential
	// before a connection was live with it.
	NeedsLife() bool

	// Page reads an answer with the status 200. p's memory may be reused; what it holds aliases body and is the receiver's.
	Page(body []byte, p *Page) error

	// Denied says whether an answer with another status means that the credential is not accepted.
	Denied(status int, body []byte) bool

	// IsPosition says whether p, which may come from anywhere, is a position. The others take nothing else.
	IsPosition(p []byte) bool

	// Compare is negative, zero or positive as a comes before, is, or comes after b.
	Compare(a, b []byte) int

	// Before is a position after which p comes at once: what a Request needs to get the event that has p.
	Before(p []byte) []byte
}

// Page is a part of a stream.
type Page struct {
	Events  []Event // those that have a Position, in their order
	Next    []byte  // the position to go on from; nil: that of the last event, or without one the same as before
	More    bool    // there is more to be had at once
	Skipped int     // events that could not be read, and are left out
	Missed  int     // of those, the ones that have a position: they are missing in the stream
}
