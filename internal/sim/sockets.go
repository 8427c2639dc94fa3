package sim

import (
	"net"
	"slices"
	"sync"
	"time"
)

// Socket is one dial and what became of it, as the network saw it. A zero time: not yet.
type Socket struct {
	Dialled   time.Time // when the dial began
	Connected time.Time // when it succeeded; the WebSocket's handshake comes after that
	Client    string    // the client's address, once it did: no two are equal
	ClientEnd time.Time // when the dial failed, or the client sent its first FIN or RST
	ServerEnd time.Time // when the server's first FIN or RST reached the client
}

// Open says whether the socket counts: it is being dialled, or neither side has ended it.
func (s Socket) Open() bool { return s.ClientEnd.IsZero() && s.ServerEnd.IsZero() }

// book is where the network writes its sockets down. Its lock is taken last.
type book struct {
	mu      sync.Mutex
	sockets []Socket // one for each dial
	open    int
	maxOpen int
}

func (b *book) dialled() (id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sockets = append(b.sockets, Socket{Dialled: time.Now()})
	b.open++
	b.maxOpen = max(b.maxOpen, b.open)
	return len(b.sockets) - 1
}

func (b *book) connected(id int, client net.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sockets[id].Connected, b.sockets[id].Client = time.Now(), client.String()
}

func (b *book) clientEnded(id int) { b.ended(id, func(s *Socket) *time.Time { return &s.ClientEnd }) }

func (b *book) serverEnded(id int) { b.ended(id, func(s *Socket) *time.Time { return &s.ServerEnd }) }

func (b *book) ended(id int, when func(*Socket) *time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.sockets[id]
	if s.Open() {
		b.open--
	}
	if at := when(s); at.IsZero() {
		*at = time.Now()
	}
}

// Sockets returns every dial and what became of it, in the order in which they began.
func (n *Network) Sockets() []Socket {
	n.book.mu.Lock()
	defer n.book.mu.Unlock()
	return slices.Clone(n.book.sockets)
}

// Dials returns when each dial began, whatever became of it.
func (n *Network) Dials() []time.Time {
	sockets := n.Sockets()
	dials := make([]time.Time, 0, len(sockets))
	for _, s := range sockets {
		dials = append(dials, s.Dialled)
	}
	return dials
}

// Open returns how many sockets are open, those that are being dialled included.
func (n *Network) Open() int {
	n.book.mu.Lock()
	defer n.book.mu.Unlock()
	return n.book.open
}

// MaxOpen returns the most that Open was ever.
func (n *Network) MaxOpen() int {
	n.book.mu.Lock()
	defer n.book.mu.Unlock()
	return n.book.maxOpen
}
