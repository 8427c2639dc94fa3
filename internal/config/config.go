package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"feedmux/internal/config/forms"
	"feedmux/internal/config/strict"
)

// Config is a whole configuration, checked and with every default filled in.
type Config struct {
	NATS     NATS
	HTTP     HTTP
	Log      Log
	Accounts []*Account // those with a table of their own, in the order of their names; each has a feed
	Feeds    []*Feed    // in the order of the file

	origin *origin // where it came from, for Values and WithTopics
}

// NATS is where events are published, and how.
type NATS struct {
	URL      string // "embedded", or servers separated by commas; may hold credentials: show it with RedactURLs
	Name     string // what the servers know the connection by
	Buffer   int    // bytes of events that may wait for NATS
	Delivery string // "core"
	Headers  string // "none", "minimal" or "full"
	Embedded EmbeddedNATS

	// At most one way to log in: the files, which hold secrets and may be missing now, or credentials in URL.
	CredsFile    string
	NKeyFile     string
	User         string // with PasswordFile
	PasswordFile string
	TokenFile    string
	TLS          NATSTLS

	// Context is the name of a context of the nats command, which then says the servers, the login and TLS. "" is none.
	Context string
}

// IsEmbedded says that the daemon is its own NATS server.
func (n *NATS) IsEmbedded() bool { return n.URL == forms.Embedded && n.Context == "" }

// NATSTLS is how TLS is spoken to servers that are not embedded. Names of files are "" where there is none.
type NATSTLS struct {
	CAFile            string // in place of the system's authorities; it held a certificate when it was loaded
	CertFile, KeyFile string // what the daemon shows of itself: both or neither
	First             bool   // before the server says anything
}

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

// Account is what an upstream counts together and several feeds share: [account.NAME].
type Account struct {
	Key         string // its path in the file, such as account.twitch
	Name        string // as a feed's, and no other account is called so
	Connections int    // of all its feeds together; the sum of their Limits.Connections is no more
	DialRate    Rate
	InFlight    int // at most Connections
	Hold        time.Duration
}

// Feed is one upstream.
type Feed struct {
	Key          string // its path in the file, such as feed[0]
	Name         string // one token of a subject: a-z, 0-9, _ and -
	Protocol     string
	URL          string        // ws:// or wss://; may hold secrets: show it with RedactURL
	Account      string        // what the upstream counts connections by; no secret
	Shared       *Account      // what Account is the name of; nil: the account is this feed's alone, and called as the protocol says
	Listed       []Topic       // of the configuration, as they stand there
	FromFile     []Topic       // of TopicsFile, as they stand there
	Topics       []Topic       // Listed and then FromFile, merged: each name once
	TopicsFile   string        // resolved against the configuration's folder; "" is none
	Subject      string        // a template, such as feed.{feed}.{topic}; its form is for LoadOptions.Check to judge
	Payload      string        // what is published of what the upstream sent: the "event", or the whole "frame" around it
	Overflow     string        // of topics past Limits.Capacity: "park", "turns" or "reject", with which there are none
	Dwell        time.Duration // with turns: how long a topic keeps its place
	Placement    string        // "pack" or "spread"
	MaxMessage   int           // bytes
	MaxAge       time.Duration // hand connections over at about this age; 0 is never
	Limits       Limits
	Dial         Dial
	Ping         Ping
	Backoff      Backoff
	Auth         Secret
	Proxy        string     // http:// or socks5://, with a port; "env": what the environment says; "": none. Show it with RedactURL
	LocalAddress netip.Addr // to dial from; the zero Addr is any
	TLS          TLS
	Options      map[string]any // the protocol's own keys, as decoded from TOML; never nil
}

// Limits are how much of the upstream a feed may use.
type Limits struct {
	Connections         int // with Feed.Shared: this feed's share of it
	TopicsPerConnection int
	Reserve             int           // of Connections, kept back for hand-over; fewer than Connections
	Hold                time.Duration // how long a place stays taken after a close that the peer did not answer
	SubscribeBatch      int           // topics in one ask
	SubscribeRate       Rate          // asks on one connection
}

// Capacity is how many topics have room.
func (l Limits) Capacity() int { return (l.Connections - l.Reserve) * l.TopicsPerConnection }

// Dial is how connections are opened. With Feed.Shared, Rate and InFlight are those of all feeds of the account together.
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

// TLS is how a feed's upstream is verified. Nothing turns verification off.
type TLS struct {
	CAFile     string // in place of the system's authorities; it held a certificate when it was loaded; "" is none
	ServerName string // that the certificate must be for; "" is the host of the URL
}

// Secret says where a secret is kept: at most one of File, Env and Command is set. What it names may be missing or change
// at any time.
type Secret struct {
	File          string        // resolved against the configuration's folder
	Env           string        // name of an environment variable
	Command       []string      // the program and its arguments; it prints the secret
	RefreshBefore time.Duration // how long before its end a new one is wanted, where its end is known
}

// IsSet says that there is a place for a secret.
func (s Secret) IsSet() bool { return s.File != "" || s.Env != "" || len(s.Command) > 0 }

// What Feed.Payload may be.
const (
	payloadEvent = "event"
	payloadFrame = "frame"
)

// WantsFrame says that Payload is the frame.
func (f *Feed) WantsFrame() bool { return f.Payload == payloadFrame }

const (
	// maxConnections is the most that feedmux ever opens to one account.
	maxConnections = 10

	usualHold = 10 * time.Second

	usualNATS, usualHTTP = "127.0.0.1:4222", "127.0.0.1:8422"
)

// usualDials is how often feedmux dials unless told otherwise.
func usualDials() Rate { return Rate{1, 2 * time.Second} }

// Rate is a number of things in any window of time.
type Rate struct {
	N   int
	Per time.Duration
}

func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.N, strict.FormatDuration(r.Per)) }

// defaults is the configuration of an empty file.
func defaults() *Config {
	return &Config{
		NATS: NATS{
			URL:      forms.Embedded,
			Name:     "feedmux",
			Buffer:   16 * strict.MiB,
			Delivery: "core",
			Headers:  "minimal",
			Embedded: EmbeddedNATS{Listen: usualNATS},
		},
		HTTP: HTTP{Listen: usualHTTP, Ready: 0.9},
		Log:  Log{Level: "info", Format: "auto"},
	}
}

// newFeed is a feed of protocol p of which nothing else is configured.
func newFeed(key string, p Protocol) *Feed {
	return &Feed{
		Key:        key,
		URL:        p.URL,
		Subject:    cmp.Or(p.Subject, "feed.{feed}.{topic}"),
		Payload:    payloadEvent,
		Overflow:   "park",
		Dwell:      time.Minute,
		Placement:  "pack",
		MaxMessage: strict.MiB,
		Limits: Limits{
			Connections:         p.Connections,
			TopicsPerConnection: p.TopicsPerConnection,
			Hold:                usualHold,
			SubscribeBatch:      cmp.Or(p.UsualBatch, p.SubscribeBatch),
			SubscribeRate:       cmp.Or(p.SubscribeRate, Rate{10, time.Second}),
		},
		Dial:    Dial{Rate: usualDials(), InFlight: 1, Timeout: 15 * time.Second},
		Ping:    Ping{Interval: p.Ping, Jitter: 0.1, Timeout: min(10*time.Second, p.Ping/2)},
		Backoff: Backoff{Base: time.Second, Max: cmp.Or(p.BackoffMax, 2*time.Minute), Settle: time.Minute},
		Auth:    Secret{RefreshBefore: cmp.Or(p.RefreshBefore, 5*time.Minute)},
		Options: map[string]any{},
	}
}

// RedactURL is raw without what may be secret in it: user and password, query, fragment. What cannot be read as a URL
// is shown only as far as its scheme.
func RedactURL(raw string) string { return strict.RedactURL(raw) }

// RedactURLs is RedactURL for URLs separated by commas.
func RedactURLs(raw string) string { return strict.RedactURLs(raw) }
