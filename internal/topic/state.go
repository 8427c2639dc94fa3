package topic

import "time"

// State is what is known of a wanted topic.
type State int

const (
	Unplaced  State = iota // no slot has room
	Assigned               // a slot has it and has not asked yet
	Asked                  // written to the upstream, without an answer
	Confirmed              // the upstream sends its events
	Refused                // the upstream said no
)

var stateNames = [...]string{"unplaced", "assigned", "asked", "confirmed", "refused"}

func (s State) String() string { return stateNames[s] }

// MarshalText makes a State a word in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// States lists every State, in order: the values of the metric label.
func States() []State { return []State{Unplaced, Assigned, Asked, Confirmed, Refused} }

// By says what confirmed a topic.
type By string

const (
	ByAck     By = "ack"
	ByEvent   By = "event"
	ByAssumed By = "assumed" // the upstream answers no ask: it was written, and nothing was wrong for a while
)

// News says what became of topics. It names them by identity: what is said of a topic that was removed must not be taken
// for news of the one that replaced it.
type News struct {
	Topics []*Topic
	State  State
	By     By
	Reason string
	At     time.Time

	// Filled says what became of the events that came while nobody listened: only with Confirmed.
	Filled Filled
}

// Filled says how much of what an upstream kept, while nobody listened to it, was had afterwards. The zero value: it keeps
// nothing.
type Filled struct {
	All bool
	To  time.Time // not All: up to when; zero: nothing
}
