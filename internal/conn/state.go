package conn

// State is the state of a slot.
type State int

const (
	Closed  State = iota // no topic has its place here
	Waiting              // for its backoff to pass
	Dialing              // for its turn in the dial budget, then TCP, TLS and the handshake
	Opening              // connected, and the first application frame is awaited
	Live                 // the first application frame came
	Leaving              // Close was sent; what still comes is read
)

var stateNames = [...]string{"closed", "waiting", "dialing", "opening", "live", "leaving"}

func (s State) String() string { return stateNames[s] }

// MarshalText makes a State a word in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// States lists every state, in order: the values of the metric label.
func States() []State { return []State{Closed, Waiting, Dialing, Opening, Live, Leaving} }

// TopicState is what is known of a wanted topic.
type TopicState int

const (
	Unplaced  TopicState = iota // no slot has room
	Assigned                    // a slot has it and has not asked yet
	Asked                       // written to the upstream, without an answer
	Confirmed                   // the upstream sends its events
	Refused                     // the upstream said no
)

var topicStateNames = [...]string{"unplaced", "assigned", "asked", "confirmed", "refused"}

func (s TopicState) String() string { return topicStateNames[s] }

// MarshalText makes a TopicState a word in JSON.
func (s TopicState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// TopicStates lists every topic state, in order: the values of the metric label.
func TopicStates() []TopicState { return []TopicState{Unplaced, Assigned, Asked, Confirmed, Refused} }

// By says what confirmed a topic.
type By string

const (
	ByAck   By = "ack"
	ByEvent By = "event"
)
