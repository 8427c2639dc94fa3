package conn

// Cause says why a connection ended or a topic went dark: one list for metrics, logs and notices.
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
