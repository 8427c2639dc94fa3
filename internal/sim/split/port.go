package split

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"feedmux/internal/sim/websocket"
)

const (
	maxHead  = 64 << 10         // bytes of a first request's head
	headWait = 15 * time.Second // a socket that has not said its first request by then is closed
)

// Port is a listener that two servers share. Its methods may be called by any goroutine.
type Port struct {
	l       net.Listener
	handler http.Handler

	sockets chan net.Conn // those that ask for a WebSocket; a socket waits in it until it is accepted, or for the end
	plain   chan net.Conn // the others; likewise
	done    chan struct{} // closed when Serve begins to end

	mu    sync.Mutex
	held  map[*conn]bool // sockets of plain HTTP, and those that are not sorted yet
	ended bool
}

// NewPort returns a port that answers plain HTTP with handler. A handler returns soon after its request's context is done;
// a connection that it takes over it closes before it returns.
func NewPort(l net.Listener, handler http.Handler) *Port {
	return &Port{
		l: l, handler: handler,
		sockets: make(chan net.Conn), plain: make(chan net.Conn), done: make(chan struct{}),
		held: map[*conn]bool{},
	}
}

// WebSockets is where a server of WebSockets accepts its own. It fails with net.ErrClosed once Serve ends.
func (p *Port) WebSockets() net.Listener { return &side{p, p.sockets} }

// Serve sorts sockets and answers plain HTTP until ctx ends or the listener fails, and returns when all that it started
// has ended. Sockets that were accepted from WebSockets are their server's to end. It closes the listener. To be called
// once.
func (p *Port) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	var failed error
	running.Go(func() {
		defer cancel()
		failed = p.accept(ctx, &running)
	})
	running.Go(func() { p.answer(ctx) })

	<-ctx.Done()
	_ = p.l.Close() // on the way out; accept says what matters
	close(p.done)
	p.mu.Lock()
	p.ended = true
	for c := range p.held {
		_ = c.Close()
	}
	p.mu.Unlock()
	running.Wait()
	return failed
}

// Reset sends a RST to every connection of plain HTTP, and to those that have said nothing yet.
func (p *Port) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.held {
		Reset(c)
	}
}

func (p *Port) accept(ctx context.Context, running *sync.WaitGroup) error {
	for {
		nc, err := p.l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accepting a connection: %w", err)
		}
		c := &conn{Conn: nc}
		p.hold(c)
		running.Go(func() { p.sort(c) })
	}
}

func (p *Port) hold(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[c] = true
	if p.ended {
		_ = c.Close()
	}
}

func (p *Port) release(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.held, c)
}

// sort hands a new socket to the server that its first request is for.
func (p *Port) sort(c *conn) {
	to := p.plain
	forWebSocket, err := c.readHead()
	if forWebSocket {
		to = p.sockets
		p.release(c)
	}
	if err == nil {
		select {
		case to <- c:
			return
		case <-p.done:
		}
	}
	p.release(c)
	_ = c.Close()
}

// answer is the server of plain HTTP.
func (p *Port) answer(ctx context.Context) {
	var running sync.WaitGroup // connections, and handlers, which may outlive theirs
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			p.handler.ServeHTTP(w, r)
		}),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // what goes wrong is the clients' to see
		ConnState: func(nc net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				running.Add(1)
			case http.StateClosed, http.StateHijacked:
				p.release(nc.(*conn))
				running.Done()
			}
		},
	}
	_ = server.Serve(&side{p, p.plain}) // it ends with the port alone
	_ = server.Close()
	running.Wait()
}

// side is the listener of one of the two servers.
type side struct {
	p     *Port
	conns <-chan net.Conn
}

func (s *side) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.p.done:
		return nil, net.ErrClosed
	}
}

// Close does nothing: the port ends with its Serve.
func (s *side) Close() error   { return nil }
func (s *side) Addr() net.Addr { return s.p.l.Addr() }

// conn is a socket of which the first request's head was read, and is read once more.
type conn struct {
	net.Conn
	again io.Reader // what was read, then the rest
}

// readHead reads the first request's head.
func (c *conn) readHead() (forWebSocket bool, err error) {
	_ = c.SetReadDeadline(time.Now().Add(headWait)) // if it fails the read does, too
	var seen bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(io.LimitReader(c.Conn, maxHead), &seen)))
	if err != nil {
		return false, err
	}
	c.again = io.MultiReader(&seen, c.Conn)
	return websocket.AsksForWebSocket(req), c.SetReadDeadline(time.Time{})
}

func (c *conn) Read(b []byte) (int, error) { return c.again.Read(b) }

// NetConn is the socket below, TLS included.
func (c *conn) NetConn() net.Conn { return raw(c.Conn) }

// CloseWrite sends a FIN and leaves the other direction open, where the socket can.
func (c *conn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

func raw(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return nc
}

// Reset sends a RST, where the connection can: for a handler that took its connection over, too.
func Reset(nc net.Conn) {
	nc = raw(nc)
	if l, ok := nc.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // if it fails the connection is gone already
	}
	_ = nc.Close()
}
