package diagnosis

import (
	"fmt"
	"strings"
)

// Advice is what to do about a trouble, and the section of docs/troubleshooting.md that says more. The zero value is none.
type Advice struct {
	Do      string
	Section string
}

func (a Advice) String() string {
	return fmt.Sprintf("%s (docs/troubleshooting.md: %s)", a.Do, a.Section)
}

// The sections of docs/troubleshooting.md, by their headings.
const (
	aboutSecrets  = "The credential is refused"
	aboutPings    = "Ping timeouts"
	aboutIdle     = "Drops every few seconds behind a load balancer"
	aboutResets   = "1006, reset, Broken pipe"
	aboutTLS      = "TLS errors"
	aboutReaching = "The upstream cannot be reached"
	aboutHTTP     = "403 or 429 in a loop"
	aboutTwice    = "Something else uses the same account"
	aboutQuiet    = "Connected but no events"
	aboutSilence  = "Silent drops"
	aboutMany     = "Too many topics"
	aboutRefused  = "Topics are refused"
	aboutNATS     = "NATS is away"
	aboutDrops    = "Events are dropped"
	aboutStuck    = "A loop does not answer"
)

// Sections lists the headings that advice refers to, so that a test can look for them in docs/troubleshooting.md.
func Sections() []string {
	return []string{
		aboutSecrets, aboutPings, aboutIdle, aboutResets, aboutTLS, aboutReaching, aboutHTTP, aboutTwice, aboutQuiet, aboutSilence,
		aboutMany, aboutRefused, aboutNATS, aboutDrops, aboutStuck,
	}
}

// What is said in more than one place.
var (
	renewSecret = Advice{"put a new secret where feed.auth says (see \"feedmux check --explain\"): feedmux notices it by itself", aboutSecrets}
)

// reach is what to do where NATS is not connected, by what the server or the client says of that. It comes as text, and
// the words are those that NATS' own documents use; with other words it is the more general advice.
func (d *Delivery) reach() Advice {
	said := strings.ToLower(d.Trouble)
	if strings.Contains(said, "authorization") || strings.Contains(said, "authentication") {
		return Advice{"check the login under [nats]: NATS refuses it. Its files are read again at each try", aboutNATS}
	}
	return Advice{"check that NATS runs, and nats.url; feedmux connects by itself", aboutNATS}
}

// wait is what to do about topics that are put off.
func (f *Feed) wait() Advice {
	if f.Protocol == "twitch-pubsub" {
		return Advice{"feedmux asks again; if the answer means \"too many\", name it in options.full_errors", aboutMany}
	}
	return Advice{"feedmux asks again; if it goes on, compare the reason with the upstream's documents", aboutRefused}
}

// about is what to do about connections that end for a cause; none where that needs nobody, or is not known.
func about(cause string) Advice {
	switch cause {
	case "auth", "token_expired":
		return renewSecret
	case "ping_timeout", "silent":
		return Advice{"feedmux redials by itself; if it goes on, look at the network on the way", aboutPings}
	case "idle_close":
		return Advice{"something on the way closes quiet connections: lower ping.interval, then renew", aboutIdle}
	case "reset", "closed_by_server", "protocol_error", "too_big":
		return Advice{"feedmux redials by itself; if it goes on, the error says who closes and why", aboutResets}
	case "tls":
		return Advice{"check the clock, tls.ca_file and what intercepts TLS on the way", aboutTLS}
	case "dns", "refused", "timeout", "http_5xx":
		return Advice{"feedmux goes on trying; check that this machine reaches the upstream", aboutReaching}
	case "http_4xx", "rate_limited":
		return Advice{"the upstream turns dials away: check url and credential, and who else dials from this address", aboutHTTP}
	case "duplicate_connection":
		return Advice{"find the other program that uses the same key or address, and stop it", aboutTwice}
	}
	return Advice{}
}

// advice is what to do about a slot that has no live connection; none where that needs nobody.
func (s *Slot) advice() Advice {
	switch {
	case s.State == "live" || s.State == "closed":
		return Advice{}
	case s.State == "parked":
		return renewSecret
	case s.LastCause == "auth": // not parked, so there is no credential that could change
		return about("http_4xx")
	}
	return about(s.LastCause)
}
