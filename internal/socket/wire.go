package socket

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	messageTime = 30 * time.Second // from a message's first byte to its last
	writeTime   = 10 * time.Second // for one frame
	closeTime   = 2 * time.Second  // from our Close, or our answer to the peer's, to the FIN
	hurryTime   = time.Second      // for a write that stands in the way of the end: a Close frame, TLS's close_notify
)

// wire is the raw connection, below TLS: it sees every byte that comes and how the connection ends, and it holds the
// deadlines that several goroutines have a say in.
type wire struct {
	net.Conn
	born time.Time

	// Owned by the goroutine that reads.
	budget    int       // bytes that may still come in the handshake; -1 after it
	inMessage bool      // the first byte of a message or control frame was read, the last not yet
	timed     bool      // messageBy is set
	readAt    time.Time // of the last successful read
	frameAt   time.Time // of the last frame that was complete
	onWait    func()    // called before each read from the network; may be nil

	lastRead atomic.Int64 // readAt, for everybody: nanoseconds since born
	end      atomic.Int32 // one of the ends below; the first one seen stays

	mu        sync.Mutex // never held while something may block
	messageBy time.Time  // the message being read must be complete; zero: no limit
	closeBy   time.Time  // the connection must have ended; zero: no limit
	closeWhy  error      // what it means when it has not
	writeBy   time.Time  // every write must be done; zero: writeTime for each
}

const (
	endUnknown int32 = iota
	endPeer          // FIN or RST
	endOther         // the kernel gave up, or something local
)

func newWire(conn net.Conn, budget int) *wire {
	now := time.Now()
	return &wire{Conn: conn, born: now, readAt: now, frameAt: now, budget: budget}
}

// Read is called by the reader, through TLS if there is any. The deadline of a message is set here, when its bytes have
// to be waited for, so that messages which are in the buffer already cost no system call.
func (w *wire) Read(p []byte) (int, error) {
	if w.budget == 0 {
		return 0, errHandshakeTooLong
	}
	if w.budget > 0 {
		p = p[:min(len(p), w.budget)]
	}
	if w.inMessage && !w.timed {
		w.timed = true
		w.setMessageBy(time.Now().Add(messageTime))
	}
	if w.onWait != nil {
		w.onWait()
	}
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.readAt = time.Now()
		w.lastRead.Store(int64(w.readAt.Sub(w.born)))
		if w.budget > 0 {
			w.budget -= n
		}
	}
	if err != nil {
		w.note(err, true)
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err != nil {
		w.note(err, false)
	}
	return n, err
}

// note remembers how the connection ended. The kernel tells the reason once, to whoever asks first, and shows a plain
// end of file to the other side, so the first word counts: an end of file after ETIMEDOUT is no FIN.
func (w *wire) note(err error, reading bool) {
	end := endUnknown
	var errno syscall.Errno
	switch {
	case reading && errors.Is(err, io.EOF):
		end = endPeer
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		end = endPeer
	case errors.As(err, &errno):
		end = endOther
	}
	w.end.CompareAndSwap(endUnknown, end)
}

// sawEnd waits for the peer's FIN or RST, until a time at most, and says whether it came. What comes before is dropped:
// nobody reads from the connection afterwards.
func (w *wire) sawEnd(by time.Time) bool {
	if w.end.Load() == endUnknown && time.Now().Before(by) {
		w.budget = handshakeBytes // however much came so far; it bounds what is read here
		w.Conn.SetReadDeadline(by)
		io.Copy(io.Discard, w)
	}
	return w.end.Load() == endPeer
}

// messageDone ends what inMessage began.
func (w *wire) messageDone() {
	w.frameAt = w.readAt
	w.inMessage = false
	if w.timed {
		w.timed = false
		w.setMessageBy(time.Time{})
	}
}

func (w *wire) setMessageBy(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messageBy = t
	w.Conn.SetReadDeadline(earlier(w.messageBy, w.closeBy))
}

// limitReads gives the reader closeTime from now; why is what it says when that is over. The first limit stays.
func (w *wire) limitReads(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closeBy.IsZero() {
		w.closeBy, w.closeWhy = time.Now().Add(closeTime), why
		w.Conn.SetReadDeadline(earlier(w.messageBy, w.closeBy))
	}
}

// late says which limit a read met.
func (w *wire) late() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closeBy.IsZero() || !w.messageBy.IsZero() && w.messageBy.Before(w.closeBy) {
		return ErrStalled
	}
	return w.closeWhy
}

// limitWrites gives all writes together hurryTime from now, the one that is under way included.
func (w *wire) limitWrites() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writeBy.IsZero() {
		w.writeBy = time.Now().Add(hurryTime)
		w.Conn.SetWriteDeadline(w.writeBy)
	}
}

// beginWrite sets the deadline for one frame, endWrite takes it away: TLS may have to write by itself, while reading,
// and a deadline that had passed by then would break the connection.
func (w *wire) beginWrite() { w.setWriteDeadline(time.Now().Add(writeTime)) }
func (w *wire) endWrite()   { w.setWriteDeadline(time.Time{}) }

func (w *wire) setWriteDeadline(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Conn.SetWriteDeadline(earlier(t, w.writeBy))
}

// SetWriteDeadline is called by crypto/tls alone, which gives its close_notify five seconds. That is too long for a
// pool that closes.
func (w *wire) SetWriteDeadline(t time.Time) error {
	return w.Conn.SetWriteDeadline(earlier(t, time.Now().Add(hurryTime)))
}

// reset closes with RST instead of FIN, where there is TCP below: what was not sent yet is dropped.
func (w *wire) reset() {
	if tcp, ok := w.Conn.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	w.Conn.Close()
}

// when turns nanoseconds since born into a time whose monotonic part is exact, and whose wall clock is today's even if
// it was set since.
func (w *wire) when(since int64) time.Time {
	now := time.Now()
	return now.Add(time.Duration(since) - now.Sub(w.born))
}

// earlier returns the earlier of two times; the zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
