// Package link is the connection to NATS: how its client is made, and what the client's callbacks said.
package link

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
	// Wait is between two attempts to connect, and a jitter of half of it.
	Wait = 500 * time.Millisecond
	// PingInterval is how often the client asks whether the server is there.
	PingInterval = 20 * time.Second

	writeTimeout = 3 * time.Second // a server that reads nothing for so long is left
)

// Link is what is known of the connection to NATS. The client's callbacks write it; any goroutine may call its methods.
// Nothing here asks the client itself, because its lock is held while it dials.
type Link struct {
	log      *slog.Logger
	failures *rate.Limiter // log lines about attempts to connect
	changed  chan struct{} // one slot

	mu         sync.Mutex
	permitted  bool // the client may make a connection
	connected  bool
	gone       bool // the client gave up: it needs a successor
	server     string
	ups, downs uint64
	violations uint64
	violatedAt time.Time
	trouble    string // why it is not connected, as far as anybody said
}

// New makes a Link to a NATS that nobody has dialled yet.
func New(log *slog.Logger) *Link {
	return &Link{
		log:      log,
		failures: rate.NewLimiter(rate.Every(time.Minute), 1),
		changed:  make(chan struct{}, 1),
	}
}

// Login says where NATS is, as URLs separated by commas, and what else a client needs. It is asked each time that one is made,
// until it gives no error; that holds no secret.
type Login func() (servers string, more []nats.Option, err error)

// Connect makes a client that keeps dialling until it is closed. It may block for seconds when a server does not answer. The
// error never holds a URL.
func (l *Link) Connect(name string, login Login) (*nats.Conn, error) {
	servers, more, err := login()
	if err != nil {
		return nil, err
	}
	// The client's own error for a URL that it cannot read quotes it, password and all.
	for server := range strings.SplitSeq(servers, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server // as the client does
		}
		if _, err := url.Parse(server); err != nil {
			return nil, errors.New("reading the servers' URLs: one of them is not a URL")
		}
	}
	options := append([]nats.Option{
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(Wait),
		nats.ReconnectJitter(Wait/2, Wait/2),
		nats.ReconnectBufSize(-1), // while disconnected, Publish fails: events wait in our buffer
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectOnFlusherError(),
		nats.PingInterval(PingInterval),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreAuthErrorAbort(),
		nats.SkipSubjectValidation(), // ours are checked when they are made
		nats.ConnectHandler(l.up),
		nats.ReconnectHandler(l.up),
		nats.DisconnectErrHandler(l.down),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if !errors.Is(err, errTooEarly) {
				l.Failed(err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.Complained(err) }),
		nats.ClosedHandler(l.closed),
	}, more...)
	options = append(options, natswire.Use(l.mayDial))
	l.mu.Lock()
	l.gone = false
	l.mu.Unlock()
	return nats.Connect(servers, options...)
}

// Permit says whether the client may make a connection from here on: not while anything is handed to the one that it has.
// The client tells of a break on a goroutine of its own, and may have another connection by then. What is handed over next
// would come after a hole, and what confirms it would confirm what was lost, too. So before another connection is
// permitted, what this one got is given up.
func (l *Link) Permit(connection bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.permitted = connection
}

// errTooEarly makes the client try again after Wait.
var errTooEarly = errors.New("what the connection before was given must be given up first")

// mayDial is asked before the client dials. That it wants to is news: it has no connection.
func (l *Link) mayDial() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.permitted {
		return nil
	}
	l.connected = false
	l.downs++
	l.Signal()
	return errTooEarly
}

func (l *Link) up(nc *nats.Conn) {
	server := "in this process"
	if u, err := url.Parse(nc.ConnectedUrl()); err == nil && nc.Opts.InProcessServer == nil {
		server = u.Scheme + "://" + u.Host
	}
	l.mu.Lock()
	l.connected = true
	l.trouble = ""
	l.server = server
	l.ups++
	l.mu.Unlock()
	l.Signal()
	l.log.Info("NATS connected", "server", server)
}

func (l *Link) down(_ *nats.Conn, err error) {
	l.mu.Lock()
	l.connected = false
	l.downs++
	l.mu.Unlock()
	l.ails(err)
	l.Signal()
	if err != nil { // none: the daemon ends
		l.log.Warn("NATS disconnected", "error", err)
	}
}

// ails notes why there is no connection.
func (l *Link) ails(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.connected {
		l.trouble = err.Error()
	}
}

// Failed logs that an attempt to connect failed.
func (l *Link) Failed(err error) {
	l.ails(err)
	if l.failures.Allow() {
		l.log.Warn("NATS cannot be reached", "error", err)
	}
}

// Complained is told what the server said about a message, or the client about itself.
func (l *Link) Complained(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		l.ails(err) // such as that the login is not good
		l.log.Warn("NATS complained", "error", err)
		return
	}
	l.mu.Lock()
	l.violations++
	l.violatedAt = time.Now()
	l.mu.Unlock()
	l.Signal() // it is announced
	l.log.Error("NATS forbids publishing: what was for that subject is lost", "error", err)
}

func (l *Link) closed(*nats.Conn) {
	l.mu.Lock()
	l.connected = false
	l.gone = true
	l.downs++
	l.mu.Unlock()
	l.Signal()
}

// Signal says that something changed: the connection, or what NATS has confirmed. It never waits.
func (l *Link) Signal() {
	select {
	case l.changed <- struct{}{}:
	default: // the publisher has not looked since the last time
	}
}

// Changed says once that something changed since it was last asked.
func (l *Link) Changed() <-chan struct{} { return l.changed }

// State says how the connection is, and how often it broke. gone: the client gave up for good and needs a successor.
func (l *Link) State() (connected, gone bool, downs uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected, l.gone, l.downs
}

// Stats is what is known of the connection at one moment.
type Stats struct {
	Connected  bool
	Trouble    string    // why it is not connected, as the server or the client said; "": nobody did
	Server     string    // the one that is or was connected, without credentials
	Reconnects uint64    // times that it connected again
	Refused    uint64    // messages that the server's permissions forbade
	RefusedAt  time.Time // the last of them
}

// Stats never waits for NATS.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{l.connected, l.trouble, l.server, max(l.ups, 1) - 1, l.violations, l.violatedAt}
}
