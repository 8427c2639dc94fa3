package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
)

// PubSub is Twitch's PubSub, simulated. Its methods may be called by any goroutine.
type PubSub struct {
	library library // immutable
	log     *slog.Logger

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when o changes
	serving bool
	o       PubSubOptions // with defaults
	lastID  int
	active  map[int]*client // until their goroutines have ended
	clients []*client       // all that are remembered, by id
	open    int
	maxOpen int

	topics   map[string]*topic
	listened []*topic // those with listeners, by name: so that a choice by chance does not depend on who came first

	events  *rand.Rand // owned by emit
	strikes *rand.Rand // owned by misbehave
	scratch []byte

	violations []Violation
	planned    map[Fault]int  // calls of the fault's method
	wanted     map[Fault]bool // faults that an option asks for
	fired      map[Fault]int
}

// topic is one stream of events. Guarded by the simulator's lock but for what is immutable.
type topic struct {
	name      string      // immutable
	quoted    string      // immutable: as it stands between quotes in JSON
	templates []*template // immutable

	happened  uint64    // the number of the newest event
	listeners []*client // by id
	runs      []Run
}

// NewPubSub returns a simulator that nothing listens for yet. In a synctest bubble it must be made inside the bubble.
func NewPubSub(o PubSubOptions) *PubSub {
	s := &PubSub{
		library: newLibrary(),
		log:     o.Log,
		changed: make(chan struct{}),
		o:       o.WithDefaults(),
		active:  map[int]*client{},
		topics:  map[string]*topic{},
		events:  rand.New(rand.NewPCG(o.Seed, 1)),
		strikes: rand.New(rand.NewPCG(o.Seed, 2)),
		planned: map[Fault]int{},
		wanted:  map[Fault]bool{},
		fired:   map[Fault]int{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.wantLocked()
	return s
}

// Change changes rules and faults while the simulator runs. They hold for what happens from now on; a timer that runs already
// keeps its old length. Seed and Log stay what they were. change is called with the simulator's lock held.
func (s *PubSub) Change(change func(*PubSubOptions)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.o)
	s.o = s.o.WithDefaults()
	s.wantLocked()
	close(s.changed)
	s.changed = make(chan struct{})
	for _, c := range s.active {
		c.wakeUp()
	}
}

// Serve accepts connections from l until ctx ends or l fails, then ends them with a FIN and returns when all that it started has
// ended. It closes l. One call at a time; a later one goes on counting events where this one stopped.
func (s *PubSub) Serve(ctx context.Context, l net.Listener) error {
	s.mu.Lock()
	if s.serving {
		s.mu.Unlock()
		panic("sim: bug: two calls of Serve at once")
	}
	s.serving = true
	s.mu.Unlock()

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
	s.mu.Lock()
	var open []*client
	for _, c := range s.active {
		c.endLocked("the simulator ends")
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		_ = c.nc.Close() // its reader says what matters
	}
	clients.Wait()
	s.mu.Lock()
	s.serving = false
	s.mu.Unlock()
	return failed
}

func (s *PubSub) accept(ctx context.Context, l net.Listener, clients *sync.WaitGroup) error {
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
func (s *PubSub) admit(nc net.Conn) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	c := newClient(s, s.lastID, nc)
	s.active[c.id] = c
	s.clients = appendBounded(s.clients, c)
	s.open++
	s.maxOpen = max(s.maxOpen, s.open)
	if s.o.Connections > 0 && s.open > s.o.Connections {
		c.tooMany = true
		s.violationLocked(c, RuleConnections, fmt.Sprintf("%d are open", s.open))
	}
	if s.o.SendBuffer > 0 {
		if b, ok := rawConn(nc).(interface{ SetWriteBuffer(int) error }); ok {
			_ = b.SetWriteBuffer(s.o.SendBuffer) // best effort: the kernel rounds it anyway
		}
	}
	s.log.Info("accepted", "conn", c.id, "from", nc.RemoteAddr().String(), "open", s.open)
	return c
}

func (s *PubSub) topicLocked(name string) *topic {
	t := s.topics[name]
	if t == nil {
		quoted := string(compactJSON(name))
		t = &topic{name: name, quoted: quoted[1 : len(quoted)-1], templates: s.library.of(name)}
		s.topics[name] = t
	}
	return t
}

func byName(t *topic, name string) int {
	if t.name < name {
		return -1
	} else if t.name > name {
		return 1
	}
	return 0
}

func byID(c *client, id int) int { return c.id - id }

func (s *PubSub) listenLocked(c *client, name string) {
	if c.topics[name] != nil {
		return
	}
	t := s.topicLocked(name)
	c.topics[name] = t
	c.version++
	if len(t.listeners) == 0 {
		i, _ := slices.BinarySearchFunc(s.listened, name, byName)
		s.listened = slices.Insert(s.listened, i, t)
	}
	i, _ := slices.BinarySearchFunc(t.listeners, c.id, byID)
	t.listeners = slices.Insert(t.listeners, i, c)
	c.rec.MaxTopics = max(c.rec.MaxTopics, len(c.topics))
}

func (s *PubSub) unlistenLocked(c *client, name string) {
	t := c.topics[name]
	if t == nil {
		return
	}
	delete(c.topics, name)
	c.version++
	i, _ := slices.BinarySearchFunc(t.listeners, c.id, byID)
	t.listeners = slices.Delete(t.listeners, i, i+1)
	if len(t.listeners) == 0 {
		i, _ := slices.BinarySearchFunc(s.listened, name, byName)
		s.listened = slices.Delete(s.listened, i, i+1)
	}
}
