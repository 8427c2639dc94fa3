package slots

// State is the state of a slot.
type State int

const (
	Closed  State = iota // no topic has its place here
	Waiting              // for its backoff to pass
	Dialing              // for its turn in the dial budget, then TCP, TLS and the handshake
	Opening              // connected, and the first application frame is awaited
	Live                 // the first application frame came
	Leaving              // Close was sent; what still comes is read
	Parked               // the upstream refused the credential: for it to change
)

var stateNames = [...]string{"closed", "waiting", "dialing", "opening", "live", "leaving", "parked"}

func (s State) String() string { return stateNames[s] }

// MarshalText makes a State a word in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// States lists every state, in order: the values of the metric label.
func States() []State { return []State{Closed, Waiting, Dialing, Opening, Live, Leaving, Parked} }
