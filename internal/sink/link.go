package sink

import (
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"feedmux/internal/natswire"
)

const (
	reconnectWait = 500 * time.Millisecond // between two attempts, and a jitter of half of it
	writeTimeout  = 3 * time.Second        // a server that reads nothing for so long is left
	pingInterval  = 20 * time.Second
)

// link is what is known of the connection to NATS. The client's callbacks write it. Nothing here asks the client
// itself, because its lock is held while it dials.
type link struct {
	log        *slog.Logger
	turns      *rate.Limiter // log lines about ups and downs
	failures   *rate.Limiter // … about attempts to connect
	complaints *rate.Limiter // … about messages
	changed    chan struct{} // one slot: the connection came up or broke, or NATS confirmed something

	mu         sync.Mutex
	connected  bool
	gone       bool // the client gave up: it needs a successor
	server     string
	ups, downs uint64
	violations uint64
}

func newLink(log *slog.Logger) *link {
	return &link{
		log:        log,
		turns:      rate.NewLimiter(rate.Every(time.Second), 20),
		failures:   rate.NewLimiter(rate.Every(time.Minute), 1),
		complaints: rate.NewLimiter(rate.Every(10*time.Second), 5),
		changed:    make(chan struct{}, 1),
	}
}

// connect makes a client that keeps dialling until it is closed. It may block for seconds when a server does not
// answer. The error never holds a URL.
func (l *link) connect(o Options) (*nats.Conn, error) {
	// The client's own error for a URL that it cannot read quotes it, password and all.
	for server := range strings.SplitSeq(o.URL, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server // as the client does
		}
		if _, err := url.Parse(server); err != nil {
			return nil, errors.New("reading the servers' URLs: one of them is not a URL")
		}
	}
	options := append([]nats.Option{
		nats.Name(o.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait/2, reconnectWait/2),
		nats.ReconnectBufSize(-1), // while disconnected, Publish fails: events wait in our buffer
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectOnFlusherError(),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreAuthErrorAbort(),
		nats.SkipSubjectValidation(), // ours are checked when they are made
		nats.ConnectHandler(l.up),
		nats.ReconnectHandler(l.up),
		nats.DisconnectErrHandler(l.down),
		nats.ReconnectErrHandler(l.failed),
		nats.ErrorHandler(l.complained),
		nats.ClosedHandler(l.closed),
	}, o.Connect...)
	options = append(options, natswire.Use)
	l.mu.Lock()
	l.gone = false
	l.mu.Unlock()
	return nats.Connect(o.URL, options...)
}

func (l *link) up(nc *nats.Conn) {
	server := "in this process"
	if u, err := url.Parse(nc.ConnectedUrl()); err == nil && nc.Opts.InProcessServer == nil {
		server = u.Scheme + "://" + u.Host
	}
	l.mu.Lock()
	l.connected = true
	l.server = server
	l.ups++
	l.mu.Unlock()
	l.signal()
	if l.turns.Allow() {
		l.log.Info("NATS connected", "server", server)
	}
}

func (l *link) down(_ *nats.Conn, err error) {
	l.mu.Lock()
	l.connected = false
	l.downs++
	l.mu.Unlock()
	l.signal()
	if err != nil && l.turns.Allow() { // none: the daemon ends
		l.log.Warn("NATS disconnected", "error", err)
	}
}

func (l *link) failed(_ *nats.Conn, err error) {
	if l.failures.Allow() {
		l.log.Warn("NATS cannot be reached", "error", err)
	}
}

// complained is told what the server said about a message, or the client about itself.
func (l *link) complained(_ *nats.Conn, _ *nats.Subscription, err error) {
	what := "NATS complained"
	if errors.Is(err, nats.ErrPermissionViolation) {
		what = "NATS forbids publishing: events are lost"
		l.mu.Lock()
		l.violations++
		l.mu.Unlock()
		l.signal() // it is announced
	}
	if l.complaints.Allow() {
		l.log.Warn(what, "error", err)
	}
}

func (l *link) closed(*nats.Conn) {
	l.mu.Lock()
	l.connected = false
	l.gone = true
	l.downs++
	l.mu.Unlock()
	l.signal()
}

func (l *link) signal() {
	select {
	case l.changed <- struct{}{}:
	default: // the publisher has not looked since the last time
	}
}

// state says how the connection is, and how often it broke.
func (l *link) state() (connected, gone bool, downs uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected, l.gone, l.downs
}

func (l *link) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Connected: l.connected, Server: l.server, Refused: l.violations}
	if l.ups > 0 {
		s.Reconnects = l.ups - 1
	}
	return s
}
