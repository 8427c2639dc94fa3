package console

// advice is what to do about a trouble, and where docs/troubleshooting.md says more.
type advice struct {
	do      string
	section string
}

// The sections of docs/troubleshooting.md, by their headings.
const (
	aboutSecrets  = "The credential is refused"
	aboutPings    = "Ping timeouts"
	aboutIdle     = "Drops every few seconds behind a load balancer"
	aboutResets   = "1006, reset, broken pipe"
	aboutTLS      = "TLS errors"
	aboutReaching = "The upstream cannot be reached"
	aboutHTTP     = "403 or 429 in a loop"
	aboutTwice    = "Something else uses the same account"
	aboutQuiet    = "Connected, but no events"
	aboutSilence  = "Silent drops"
	aboutMany     = "Too many topics"
	aboutRefused  = "Topics are refused"
	aboutNATS     = "NATS is away"
	aboutDrops    = "Events are dropped"
	aboutStuck    = "A loop does not answer"
)

// Sections lists the headings that pages refer to, so that a test can look for them in docs/troubleshooting.md.
func Sections() []string {
	return []string{
		aboutSecrets, aboutPings, aboutIdle, aboutResets, aboutTLS, aboutReaching, aboutHTTP, aboutTwice, aboutQuiet, aboutSilence,
		aboutMany, aboutRefused, aboutNATS, aboutDrops, aboutStuck,
	}
}

// about says what to do about connections that end for a cause; it knows nothing of causes that need nobody.
func about(cause string) (a advice, known bool) {
	switch cause {
	case "auth", "token_expired":
		return advice{"put a new secret in place: feedmux notices it by itself", aboutSecrets}, true
	case "ping_timeout", "silent":
		return advice{"feedmux redials by itself; if it goes on, look at the network on the way", aboutPings}, true
	case "idle_close":
		return advice{"something on the way closes quiet connections: lower ping.interval, then renew", aboutIdle}, true
	case "reset", "closed_by_server", "protocol_error", "too_big":
		return advice{"feedmux redials by itself; if it goes on, the error above says who closes and why", aboutResets}, true
	case "tls":
		return advice{"check the clock, tls.ca_file and what intercepts TLS on the way", aboutTLS}, true
	case "dns", "refused", "timeout", "http_5xx":
		return advice{"feedmux goes on trying; check that this machine reaches the upstream", aboutReaching}, true
	case "http_4xx", "rate_limited":
		return advice{"the upstream turns dials away: check url and credential, and who else dials from this address", aboutHTTP}, true
	case "duplicate_connection":
		return advice{"find the other program that uses the same key or address, and stop it", aboutTwice}, true
	}
	return advice{}, false
}
