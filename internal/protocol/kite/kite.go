package kite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// DefaultURL is where Kite answers.
const DefaultURL = "wss://ws.kite.trade"

// The upstream's rules, as https://kite.trade/docs/connect/v3/websocket/ gives them.
const (
	Connections         = 3    // to one API key; a fourth is refused with 429
	TopicsPerConnection = 3000 // instruments

	// SubscribeBatch is what one message may ask for: nobody wrote a lower limit than that of the connection down, and the
	// official clients send all in one.
	SubscribeBatch = TopicsPerConnection
)

// Figures of our own, within those rules.
const (
	// DefaultBatch is how many instruments share a message unless the configuration says otherwise. It is also what a
	// connection's capacity is lowered by when the upstream says that it is full without saying of what.
	DefaultBatch = 500

	// DefaultEvery is the time for one message to a connection. Kite's documents limit nothing, but 3,000 instruments in a
	// mode of their own are 12 messages, which take 2.4 s at this pace: slow enough to be no burst on all three connections
	// at once, and far quicker than the dials before them.
	DefaultEvery = 200 * time.Millisecond

	// PingInterval finds a connection that hears us and does not speak. Silence does so earlier; this keeps middleboxes
	// from forgetting that we speak, too.
	PingInterval = 25 * time.Second

	// Silence ends a life. The upstream sends a heartbeat each second or two when it has nothing else to say.
	Silence = 10 * time.Second
)

// Order is the topic of order updates, which come without being asked for.
const Order shard.Topic = "order"

// Options say how one feed uses the protocol.
type Options struct {
	URL    string // default: DefaultURL; a query in it is kept
	APIKey string

	// Token fetches the access token. It is called before each dial, since tokens die each day. An error or an empty token
	// keeps the feed from dialling.
	Token func(context.Context) (string, error)

	DropInvalid bool // ticks that contradict themselves are not published
	Frame       bool // events are the upstream's own packets, without their length, in the place of JSON
}

// Protocol is Kite's ticker as one feed uses it.
type Protocol struct {
	o      Options
	orders *orders // all sessions', which each hear of the same ones
}

// New returns the protocol.
func New(o Options) *Protocol {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	return &Protocol{o: o, orders: newOrders()}
}

// Limits are the upstream's own rules.
func (p *Protocol) Limits() protocol.Limits {
	return protocol.Limits{
		Connections:         Connections,
		TopicsPerConnection: TopicsPerConnection,
		SubscribeBatch:      SubscribeBatch,
		Ping:                PingInterval,
		Silence:             Silence,
		Overlap:             protocol.Counted,
		Answers:             protocol.Assumed,
		Snapshots:           true,
		Crowded:             http.StatusTooManyRequests,
	}
}

// Check says what is wrong with a topic's instrument.
func (p *Protocol) Check(t protocol.Topic) error {
	_, err := instrumentOf(t)
	return err
}

// Asides are the order updates. Their one value is the order's status.
func (p *Protocol) Asides() []shard.Topic { return []shard.Topic{Order} }

// Endpoint fetches the access token anew.
func (p *Protocol) Endpoint(ctx context.Context) (protocol.Endpoint, error) {
	token, err := p.accessToken(ctx)
	switch {
	case ctx.Err() != nil:
		return protocol.Endpoint{}, ctx.Err()
	case err != nil: // there is no point in dialling before there is another one
		return protocol.Endpoint{}, &protocol.DeniedError{Reason: fmt.Sprintf("feed has no access token: %v", err)}
	}
	u, err := url.Parse(p.o.URL)
	if err != nil {
		return protocol.Endpoint{}, errors.New("the feed's url cannot be read") // the cause quotes it, secrets and all
	}
	query := u.Query()
	query.Set("api_key", p.o.APIKey)
	query.Set("access_token", token)
	u.RawQuery = query.Encode()
	return protocol.Endpoint{
		URL:    u.String(),
		Header: http.Header{"X-Kite-Version": {"3"}},
		Token:  token,
	}, nil
}

func (p *Protocol) accessToken(ctx context.Context) (token string, err error) {
	if p.o.Token == nil {
		return "", errors.New("none is configured")
	}
	token, err = p.o.Token(ctx)
	if token = strings.TrimSpace(token); err == nil && token == "" {
		err = errors.New("it is empty")
	}
	return token, err
}

// Open starts a session.
func (p *Protocol) Open(e protocol.Endpoint) protocol.Session {
	return &session{
		dropInvalid: p.o.DropInvalid,
		frame:       p.o.Frame,
		orders:      p.orders,
		token:       e.Token,
		redact:      e.Redact,
		byName:      make(map[shard.Topic]*held),
		byToken:     make(map[uint32]*held),
	}
}
