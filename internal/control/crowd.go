package control

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// crowd bounds how many connections are open. When one too many comes, one is closed: of those on which nothing is being
// answered, the one that was opened longest ago, or whose newest request began longest ago, whichever is later; and only
// where every one is being answered, the first of them. To make the new one wait instead, or to refuse it, would let whoever
// opened the others, and says nothing on them, keep every health check out.
type crowd struct {
	mu   sync.Mutex
	open []guest // at most maxConns, in the order in which they are closed, but for those that are answered
}

type guest struct {
	conn     net.Conn
	answered bool // its request has been read as far as its header, and the handler runs
}

func (c *crowd) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) == maxConns {
		i := max(0, slices.IndexFunc(c.open, func(g guest) bool { return !g.answered }))
		c.open[i].conn.Close() // its own goroutine notices
		c.open = slices.Delete(c.open, i, i+1)
	}
	c.open = append(c.open, guest{conn: conn})
}

// asked is told that the first byte of a request came. What follows it, however slowly, does not count until the handler runs.
func (c *crowd) asked(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.find(conn); i >= 0 {
		g := c.open[i]
		c.open = append(slices.Delete(c.open, i, i+1), g)
	}
}

// answering is told whether the handler runs for a connection.
func (c *crowd) answering(conn net.Conn, runs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.find(conn); i >= 0 {
		c.open[i].answered = runs
	}
}

func (c *crowd) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.find(conn); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
	}
}

func (c *crowd) find(conn net.Conn) int {
	return slices.IndexFunc(c.open, func(g guest) bool { return g.conn == conn })
}

// connKey is under which a request's context has its connection.
type connKey struct{}

// watch tells the crowd of each request while it is answered.
func (c *crowd) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		c.answering(conn, true)
		defer c.answering(conn, false)
		next.ServeHTTP(w, r)
	})
}

// withoutBodies answers requests that have a body without waiting for it, which net/http would do before it sends the
// answer: nothing here reads one.
func withoutBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // -1: in chunks
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
