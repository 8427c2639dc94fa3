package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Protocol is what a [Server] must be told of the upstream that it plays. Its methods are called with the server's lock
// held.
type Protocol interface {
	// JoinLocked makes the session of a socket that was accepted. Its handshake is yet to come and may fail.
	JoinLocked(c *Client) Session

	// EventLocked lets one event happen.
	EventLocked(now time.Time)
}

// Session is one client, as the protocol sees it. Methods named …Locked are called with the server's lock held.
type Session interface {
	// OpenedLocked is called when the handshake was answered.
	OpenedLocked()

	// MessageLocked is called with each whole message; it may keep it.
	MessageLocked(message []byte)

	// EndedLocked is called once, when the socket no longer counts.
	EndedLocked()

	// Flood returns what to write now that nothing else waits, and what to call, with the lock, when n bytes of it were
	// written. No bytes: there is nothing to write before the client's next message. Only for [Options.Saturate].
	Flood() (batch []byte, sentLocked func(n int))
}

// Doorkeeper is a [Session] that looks at the request of its own handshake.
type Doorkeeper interface {
	// RequestLocked is called once, before the request is answered, unless it is no handshake at all. What it returns is
	// the HTTP status that refuses the handshake; 0 lets it pass. It must not change the request.
	RequestLocked(r *http.Request) (status int)
}

// Explainer is a [Doorkeeper] whose refusals have a body.
type Explainer interface {
	// RefusalLocked returns the body of the answer that RequestLocked refused with, and its content type.
	RefusalLocked(status int) (contentType string, body []byte)
}

// Pinger is a [Session] with a Close of its own for a client that answers no WebSocket ping. Others close with 4100.
type Pinger interface {
	NoPongLocked() (code int, reason string)
}

// Server is the part of an upstream that knows no protocol: it accepts, obeys the rules of [Options], breaks on
// request, and records. Its methods may be called by any goroutine, those named …Locked with Mu held.
type Server struct {
	Mu  sync.Mutex   // guards the server, its clients, and what the protocol keeps of them
	Log *slog.Logger // never nil; immutable

	protocol Protocol // immutable
	seed     uint64   // immutable
	strikes  *rand.Rand

	// Guarded by Mu.
	o       Options
	refuse  int // the status of SetRefuseStatus; 0: as the options say
	plans   []Plan
	changed chan struct{} // closed and replaced when o changes
	serving bool
	lastID  int
	active  map[int]*Client // until their goroutines have ended
	clients []*Client       // all that are remembered, by id
	open    int
	maxOpen int

	// By connection, some of them yet to come; forgotten when it ends.
	lags    map[int]time.Duration
	starved map[int]bool

	violations []Violation
	planned    map[Fault]int  // calls of the fault's method
	armed      map[plot]bool  // those calls whose occasion is yet to come
	wanted     map[Fault]bool // faults that an option asks for
	fired      map[Fault]int
}

// NewServer returns a server that nothing listens for yet, and that must be configured before it serves. In a synctest
// bubble it must be made inside the bubble.
func NewServer(seed uint64, log *slog.Logger, p Protocol) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		Log: log, protocol: p, seed: seed,
		strikes: rand.New(rand.NewPCG(seed, 2)),
		changed: make(chan struct{}),
		active:  map[int]*Client{},
		lags:    map[int]time.Duration{},
		starved: map[int]bool{},
		planned: map[Fault]int{},
		armed:   map[plot]bool{},
		wanted:  map[Fault]bool{},
		fired:   map[Fault]int{},
	}
}

// ConfigureLocked puts o in force, and plans: the protocol's own faults, always the same ones in the same order. They
// hold for what happens from now on; a timer that runs already keeps its old length.
func (s *Server) ConfigureLocked(o Options, plans []Plan) {
	s.o, s.plans = o, append(s.ownPlans(o), plans...)
	for _, p := range s.plans {
		s.wanted[p.Fault] = s.wanted[p.Fault] || p.Wanted || p.Every > 0
	}
	close(s.changed)
	s.changed = make(chan struct{})
	for _, c := range s.active {
		c.wakeUp()
	}
}

// Serve accepts connections from l until ctx ends or l fails, then ends them with a FIN and returns when all that it
// started has ended. It closes l. One call at a time.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.Mu.Lock()
	if s.serving {
		s.Mu.Unlock()
		panic("upstream: bug: two calls of Serve at once")
	}
	s.serving = true
	s.Mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	var children, clients sync.WaitGroup
	var failed error
	children.Go(func() {
		defer cancel()
		failed = s.accept(ctx, l, &clients)
	})
	children.Go(func() { s.emit(ctx) })
	children.Go(func() { s.misbehave(ctx) })

	<-ctx.Done()
	_ = l.Close() // on the way out; accept says what matters
	children.Wait()
	s.Mu.Lock()
	var open []*Client
	for _, c := range s.active {
		c.endLocked("the simulator ends")
		open = append(open, c)
	}
	s.Mu.Unlock()
	for _, c := range open {
		_ = c.nc.Close() // its reader says what matters
	}
	clients.Wait()
	s.Mu.Lock()
	s.serving = false
	s.Mu.Unlock()
	return failed
}

func (s *Server) accept(ctx context.Context, l net.Listener, clients *sync.WaitGroup) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accepting a connection: %w", err)
		}
		c := s.admit(nc)
		clients.Go(func() { c.serve(ctx) })
	}
}

// admit makes a socket one of ours: from here on it counts.
func (s *Server) admit(nc net.Conn) *Client {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.lastID++
	c := newClient(s, s.lastID, nc)
	s.active[c.ID] = c
	s.clients = AppendBounded(s.clients, c)
	s.open++
	s.maxOpen = max(s.maxOpen, s.open)
	if s.o.Connections > 0 && s.open > s.o.Connections {
		c.tooMany = true
		c.ViolationLocked(RuleConnections, fmt.Sprintf("%d are open", s.open))
	}
	if s.o.SendBuffer > 0 {
		if b, ok := rawConn(nc).(interface{ SetWriteBuffer(int) error }); ok {
			_ = b.SetWriteBuffer(s.o.SendBuffer) // best effort: the kernel rounds it anyway
		}
	}
	s.Log.Info("accepted", "conn", c.ID, "from", nc.RemoteAddr().String(), "open", s.open)
	return c
}

// emit lets events happen at the wanted rate, evenly: the n-th is due n/rate after Serve began or the rate was set.
func (s *Server) emit(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	due, rate := time.Now(), 0.0
	for {
		s.Mu.Lock()
		now := time.Now()
		every := time.Duration(float64(time.Second) / max(s.o.Rate, 1e-6))
		if s.o.Rate != rate {
			due, rate = now.Add(every), s.o.Rate
		}
		wait := time.Hour
		if rate > 0 && !s.o.Saturate {
			if now.Sub(due) > time.Second { // the machine slept: what was missed is not made up for
				due = now
			}
			for ; !due.After(now); due = due.Add(every) {
				s.protocol.EventLocked(now)
			}
			wait = max(due.Sub(now), time.Millisecond)
		}
		changed := s.changed
		s.Mu.Unlock()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
	}
}

// remembered bounds every list that only grows: past it the older half is forgotten.
const remembered = 10_000

// AppendBounded appends to a list that would grow as long as the server runs.
func AppendBounded[T any](list []T, v T) []T {
	if len(list) >= remembered {
		list = slices.Delete(list, 0, remembered/2)
	}
	return append(list, v)
}

// ClientsLocked returns the clients that are remembered, those that ended included, in the order of accepting.
func (s *Server) ClientsLocked() []*Client { return s.clients }

// Open returns how many sockets are open: accepted, and neither side has sent a FIN or RST.
func (s *Server) Open() int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.open
}

// MaxOpen returns how many sockets were ever open at a time, those that were refused included.
func (s *Server) MaxOpen() int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.maxOpen
}
