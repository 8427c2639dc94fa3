package control

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// crowd bounds how many connections are open. When one too many comes, the one is closed that was opened longest ago, or
// whose newest request began longest ago, whichever is later. To make the new one wait instead, or to refuse it, would let
// whoever opened the others, and says nothing on them, keep every health check out.
type crowd struct {
	mu   sync.Mutex
	open []net.Conn // at most maxConns; the first is closed next
}

func (c *crowd) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) == maxConns {
		c.open[0].Close() // its own goroutine notices
		c.open = slices.Delete(c.open, 0, 1)
	}
	c.open = append(c.open, conn)
}

// asked is told that the first byte of a request came. What follows it, however slowly, does not count.
func (c *crowd) asked(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.open, conn); i >= 0 {
		c.open = append(slices.Delete(c.open, i, i+1), conn)
	}
}

func (c *crowd) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.open, conn); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
	}
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
