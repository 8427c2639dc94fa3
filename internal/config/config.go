package config

import "time"

// Config is a whole configuration, checked and with every default filled in.
type Config struct {
	NATS  NATS
	HTTP  HTTP
	Log   Log
	Feeds []*Feed // in the order of the file
}

// NATS is where events are published, and how.
type NATS struct {
	URL      string // "embedded", or servers separated by commas; may hold credentials: show it with RedactURLs
	Name     string // what the servers know the connection by
	Buffer   int    // bytes of events that may wait for NATS
	Delivery string // "core"
	Headers  string // "none", "minimal" or "full"
	Embedded EmbeddedNATS
}

// IsEmbedded says that the daemon is its own NATS server.
func (n *NATS) IsEmbedded() bool { return n.URL == embedded }

const embedded = "embedded"

// EmbeddedNATS is the server in the process; it is used only where NATS.IsEmbedded.
type EmbeddedNATS struct {
	Listen   string // host:port; "" is in-process only
	StoreDir string // "" is a place in the state directory
}

// HTTP is the read-only HTTP server.
type HTTP struct {
	Listen string  // host:port; "" is none
	Ready  float64 // share of placeable topics, 0 to 1, that makes the daemon ready
	Pprof  bool
}

// Log is what is logged, and how.
type Log struct {
	Level  string // "debug", "info", "warn" or "error"
	Format string // "auto", "text" or "json"
}

// Feed is one upstream.
type Feed struct {
	Key        string // its path in the file, such as feed[0]
	Name       string // one token of a subject: a-z, 0-9, _ and -
	Protocol   string
	URL        string  // ws:// or wss://; may hold secrets: show it with RedactURL
	Account    string  // what the upstream counts connections by, as the protocol says; no secret
	Topics     []Topic // of the file, then of TopicsFile, each name once
	TopicsFile string  // resolved against the configuration's folder; "" is none
	Subject    string  // a template, such as feed.{feed}.{topic}; its form is for LoadOptions.Check to judge
	Placement  string  // "pack" or "spread"
	MaxMessage int     // bytes
	Limits     Limits
	Dial       Dial
	Ping       Ping
	Backoff    Backoff
	Auth       Secret
	Options    map[string]any // the protocol's own keys, as decoded from TOML; never nil
}

// Topic is a wanted topic. Where one is listed more than once, the first place and the highest priority count.
type Topic struct {
	Name     string
	Priority int // higher is more wanted
	Place    Place
}

// Limits are how much of the upstream a feed may use.
type Limits struct {
	Connections         int
	TopicsPerConnection int
	SubscribeBatch      int  // topics in one ask
	SubscribeRate       Rate // asks on one connection
}

// Dial is how connections are opened.
type Dial struct {
	Rate     Rate
	InFlight int // at most Limits.Connections
	Timeout  time.Duration
}

// Ping is how dead connections are noticed. A ping's time-out always passes before the next ping is due.
type Ping struct {
	Interval time.Duration
	Jitter   float64       // share of Interval, 0 to 0.5: each ping is due within half of it before or after its time
	Timeout  time.Duration // for anything at all to arrive after a ping
	Silence  time.Duration // end a connection on which nothing came for so long; 0 is the protocol's own
}

// Backoff is how long to wait after a failure.
type Backoff struct {
	Base   time.Duration // at most Max
	Max    time.Duration
	Settle time.Duration // a connection that was live for so long makes the backoff start over
}

// Secret says where a secret is kept: at most one of its fields is set. What it names may be missing or change at any
// time.
type Secret struct {
	File string // resolved against the configuration's folder
	Env  string // name of an environment variable
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30

	// maxConnections is the most that feedmux ever opens to one account.
	maxConnections = 10
)

// defaults is the configuration of an empty file.
func defaults() *Config {
	return &Config{
		NATS: NATS{
			URL:      embedded,
			Name:     "feedmux",
			Buffer:   16 * mib,
			Delivery: "core",
			Headers:  "minimal",
			Embedded: EmbeddedNATS{Listen: "127.0.0.1:4222"},
		},
		HTTP: HTTP{Listen: "127.0.0.1:8422", Ready: 0.9},
		Log:  Log{Level: "info", Format: "auto"},
	}
}

// newFeed is a feed of protocol p of which nothing else is configured.
func newFeed(key string, p Protocol) *Feed {
	return &Feed{
		Key:        key,
		URL:        p.URL,
		Subject:    "feed.{feed}.{topic}",
		Placement:  "pack",
		MaxMessage: mib,
		Limits: Limits{
			Connections:         p.Connections,
			TopicsPerConnection: p.TopicsPerConnection,
			SubscribeBatch:      p.SubscribeBatch,
			SubscribeRate:       Rate{10, time.Second},
		},
		Dial:    Dial{Rate: Rate{1, 2 * time.Second}, InFlight: 1, Timeout: 15 * time.Second},
		Ping:    Ping{Interval: p.Ping, Jitter: 0.1, Timeout: min(10*time.Second, p.Ping/2)},
		Backoff: Backoff{Base: time.Second, Max: 2 * time.Minute, Settle: time.Minute},
		Options: map[string]any{},
	}
}
