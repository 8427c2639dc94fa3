package upstream

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

	"feedmux/internal/sim/websocket"
)

const (
	maxQueue   = 32 << 20 // bytes that wait for one client, past which it is cut off whatever the rules are
	slowAfter  = 100 * time.Millisecond
	writeWait  = 10 * time.Second // a client that takes nothing for so long is cut off
	closeWait  = 2 * time.Second  // between our Close or FIN and the client's
	muteLinger = time.Minute      // a silent connection is kept after the client's FIN, unanswered
)

// Client is one socket, seen from the server. A reader (the goroutine of serve) and a writer work on it.
type Client struct {
	ID      int        // in the order of accepting, from 1; immutable
	Session Session    // immutable
	Rand    *rand.Rand // of the seed; for what is decided about a message while it is handled

	s    *Server
	nc   net.Conn
	br   *bufio.Reader // owned by the reader
	wake chan struct{} // one slot: a wake-up that was not taken stands for all later ones
	done chan struct{} // closed when the reader has ended

	tooMany bool // the limit was reached before it; immutable once admitted

	// Guarded by s.Mu.
	rec     Record
	out     []byte // frames that wait for the writer
	marks   []mark // one for each of them
	timers  []*Timer
	wsPing  *Timer
	wsPong  *Timer
	life    *Timer
	late    []lateEvent // in the order in which they happened
	lateDue *Timer      // armed while there are any
	writing time.Time   // since when a write is under way; zero: none

	upgraded bool // the handshake is done and the writer runs
	muted    bool
	left     bool      // the client sent a Close that waits for its answer
	parting  bool      // we queued a Close
	closing  bool      // nothing more is queued
	hangUp   bool      // the writer sends a FIN as soon as the queue is empty
	ended    bool      // FIN or RST was sent or seen
	closeBy  time.Time // when the client's side of a Close or FIN is waited for no more; zero: it is not
}

// mark is the end of a frame in the queue.
type mark struct {
	end        int
	sentLocked func() // called when the frame was written; may be nil
}

func newClient(s *Server, id int, nc net.Conn) *Client {
	c := &Client{
		ID: id, s: s, nc: nc,
		Rand: rand.New(rand.NewPCG(s.seed, 1000+uint64(id))),
		br:   bufio.NewReader(nc),
		wake: make(chan struct{}, 1),
		done: make(chan struct{}),
		rec:  Record{ID: id, Remote: nc.RemoteAddr().String(), Accepted: time.Now()},
	}
	c.wsPing, c.wsPong = c.NewTimer(c.onWSPingLocked), c.NewTimer(c.onNoPongLocked)
	c.life, c.lateDue = c.NewTimer(c.onLifeLocked), c.NewTimer(c.onLateLocked)
	c.Session = s.protocol.JoinLocked(c)
	return c
}

func rawConn(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		return t.NetConn()
	}
	return nc
}

func (c *Client) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// serve is the life of one socket.
func (c *Client) serve(ctx context.Context) {
	defer func() {
		c.s.Mu.Lock()
		defer c.s.Mu.Unlock()
		c.endLocked("it broke during the handshake")
		delete(c.s.active, c.ID)
		delete(c.s.lags, c.ID)
		delete(c.s.starved, c.ID)
		c.out, c.marks, c.timers, c.late = nil, nil, nil, nil
	}()
	defer c.nc.Close()
	if !c.handshake() {
		return
	}
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.read()
	c.s.Mu.Lock()
	silent := c.muted && !c.ended
	c.endLocked(whyEnded(err))
	c.s.Mu.Unlock()
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

// endLocked is called when a FIN or RST was seen or is about to be sent: the socket no longer counts. An earlier reason
// stays.
func (c *Client) endLocked(why string) {
	if c.ended {
		return
	}
	c.ended, c.closing = true, true
	c.rec.Ended = time.Now()
	c.whyLocked(why)
	c.Session.EndedLocked()
	c.s.open--
	c.s.Log.Info("ended", "conn", c.ID, "why", why, "open", c.s.open)
}

// ClosedLocked says whether either side has said Close; a socket that ends without one dropped uncleanly.
func (c *Client) ClosedLocked() bool { return c.left || c.parting }

func (c *Client) whyLocked(why string) {
	if c.rec.Why == "" {
		c.rec.Why = why
	}
}

// abortLocked sends a RST, where the connection can.
func (c *Client) abortLocked(why string) {
	c.endLocked(why)
	raw := rawConn(c.nc)
	if l, ok := raw.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // if it fails the connection is gone already
	}
	_ = raw.Close()
}

// CloseLocked queues a Close; the socket ends when the client has answered it, or some seconds later.
func (c *Client) CloseLocked(code int, reason string) {
	if c.closing || c.muted {
		return
	}
	c.QueueLocked(websocket.AppendFrame(nil, websocket.OpClose, websocket.ClosePayload(code, reason)), nil)
	c.closing, c.parting, c.closeBy = true, true, time.Now().Add(closeWait)
	c.whyLocked(fmt.Sprintf("Close %d %s", code, reason))
	c.s.Log.Info("closing", "conn", c.ID, "code", code, "reason", reason)
	c.wakeUp()
}

// DismissLocked ends the connection as code says: a Close with it, or EndFIN, or EndRST.
func (c *Client) DismissLocked(code int, reason string) {
	switch code {
	case EndFIN:
		c.FINLocked("FIN: " + reason)
	case EndRST:
		c.abortLocked("RST: " + reason)
	default:
		c.CloseLocked(code, reason)
	}
}

// FINLocked drops what is queued and sends a FIN without a Close.
func (c *Client) FINLocked(why string) {
	c.dropLocked()
	c.closing, c.hangUp = true, true
	c.whyLocked(why)
	c.wakeUp()
}

func (c *Client) dropLocked() { c.out, c.marks = c.out[:0], c.marks[:0] }

// finish sends a FIN and lets the reader wait for the client's.
func (c *Client) finish() {
	c.s.Mu.Lock()
	c.endLocked("FIN")
	c.hangUp, c.closeBy = false, time.Now().Add(closeWait)
	c.s.Mu.Unlock()
	if h, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite() // if it fails the connection is gone already
	} else {
		_ = c.nc.Close()
	}
}

// QueueLocked hands a frame to the writer, which calls sentLocked, if it is set, when the frame was written.
func (c *Client) QueueLocked(frame []byte, sentLocked func()) {
	if c.closing || c.muted {
		return
	}
	o, now := &c.s.o, time.Now()
	stuck := !c.writing.IsZero() && now.Sub(c.writing) >= slowAfter
	if o.Backlog > 0 && stuck && len(c.marks) >= o.Backlog || len(c.out)+len(frame) > maxQueue {
		c.ViolationLocked(RuleBacklog, fmt.Sprintf("%d messages wait", len(c.marks)+1))
		c.abortLocked("slow client")
		return
	}
	c.out = append(c.out, frame...)
	c.marks = append(c.marks, mark{len(c.out), sentLocked})
	if len(c.marks) == 1 {
		c.wakeUp()
	}
}

// write is the writer: it writes what is queued, keeps the timers, and ends when the reader has.
func (c *Client) write() {
	var out []byte
	var marks []mark
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.s.Mu.Lock()
		next := c.onTimersLocked(time.Now())
		out, c.out = c.out, out[:0]
		marks, c.marks = c.marks, marks[:0]
		if len(out) > 0 {
			c.writing = time.Now()
		}
		hangUp := c.hangUp
		saturate := c.s.o.Saturate && !c.closing && !c.muted
		c.s.Mu.Unlock()

		batch, sentLocked := out, func(n int) { sentOf(marks, n) }
		if len(batch) == 0 && saturate {
			batch, sentLocked = c.Session.Flood()
		}
		switch {
		case len(batch) > 0:
			_ = c.nc.SetWriteDeadline(time.Now().Add(writeWait))
			n, err := c.nc.Write(batch)
			c.s.Mu.Lock()
			c.writing = time.Time{}
			sentLocked(n)
			c.failedLocked(err)
			c.s.Mu.Unlock()
			if err != nil {
				return
			}
		case hangUp:
			c.finish()
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

// sentOf tells of the frames in the first n bytes.
func sentOf(marks []mark, n int) {
	for _, m := range marks {
		if m.sentLocked != nil && m.end <= n {
			m.sentLocked()
		}
	}
}

// failedLocked ends the socket after a write that failed.
func (c *Client) failedLocked(err error) {
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.abortLocked("slow client")
	default:
		c.endLocked(whyEnded(err))
		_ = c.nc.Close()
	}
}
