package sim

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how many bytes a direction holds that were written and not read; past it the writer waits.
const window = 256 << 10

// Conn is one end of a connection in a [Network]. Its methods may be called by any goroutine.
type Conn struct {
	link          *link
	me, peer      *end // of link; guarded by its lock
	local, remote net.Addr
}

// link is what both ends share.
type link struct {
	mu   sync.Mutex
	wake chan struct{} // closed at the next change; nil while nobody waits
	ends [2]end        // the client's, the server's

	book *book // has a lock of its own
	id   int   // in it
}

// end is what one side has received, and what it has done.
type end struct {
	in   bytes.Buffer // received and not read
	cut  bool         // what is sent to this end is lost
	lost int          // bytes that were; they fill the window all the same
	fin  bool         // the other side will send no more
	rst  bool         // the other side gave the connection up

	shut     bool // takes no more bytes: a zero window
	sentFIN  bool
	closed   bool
	noLinger bool // Close resets
	readBy   time.Time
	writeBy  time.Time
}

func newPair(clientAddr net.Addr, b *book, id int) (client, server *Conn) {
	l := &link{book: b, id: id}
	mine, theirs := &l.ends[0], &l.ends[1]
	client = &Conn{link: l, me: mine, peer: theirs, local: clientAddr, remote: serverAddr}
	server = &Conn{link: l, me: theirs, peer: mine, local: serverAddr, remote: clientAddr}
	return client, server
}

func (l *link) notifyLocked() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// waitLocked waits, without the lock, for a change or until by.
func (l *link) waitLocked(by time.Time) {
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	wake := l.wake
	l.mu.Unlock()
	defer l.mu.Lock()
	if by.IsZero() {
		<-wake
		return
	}
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

func passed(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

func (c *Conn) fail(op string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Read reads what arrived. What arrived before a FIN or RST is read before that is reported.
func (c *Conn) Read(p []byte) (int, error) {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case c.me.closed:
			return 0, c.fail("read", net.ErrClosed)
		case passed(c.me.readBy):
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case c.me.in.Len() > 0:
			n, _ := c.me.in.Read(p)
			l.notifyLocked()
			return n, nil
		case c.me.fin:
			return 0, io.EOF
		case c.me.rst:
			return 0, c.fail("read", syscall.ECONNRESET)
		}
		l.waitLocked(c.me.readBy)
	}
}

// Write waits while the other end's window is full. As on a real socket, the first write after the other end was closed
// succeeds, and the RST that answers it fails the next.
func (c *Conn) Write(p []byte) (int, error) {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := 0; ; {
		room := window - c.peer.in.Len() - c.peer.lost
		switch {
		case c.me.closed:
			return n, c.fail("write", net.ErrClosed)
		case passed(c.me.writeBy):
			return n, c.fail("write", os.ErrDeadlineExceeded)
		case c.me.sentFIN:
			return n, c.fail("write", syscall.EPIPE)
		case c.me.rst && c.me.fin:
			return n, c.fail("write", syscall.EPIPE)
		case c.me.rst:
			return n, c.fail("write", syscall.ECONNRESET)
		case n == len(p):
			return n, nil
		case c.peer.closed && !c.peer.cut && !c.me.cut:
			c.me.rst = true
			l.notifyLocked()
			return len(p), nil
		case room > 0 && !c.peer.shut:
			k := min(room, len(p)-n)
			if c.peer.cut {
				c.peer.lost += k
			} else {
				c.peer.in.Write(p[n : n+k])
			}
			n += k
			l.notifyLocked()
			continue
		}
		l.waitLocked(c.me.writeBy)
	}
}

// CloseWrite sends a FIN and leaves the other direction open.
func (c *Conn) CloseWrite() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.me.closed {
		return c.fail("close", net.ErrClosed)
	}
	c.finLocked()
	return nil
}

func (c *Conn) finLocked() {
	c.me.sentFIN = true
	c.peer.fin = c.peer.fin || !c.peer.cut
	c.endedLocked()
}

// endedLocked is called with the FIN or RST that this end sends.
func (c *Conn) endedLocked() {
	switch l := c.link; {
	case c.me == &l.ends[0]:
		l.book.clientEnded(l.id)
	case !c.peer.cut:
		l.book.serverEnded(l.id)
	}
	c.link.notifyLocked()
}

// Close sends a FIN, or a RST after SetLinger(0).
func (c *Conn) Close() error { return c.close(false) }

// Reset sends a RST and closes this end.
func (c *Conn) Reset() error { return c.close(true) }

func (c *Conn) close(reset bool) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.me.closed {
		return c.fail("close", net.ErrClosed)
	}
	c.me.closed = true
	if reset || c.me.noLinger {
		c.peer.rst = c.peer.rst || !c.peer.cut
		c.endedLocked()
	} else {
		c.finLocked()
	}
	return nil
}

// SetLinger with 0 makes Close send a RST; other values make it send a FIN.
func (c *Conn) SetLinger(sec int) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.me.noLinger = sec == 0
	return nil
}

// Cut makes the connection half open for good: from now on bytes, FIN and RST are lost, both ways, and neither end is told.
func (c *Conn) Cut() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.me.cut, c.peer.cut = true, true
}

// CutIn makes the way to this end a black hole for good: bytes, FIN and RST that the other end sends from now on are lost,
// and nobody is told. The other way goes on, as if what it needs of this one still came through.
func (c *Conn) CutIn() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.me.cut = true
}

// CutOut is CutIn for the way from this end.
func (c *Conn) CutOut() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.peer.cut = true
}

// ShutWindow makes this end take no more bytes, so that the other end's writes wait, or ends that.
func (c *Conn) ShutWindow(on bool) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.me.shut = on
	c.link.notifyLocked()
}

func (c *Conn) isClosed() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.me.closed
}

// LocalAddr returns a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline applies to reads that wait already, too.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline applies to writes that wait already, too.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *Conn) setDeadlines(read, write *time.Time) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.me.closed {
		return c.fail("set", net.ErrClosed)
	}
	if read != nil {
		c.me.readBy = *read
	}
	if write != nil {
		c.me.writeBy = *write
	}
	c.link.notifyLocked()
	return nil
}
