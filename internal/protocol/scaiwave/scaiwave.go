package scaiwave

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"feedmux/internal/protocol"
)

// The upstream's rules.
const (
	// Connections is how many sockets one token may have: a second one ends the first.
	Connections = 1

	// LiveWithin is how soon hello comes to a token that is accepted.
	LiveWithin = 2 * time.Second

	streamPath = "/v1/stream"
	syncPath   = "/v1/sync"
)

// Figures of our own.
const (
	// TopicsPerConnection bounds what is no rule of the upstream's: filters cost it nothing.
	TopicsPerConnection = 10_000
	SubscribeBatch      = TopicsPerConnection // nothing is written, so there is nothing to cut

	// PingInterval finds a connection that was dropped without a word, which is known to happen, sooner than the silence.
	PingInterval = 25 * time.Second

	// Silence is two pings of the server, which come each 30 s, and some time to spare.
	Silence = 75 * time.Second

	// DefaultSubject is a feed's, unless it says otherwise.
	DefaultSubject = "feed.{feed}.{room}.{type}"
)

// Options say how one feed uses the protocol.
type Options struct {
	URL string // of the stream; CheckURL takes it

	// Token fetches the user's access token. It is called before each dial and each request, so that a changed token is
	// noticed. Its errors hold no secret.
	Token func(context.Context) (string, error)

	// Tenant is the one that the token must be for; "": any.
	Tenant string
}

// Protocol is ScaiWave as one feed uses it.
type Protocol struct{ opts Options }

var (
	_ protocol.Resumer    = (*Protocol)(nil)
	_ protocol.CloseJudge = (*Protocol)(nil)
)

// New returns the protocol.
func New(o Options) *Protocol { return &Protocol{o} }

// Limits are the upstream's own rules.
func (p *Protocol) Limits() protocol.Limits {
	return protocol.Limits{
		Connections:         Connections,
		TopicsPerConnection: TopicsPerConnection,
		SubscribeBatch:      SubscribeBatch,
		Ping:                PingInterval,
		Silence:             Silence,
		LiveWithin:          LiveWithin,
		Overlap:             protocol.Never,
		Answers:             protocol.Unasked,
		RetryAtOnce:         true,
	}
}

// CheckURL says why raw cannot be the address of a stream. Its errors hold nothing of raw.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("is not a URL")
	case u.Scheme != "wss" && u.Scheme != "ws":
		return errors.New("must begin with wss:// (or ws://)")
	case u.Hostname() == "":
		return errors.New("has no host")
	case u.Path != streamPath || u.RawPath != "":
		return fmt.Errorf("must end with %s: that is the stream, and %s of the same host is asked for what was missed",
			streamPath, syncPath)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("must have nothing but the host and the path: the token is kept apart, in auth")
	}
	return nil
}

// Endpoint fetches the token anew.
func (p *Protocol) Endpoint(ctx context.Context) (protocol.Endpoint, error) {
	if err := CheckURL(p.opts.URL); err != nil {
		return protocol.Endpoint{}, fmt.Errorf("the stream's URL %w", err)
	}
	token, err := p.token(ctx)
	switch {
	case ctx.Err() != nil:
		return protocol.Endpoint{}, ctx.Err()
	case err != nil: // there is no point in dialling before there is another one
		return protocol.Endpoint{}, &protocol.DeniedError{Reason: err.Error()}
	}
	return protocol.Endpoint{URL: p.opts.URL + "?token=" + url.QueryEscape(token), Token: token}, nil
}

func (p *Protocol) token(ctx context.Context) (string, error) {
	if p.opts.Token == nil {
		return "", errors.New("there is no token, and nothing is to be had without one")
	}
	token, err := p.opts.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("fetching the token: %w", err)
	}
	token = strings.TrimSpace(token)
	if token == "" {
		return "", errors.New("the token is empty")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("what was read is no token: that is one word of printable ASCII")
	}
	return token, nil
}

// Open starts a session.
func (p *Protocol) Open(e protocol.Endpoint) protocol.Session {
	return &session{tenant: p.opts.Tenant, redact: e.Redact}
}

// JudgeClose knows the upstream's two codes. That the second one's reasons stand in the frame itself is likely, not
// certain: they are documented as words of the server's log.
func (p *Protocol) JudgeClose(code int, reason string) protocol.Closing {
	switch {
	case code == 4001:
		return protocol.Denied
	case code == 4003 && strings.Contains(reason, "ping_timeout"):
		return protocol.Unanswered
	case code == 4003 && strings.Contains(reason, "duplicate_connection"):
		return protocol.Duplicate
	}
	return protocol.Unknown
}
