package conn

// Cause says why a connection ended or a topic went dark: one list for metrics, logs and notices. docs/metrics.md says
// what each means.
type Cause string

const (
	CauseAuth           Cause = "auth"
	CausePingTimeout    Cause = "ping_timeout"
	CauseSilent         Cause = "silent"
	CauseReset          Cause = "reset"
	CauseTLS            Cause = "tls"
	CauseDNS            Cause = "dns"
	CauseRefused        Cause = "refused"
	CauseTimeout        Cause = "timeout"
	CauseHTTP4xx        Cause = "http_4xx"
	CauseHTTP5xx        Cause = "http_5xx"
	CauseRateLimited    Cause = "rate_limited"
	CauseServerAsked    Cause = "server_asked"
	CauseClosedByServer Cause = "closed_by_server"
	CauseProtocolError  Cause = "protocol_error"
	CauseTooBig         Cause = "too_big"
	CauseMoved          Cause = "moved"
	CauseDrain          Cause = "drain"
)

// Causes lists every Cause: the values of the metric label.
func Causes() []Cause {
	return []Cause{
		CauseAuth, CausePingTimeout, CauseSilent, CauseReset, CauseTLS, CauseDNS, CauseRefused, CauseTimeout,
		CauseHTTP4xx, CauseHTTP5xx, CauseRateLimited, CauseServerAsked, CauseClosedByServer, CauseProtocolError,
		CauseTooBig, CauseMoved, CauseDrain,
	}
}
