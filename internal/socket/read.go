package socket

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	ceiling   = 16 << 20  // of a message, whatever Options say
	growStep  = 32 << 10  // memory taken before the bytes for it came
	keptBytes = 256 << 10 // of memory kept from one message to the next
)

// Message is one complete message.
type Message struct {
	Kind     Kind
	Data     []byte    // valid until the next Read; text is valid UTF-8
	TooBig   bool      // it was longer than Options.MaxMessage and was skipped: Data is nil
	Received time.Time // when its last bytes were read from the socket
}

// Read waits for the next message, answering pings and Close meanwhile. One goroutine may call it. After an error it
// is over, and every further call returns that error.
//
// The errors are *CloseError, *ProtocolError, ErrNoClose, ErrTooBig, ErrStalled, ErrUnanswered, ErrAborted,
// net.ErrClosed after Close, a failed write, or what the network says, wrapped.
//
// Once the close handshake is done, or failed for a reason that the peer was told, Read waits for the peer's FIN before
// it returns, for two seconds at most: PeerGone then knows.
func (c *Conn) Read() (Message, error) {
	if c.err == nil {
		m, err := c.readMessage()
		if err == nil {
			return m, nil
		}
		c.err = c.finish(err)
		c.stop(c.err)
	}
	return Message{}, c.err
}

// OnWait has Read call f each time before it waits for the network. Between two such calls Read only takes messages
// apart that are here already, so a caller may do for many at once what it would otherwise do for each. It is called
// before the first Read.
func (c *Conn) OnWait(f func()) { c.wire.onWait = f }

func (c *Conn) readMessage() (m Message, err error) {
	c.br.Discard(c.held)
	c.held = 0
	if cap(c.buf) > keptBytes {
		c.buf = nil
	}
	c.buf = c.buf[:0]
	state := ws.StateClientSide
	for total := int64(0); ; {
		h, err := c.readHeader(state)
		if err != nil {
			return m, err
		}
		if h.OpCode.IsControl() {
			if err := c.onControl(h); err != nil {
				return m, err
			}
			if !state.Fragmented() {
				c.wire.messageDone()
			}
			continue
		}
		switch h.OpCode {
		case ws.OpText:
			m.Kind = Text
		case ws.OpBinary:
			m.Kind = Binary
		}
		if h.Length > ceiling-total {
			return m, ErrTooBig
		}
		total += h.Length
		n := int(h.Length)
		switch {
		case total > c.maxMessage:
			m.TooBig = true
			_, err = c.br.Discard(n)
		case h.Fin && !state.Fragmented() && n <= c.br.Size():
			m.Data, err = c.br.Peek(n) // where most messages end: not copied
			c.held = n
		default:
			err = c.readInto(n)
			m.Data = c.buf
		}
		if err != nil {
			return m, err
		}
		if h.Fin {
			break
		}
		state = state.Set(ws.StateFragmented)
	}
	c.wire.messageDone()
	m.Received = c.wire.readAt
	if m.TooBig {
		m.Data = nil
	} else if m.Kind == Text && !utf8.Valid(m.Data) {
		return m, &ProtocolError{Code: 1007, Reason: "text is not UTF-8"}
	}
	return m, nil
}

// usualHeader reads the header that nearly all frames have: a whole, unmasked message of less than 64 KiB. n is how many
// bytes it takes; 0: it is another, or not here yet. ws.ReadHeaderBuffer, which reads all of them, takes four times as
// long, and at a million frames a second that is felt.
func usualHeader(br *bufio.Reader) (h ws.Header, n int) {
	if br.Buffered() < 4 {
		return h, 0
	}
	p, _ := br.Peek(4)
	h = ws.Header{Fin: true, OpCode: ws.OpCode(p[0] & 0x0f), Length: int64(p[1])}
	switch {
	case p[0] != 0x81 && p[0] != 0x82, p[1] > 126: // FIN with text or binary; no mask
		return h, 0
	case p[1] < 126:
		return h, 2
	}
	h.Length = int64(p[2])<<8 | int64(p[3])
	return h, 4
}

// readHeader waits for a frame, without a limit where it begins a message.
func (c *Conn) readHeader(state ws.State) (ws.Header, error) {
	if c.br.Buffered() == 0 {
		if _, err := c.br.Peek(1); err != nil {
			return ws.Header{}, err
		}
	}
	c.wire.inMessage = true
	if h, n := usualHeader(c.br); n > 0 && !state.Fragmented() {
		c.br.Discard(n)
		return h, nil
	}
	h, err := ws.ReadHeaderBuffer(c.br, c.header[:])
	if err == nil {
		err = ws.CheckHeader(h, state)
	}
	if err == nil {
		return h, nil
	}
	var broken ws.ProtocolError
	if errors.As(err, &broken) || errors.Is(err, ws.ErrHeaderLengthMSB) {
		err = &ProtocolError{Code: 1002, Reason: err.Error()}
	}
	return h, err
}

// readInto appends n bytes to buf, which grows as they come.
func (c *Conn) readInto(n int) error {
	for n > 0 {
		step := min(n, growStep)
		have := len(c.buf)
		c.buf = slices.Grow(c.buf, step)[:have+step]
		if _, err := io.ReadFull(c.br, c.buf[have:]); err != nil {
			return err
		}
		n -= step
	}
	return nil
}

func (c *Conn) onControl(h ws.Header) error {
	payload, err := c.br.Peek(int(h.Length)) // at most 125 bytes: CheckHeader
	if err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		c.answer(payload)
	case ws.OpPong:
		c.lastPong.Store(max(1, c.wire.lastRead.Load())) // 0 is never
	case ws.OpClose:
		return c.parseClose(payload)
	}
	_, err = c.br.Discard(len(payload))
	return err
}

// finish ends the reading side after err: it tells the peer what is due, waits for its FIN where one is to be expected,
// and returns the error that the caller gets.
func (c *Conn) finish(err error) error {
	var closed *CloseError
	var broken *ProtocolError
	switch {
	case errors.As(err, &closed):
		c.sendClose(closed.Code, "")
	case errors.As(err, &broken):
		c.sendClose(broken.Code, "")
	case errors.Is(err, ErrTooBig):
		c.sendClose(1009, "")
	default:
		return c.lost(err)
	}
	c.awaitEnd(err)
	return err
}

// lost names the end of a connection that nobody said Close to.
func (c *Conn) lost(err error) error {
	select {
	case <-c.stopped: // by Abort, Close or a write: what the read met is only the consequence
		return c.stopCause
	default:
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.wire.late()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.awaitEnd(ErrNoClose) // TLS may have ended before TCP does
		return ErrNoClose
	}
	return fmt.Errorf("reading: %w", err)
}

// awaitEnd discards what comes until the peer's FIN, for closeTime at most. It reads below TLS: only the end matters.
func (c *Conn) awaitEnd(why error) {
	c.wire.messageDone()
	c.wire.limitReads(why)
	if c.wire.end.Load() == endUnknown {
		io.Copy(io.Discard, c.wire)
	}
}

// LastRead is when any bytes last came. Its monotonic reading is exact.
func (c *Conn) LastRead() time.Time { return c.wire.when(c.wire.lastRead.Load()) }

// LastFrame is when the last message or control frame was complete; before the first, when the connection was made. It
// belongs to the goroutine that calls Read.
func (c *Conn) LastFrame() time.Time { return c.wire.frameAt }

// LastPong is when the bytes of the last pong came, whatever its payload; zero before the first.
func (c *Conn) LastPong() time.Time {
	if since := c.lastPong.Load(); since != 0 {
		return c.wire.when(since)
	}
	return time.Time{}
}

// PeerGone reports, once Read has returned its error, whether the peer's FIN or RST was seen: then the peer no longer
// counts this connection.
func (c *Conn) PeerGone() bool { return c.wire.end.Load() == endPeer }
