package sim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	maxRequest = 64 << 10 // of one message from a client
	maxQueue   = 32 << 20 // bytes that wait for one client, past which it is cut off whatever the rules are
	slowAfter  = 100 * time.Millisecond
	writeWait  = 10 * time.Second // a client that takes nothing for so long is cut off
	closeWait  = 2 * time.Second  // between our Close or FIN and the client's
	muteLinger = time.Minute      // a silent connection is kept after the client's FIN, unanswered
)

// client is one socket, seen from the server. A reader (the goroutine of serve) and a writer work on it.
type client struct {
	s    *PubSub
	id   int
	nc   net.Conn
	br   *bufio.Reader // owned by the reader
	rand *rand.Rand    // owned by the reader
	wake chan struct{} // one slot: a wake-up that was not taken stands for all later ones
	done chan struct{} // closed when the reader has ended

	tooMany bool // the limit was reached before it; immutable once admitted

	// Guarded by s.mu.
	rec     ConnRecord
	topics  map[string]*topic
	version int    // grows with each change of topics
	out     []byte // frames that wait for the writer
	marks   []mark // one for each of them
	later   []delayed
	writing time.Time // since when a write is under way; zero: none

	upgraded bool // the handshake is done and the writer runs
	muted    bool
	closing  bool // nothing more is queued
	hangUp   bool // the writer sends a FIN as soon as the queue is empty
	ended    bool // FIN or RST was sent or seen

	// Guarded by s.mu: when a rule strikes; zero: not armed.
	firstListenBy time.Time
	pingBy        time.Time
	nextWSPing    time.Time
	wsPongBy      time.Time
	reconnectBy   time.Time
	closeBy       time.Time
}

// mark says what a queued frame is: an event if topic is set.
type mark struct {
	end   int // of the frame, in the queue
	topic *topic
	n     uint64
}

// delayed is a frame that is queued at a time.
type delayed struct {
	at    time.Time
	frame []byte
}

func newClient(s *PubSub, id int, nc net.Conn) *client {
	return &client{
		s: s, id: id, nc: nc,
		br:     bufio.NewReader(nc),
		rand:   rand.New(rand.NewPCG(s.o.Seed, 1000+uint64(id))),
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		topics: map[string]*topic{},
		rec:    ConnRecord{ID: id, Remote: nc.RemoteAddr().String(), Accepted: time.Now()},
	}
}

func rawConn(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		return t.NetConn()
	}
	return nc
}

func (c *client) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// serve is the life of one socket.
func (c *client) serve(ctx context.Context) {
	defer func() {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		c.endLocked("it broke during the handshake")
		delete(c.s.active, c.id)
		c.out, c.marks, c.later = nil, nil, nil
	}()
	defer c.nc.Close()
	if !c.handshake() {
		return
	}
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.read()
	c.s.mu.Lock()
	silent := c.muted && !c.ended
	c.endLocked(whyEnded(err))
	c.s.mu.Unlock()
	if silent {
		timer := time.NewTimer(muteLinger)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	_ = c.nc.Close() // the writer may be stuck in a write
	close(c.done)
	writer.Wait()
}

func whyEnded(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "RST from the client"
	case errors.Is(err, io.EOF):
		return "FIN from the client"
	}
	return err.Error()
}

// endLocked is called when a FIN or RST was seen or is about to be sent: the socket no longer counts. An earlier reason stays.
func (c *client) endLocked(why string) {
	if c.ended {
		return
	}
	c.ended, c.closing = true, true
	c.rec.Ended = time.Now()
	if c.rec.Why == "" {
		c.rec.Why = why
	}
	for name := range c.topics {
		c.s.unlistenLocked(c, name)
	}
	c.s.open--
	c.s.log.Info("ended", "conn", c.id, "why", why, "open", c.s.open)
}

// abortLocked sends a RST, where the connection can.
func (c *client) abortLocked(why string) {
	c.endLocked(why)
	raw := rawConn(c.nc)
	if l, ok := raw.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // if it fails the connection is gone already
	}
	_ = raw.Close()
}

// closeLocked queues a Close; the socket ends when the client has answered it, or after closeWait.
func (c *client) closeLocked(code int, reason string) {
	if c.closing || c.muted {
		return
	}
	c.queueLocked(appendFrame(nil, opClose, closePayload(code, reason)), nil, 0)
	c.closing, c.closeBy = true, time.Now().Add(closeWait)
	if c.rec.Why == "" {
		c.rec.Why = fmt.Sprintf("Close %d %s", code, reason)
	}
	c.s.log.Info("closing", "conn", c.id, "code", code, "reason", reason)
	c.wakeUp()
}

// finLocked drops what is queued and sends a FIN without a Close.
func (c *client) finLocked(why string) {
	c.out, c.marks, c.later = c.out[:0], c.marks[:0], nil
	c.closing, c.hangUp = true, true
	if c.rec.Why == "" {
		c.rec.Why = why
	}
	c.wakeUp()
}

// finish sends a FIN and lets the reader wait for the client's.
func (c *client) finish() {
	c.s.mu.Lock()
	c.endLocked("FIN")
	c.hangUp, c.closeBy = false, time.Now().Add(closeWait)
	c.s.mu.Unlock()
	if h, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite() // if it fails the connection is gone already
	} else {
		_ = c.nc.Close()
	}
}

// queueLocked hands a frame to the writer. t is set for an event.
func (c *client) queueLocked(frame []byte, t *topic, n uint64) {
	if c.closing || c.muted {
		return
	}
	o, now := &c.s.o, time.Now()
	stuck := !c.writing.IsZero() && now.Sub(c.writing) >= slowAfter
	if o.Backlog > 0 && stuck && len(c.marks) >= o.Backlog || len(c.out)+len(frame) > maxQueue {
		c.s.violationLocked(c, RuleBacklog, fmt.Sprintf("%d messages wait", len(c.marks)+1))
		c.abortLocked("slow client")
		return
	}
	c.out = append(c.out, frame...)
	c.marks = append(c.marks, mark{end: len(c.out), topic: t, n: n})
	if len(c.marks) == 1 {
		c.wakeUp()
	}
}

// write is the writer: it writes what is queued, keeps the timers of the rules, and ends when the reader has.
func (c *client) write() {
	var out []byte
	var marks []mark
	var flood flood
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.s.mu.Lock()
		next := c.onTimersLocked(time.Now())
		out, c.out = c.out, out[:0]
		marks, c.marks = c.marks, marks[:0]
		hangUp := c.hangUp && len(out) == 0
		saturate := c.s.o.Saturate && len(c.topics) > 0 && !c.closing && !c.muted
		if len(out) > 0 {
			c.writing = time.Now()
		}
		c.s.mu.Unlock()

		switch {
		case len(out) > 0:
			_ = c.nc.SetWriteDeadline(time.Now().Add(writeWait))
			n, err := c.nc.Write(out)
			c.wrote(marks, n, err)
			if err != nil {
				return
			}
		case hangUp:
			c.finish()
		case saturate:
			if err := c.flood(&flood); err != nil {
				return
			}
		default:
			timer.Reset(time.Until(next))
			select {
			case <-c.wake:
			case <-timer.C:
			case <-c.done:
				return
			}
		}
	}
}

// wrote records what reached the socket.
func (c *client) wrote(marks []mark, n int, err error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.writing = time.Time{}
	for _, m := range marks {
		if m.topic != nil && m.end <= n {
			m.topic.sentLocked(c.id, m.n, m.n)
			c.rec.Events++
		}
	}
	c.failedLocked(err)
}

// failedLocked ends the socket after a write that failed.
func (c *client) failedLocked(err error) {
	if err == nil {
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.abortLocked("slow client")
	} else {
		c.endLocked(whyEnded(err))
		_ = c.nc.Close()
	}
}
