// Package cause says why a connection ended or a topic went dark: one list for metrics, logs and notices, and the one
// function that reads connection errors.
package cause

// Cause is one of the list below. docs/metrics.md says what each means.
type Cause string

const (
	Auth           Cause = "auth"
	TokenExpired   Cause = "token_expired"
	Duplicate      Cause = "duplicate_connection"
	PingTimeout    Cause = "ping_timeout"
	Silent         Cause = "silent"
	IdleClose      Cause = "idle_close"
	Reset          Cause = "reset"
	TLS            Cause = "tls"
	DNS            Cause = "dns"
	Refused        Cause = "refused"
	Timeout        Cause = "timeout"
	HTTP4xx        Cause = "http_4xx"
	HTTP5xx        Cause = "http_5xx"
	RateLimited    Cause = "rate_limited"
	ServerAsked    Cause = "server_asked"
	ClosedByServer Cause = "closed_by_server"
	ProtocolError  Cause = "protocol_error"
	TooBig         Cause = "too_big"
	Moved          Cause = "moved"
	Renewed        Cause = "renewed"
	Restart        Cause = "restart"
	NATSOverflow   Cause = "nats_overflow"
	NATSBroke      Cause = "nats_broke"
	Rebuilt        Cause = "rebuilt"
	Drain          Cause = "drain"

	// Starved ends nothing: a connection is open, but quiet against its own past while the others speak.
	Starved Cause = "starved"
)

// All lists every Cause: the values of the metric label.
func All() []Cause {
	return []Cause{
		Auth, TokenExpired, Duplicate, PingTimeout, Silent, IdleClose, Reset, TLS, DNS, Refused, Timeout, HTTP4xx, HTTP5xx, RateLimited,
		ServerAsked, ClosedByServer, ProtocolError, TooBig, Moved, Renewed, Restart, NATSOverflow, NATSBroke,
		Rebuilt, Drain, Starved,
	}
}

// Error is an error whose cause is known where it is made.
type Error struct {
	Cause Cause
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
