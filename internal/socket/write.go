package socket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

const (
	pongEvery = 100 * time.Millisecond // at most ten a second
	keptFrame = 64 << 10               // of memory kept from one write to the next
)

// Write sends one message as one frame, in one write to the socket. It waits for its turn and for the socket, ten
// seconds for each write before it; a frame that could not be written in its ten seconds ends the connection, since
// the peer may have got a part of it. payload is neither changed nor kept.
//
// After Leave, or once the peer's Close was answered, it returns ErrClosing.
func (c *Conn) Write(kind Kind, payload []byte) error {
	op := ws.OpText
	if kind == Binary {
		op = ws.OpBinary
	}
	return c.send(op, payload)
}

// Ping sends a ping without a payload. LastPong tells of the answer.
func (c *Conn) Ping() error { return c.send(ws.OpPing, nil) }

func (c *Conn) send(op ws.OpCode, payload []byte) error {
	select {
	case c.turn <- struct{}{}:
	case <-c.stopped:
		return c.stopCause
	}
	defer func() { <-c.turn }()
	return c.sendInTurn(op, payload)
}

// sendInTurn writes one frame, masked with fresh random bytes. A Close frame is the last.
func (c *Conn) sendInTurn(op ws.OpCode, payload []byte) error {
	select {
	case <-c.stopped:
		return c.stopCause
	default:
	}
	if c.writeErr != nil {
		return c.writeErr
	}
	h := ws.Header{Fin: true, OpCode: op, Masked: true, Length: int64(len(payload))}
	binary.LittleEndian.PutUint32(h.Mask[:], uint32(c.masks.Uint64()))
	c.out.Reset()
	ws.WriteHeaderBuffer(&c.out, h, c.outHeader[:])
	begin := c.out.Len()
	c.out.Write(payload)
	ws.Cipher(c.out.Bytes()[begin:], h.Mask, 0)

	c.wire.beginWrite()
	_, err := c.stream.Write(c.out.Bytes())
	c.wire.endWrite()
	if c.out.Cap() > keptFrame {
		c.out = bytes.Buffer{}
	}
	if err != nil {
		return c.writeFailed(err)
	}
	if op == ws.OpClose {
		c.writeErr = ErrClosing
	}
	return nil
}

// writeFailed ends the writing side. A peer that does not take our bytes is reset. One that is gone may have said why
// in a Close that has arrived and waits to be read, so the reader gets a moment to find it.
func (c *Conn) writeFailed(err error) error {
	select {
	case <-c.stopped: // by Abort or Close: what the write met is only the consequence
		return c.stopCause
	default:
	}
	timeout := errors.Is(err, os.ErrDeadlineExceeded)
	err = fmt.Errorf("writing: %w", err)
	c.writeErr = err
	if timeout {
		c.stop(err)
		c.wire.reset()
	} else {
		c.wire.limitReads(err)
	}
	return err
}

// pong is the answer that is due to the peer's pings.
type pong struct {
	mu      sync.Mutex // never held while something may block
	payload []byte     // of the newest ping
	due     bool       // it is not answered yet
	running bool       // timer is set, or the answer is being written
	sent    time.Time
	timer   *time.Timer
}

// answer makes sure that the newest ping is answered, soon but not more often than every pongEvery. A timer's goroutine
// writes, one at a time, so that reading never waits for writing; it ends with the connection.
func (c *Conn) answer(payload []byte) {
	p := &c.pong
	p.mu.Lock()
	defer p.mu.Unlock()
	p.payload = append(p.payload[:0], payload...)
	p.due = true
	if p.running {
		return
	}
	p.running = true
	wait := max(0, pongEvery-time.Since(p.sent))
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, c.writePong)
	} else {
		p.timer.Reset(wait)
	}
}

func (c *Conn) writePong() {
	p := &c.pong
	var payload [ws.MaxControlFramePayloadSize]byte
	p.mu.Lock()
	n := copy(payload[:], p.payload)
	p.due = false
	p.sent = time.Now()
	p.mu.Unlock()

	err := c.send(ws.OpPong, payload[:n])

	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = p.due && err == nil
	if p.running {
		p.timer.Reset(pongEvery)
	}
}

// stopPong drops an answer that is still due.
func (c *Conn) stopPong() {
	c.pong.mu.Lock()
	defer c.pong.mu.Unlock()
	if c.pong.timer != nil {
		c.pong.timer.Stop()
	}
}
