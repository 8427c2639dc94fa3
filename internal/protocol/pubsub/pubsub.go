package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// DefaultURL is where Twitch answers.
const DefaultURL = "wss://pubsub-edge.twitch.tv"

// The upstream's rules, as https://dev.twitch.tv/docs/pubsub gave them while the service was official.
const (
	Connections         = 10               // "no more than 10 simultaneous" from one address
	TopicsPerConnection = 50               // a LISTEN for more gets an error
	FirstAsk            = 15 * time.Second // a connection that has not sent LISTEN by then is closed
	MoveWithin          = 30 * time.Second // a connection is closed that long after it was sent RECONNECT
)

// Figures of our own, within those rules.
const (
	// SubscribeBatch is how many topics share a LISTEN. Since November 2025 a LISTEN with many topics has been seen
	// to end the connection at once; 20 are known to pass.
	SubscribeBatch = 20

	// PingInterval is well below the 5 minutes that the upstream asks for: it finds a dead connection, and keeps
	// middleboxes from forgetting an idle one.
	PingInterval = 45 * time.Second
)

// maxTopic is the longest topic that is let through, in bytes. The longest known kind has about 70; a batch of the
// longest stays below 6 kB.
const maxTopic = 256

// tokenTopics are the topics that the upstream gives only to the user whom they are about, by their first part.
var tokenTopics = [...]string{
	"automod-queue",
	"channel-bits-badge-unlocks",
	"channel-bits-events-v1",
	"channel-bits-events-v2",
	"channel-points-channel-v1",
	"channel-subscribe-events-v1",
	"chat_moderator_actions",
	"community-points-user-v1",
	"low-trust-users",
	"onsite-notifications",
	"predictions-user-v1",
	"presence",
	"user-drop-events",
	"user-moderation-notifications",
	"whispers",
}

// Options say how one feed uses the protocol.
type Options struct {
	URL string // default: DefaultURL

	// Token fetches the user's access token. It is called before each dial, so that a changed token is noticed.
	// An error or an empty token is not fatal: public topics need none. May be nil.
	Token func(context.Context) (string, error)

	// AuthTopics need the token, beside those that are known to: "name" stands for itself and for all "name.…".
	AuthTopics []string

	// FullErrors are the upstream's words for a connection that takes no more topics. Its documents name none.
	FullErrors []string

	// Frame publishes the whole MESSAGE as it came, instead of the event in it.
	Frame bool
}

// Protocol is Twitch PubSub as one feed uses it.
type Protocol struct {
	url        string
	token      func(context.Context) (string, error)
	authTopics []string
	full       []string
	frame      bool
}

// New returns the protocol. It keeps o.FullErrors.
func New(o Options) *Protocol {
	p := &Protocol{
		url:        o.URL,
		token:      o.Token,
		authTopics: slices.Concat(tokenTopics[:], o.AuthTopics),
		full:       o.FullErrors,
		frame:      o.Frame,
	}
	if p.url == "" {
		p.url = DefaultURL
	}
	return p
}

// Limits are the upstream's own rules.
func (p *Protocol) Limits() protocol.Limits {
	return protocol.Limits{
		Connections:         Connections,
		TopicsPerConnection: TopicsPerConnection,
		SubscribeBatch:      SubscribeBatch,
		Ping:                PingInterval,
		FirstAsk:            FirstAsk,
		MoveWithin:          MoveWithin,
	}
}

// pingPongFailed is the edge's close code for a client that did not answer its WebSocket pings.
const pingPongFailed = 4100

// JudgeClose knows the edge's own code.
func (p *Protocol) JudgeClose(code int, _ string) protocol.Closing {
	if code == pingPongFailed {
		return protocol.Unanswered
	}
	return protocol.Unknown
}

// Check refuses only what can be no topic at all: which names exist is the upstream's to say.
func (p *Protocol) Check(t protocol.Topic) error { return check(string(t.Name)) }

func check(t string) error {
	if t == "" {
		return errors.New("a topic cannot be empty")
	}
	if len(t) > maxTopic {
		return fmt.Errorf("a topic has at most %d bytes, not %d", maxTopic, len(t))
	}
	for i := range len(t) {
		if c := t[i]; c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '\\' {
			return fmt.Errorf("a topic is printable ASCII without spaces, quotes and backslashes, but byte %d is %q", i+1, c)
		}
	}
	return nil
}

// Endpoint fetches the token anew.
func (p *Protocol) Endpoint(ctx context.Context) (protocol.Endpoint, error) {
	e := protocol.Endpoint{URL: p.url}
	if p.token != nil {
		if token, err := p.token(ctx); err == nil {
			e.Token = bare(token)
		}
	}
	return e, ctx.Err()
}

// bare is the token as PubSub wants it. Tokens for Twitch's chat are handed out with a prefix.
func bare(token string) string {
	return strings.TrimPrefix(strings.TrimSpace(token), "oauth:")
}

// Open starts a session.
func (p *Protocol) Open(e protocol.Endpoint) protocol.Session {
	return &session{
		needsToken: p.needsToken, token: e.Token, redact: e.Redact, full: p.full, frame: p.frame, asks: make(map[string]ask),
	}
}

func (p *Protocol) needsToken(t shard.Topic) bool {
	return slices.ContainsFunc(p.authTopics, func(name string) bool {
		rest, ok := strings.CutPrefix(string(t), name)
		return ok && (rest == "" || rest[0] == '.')
	})
}
