package sim

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"
)

// acceptQueue is how many connections wait for Accept; further dials are refused.
const acceptQueue = 1024

// Network is one host in memory that listens on one port. Whatever address is dialled, its listener answers.
// It starts no goroutine. In a synctest bubble it must be made inside the bubble.
type Network struct {
	mu       sync.Mutex
	listener *listener // nil: nobody listens
	refuse   bool
	hang     bool
	conns    []*Conn // client ends that are not closed
	port     int     // of the newest client end

	book *book // has a lock of its own
}

// NewNetwork returns a network on which nobody listens yet.
func NewNetwork() *Network { return &Network{port: 40000, book: new(book)} }

// Listen opens the port. It panics while an earlier listener is open.
func (n *Network) Listen() net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != nil {
		panic("sim: bug: the network has a listener already")
	}
	n.listener = &listener{network: n, queue: make(chan *Conn, acceptQueue), closed: make(chan struct{})}
	return n.listener
}

// SetRefuse makes dials fail with ECONNREFUSED, or ends that.
func (n *Network) SetRefuse(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = on
}

// SetHang makes dials wait until their context ends, as if no answer came, or ends that for the dials that follow.
func (n *Network) SetHang(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hang = on
}

// Conns returns the client ends that are not closed, in the order of their dials.
func (n *Network) Conns() []*Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetClosedLocked()
	return slices.Clone(n.conns)
}

func (n *Network) forgetClosedLocked() {
	n.conns = slices.DeleteFunc(n.conns, (*Conn).isClosed)
}

// DialContext has the signature of [net.Dialer.DialContext]. What it returns is a *[Conn].
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, dialError(network, err)
	}
	id := n.book.dialled()
	fail := func(err error) (net.Conn, error) {
		n.book.clientEnded(id)
		return nil, dialError(network, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hang {
		n.mu.Unlock()
		<-ctx.Done()
		n.mu.Lock()
		return fail(ctx.Err())
	}
	if n.refuse || n.listener == nil {
		return fail(syscall.ECONNREFUSED)
	}
	n.port++
	client, server := newPair(&net.TCPAddr{IP: serverAddr.IP, Port: n.port}, n.book, id)
	n.book.connected(id, client.LocalAddr())
	select {
	case n.listener.queue <- server:
	default: // full: see acceptQueue
		return fail(syscall.ECONNREFUSED)
	}
	n.forgetClosedLocked()
	n.conns = append(n.conns, client)
	return client, nil
}

func dialError(network string, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: serverAddr, Err: err}
}

var serverAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}

// listener hands out the server ends.
type listener struct {
	network *Network
	queue   chan *Conn
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: serverAddr, Err: net.ErrClosed}
	}
}

// Close shuts the port. Connections that nobody accepted are reset, as a kernel does.
func (l *listener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	if l.network.listener != l {
		return net.ErrClosed
	}
	l.network.listener = nil
	close(l.closed)
	for {
		select {
		case c := <-l.queue:
			c.Reset()
		default:
			return nil
		}
	}
}

func (l *listener) Addr() net.Addr { return serverAddr }
