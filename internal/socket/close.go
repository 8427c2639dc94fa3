package socket

import (
	"encoding/binary"
	"errors"
	"net"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const noCode = 1005 // stands for a Close frame without a code

// validCode reports whether a Close frame may carry code: those of RFC 6455 and of the IANA registry that travel, and
// the ranges of libraries and applications.
func validCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

// parseClose reads the payload of the peer's Close frame: *CloseError, or *ProtocolError where it is malformed.
func (c *Conn) parseClose(payload []byte) error {
	if len(payload) == 0 {
		return &CloseError{Code: noCode}
	}
	if len(payload) == 1 {
		return &ProtocolError{Code: 1002, Reason: "Close frame of one byte"}
	}
	code, reason := ws.ParseCloseFrameData(payload)
	switch {
	case !validCode(int(code)):
		return &ProtocolError{Code: 1002, Reason: "Close frame with a code that must not be sent"}
	case !utf8.ValidString(reason):
		return &ProtocolError{Code: 1007, Reason: "Close frame whose reason is not UTF-8"}
	}
	return &CloseError{Code: int(code), Reason: c.Redact(reason)}
}

// Leave begins the close handshake: it sends one Close frame, taking one second at most, after which nothing leaves.
// Read goes on delivering messages until the peer's Close, then discards until its FIN, all together for at most two
// seconds, and then returns *CloseError, ErrNoClose or ErrUnanswered. A reason of more than 123 bytes is cut.
func (c *Conn) Leave(code int, reason string) {
	c.wire.limitReads(ErrUnanswered)
	c.sendClose(code, reason)
}

// sendClose sends a Close frame unless one was sent, or nothing can be.
func (c *Conn) sendClose(code int, reason string) {
	c.wire.limitWrites()
	var payload []byte
	if code != noCode {
		payload = binary.BigEndian.AppendUint16(nil, uint16(code))
		payload = append(payload, cut(reason, ws.MaxControlFramePayloadSize-2)...)
	}
	c.send(ws.OpClose, payload)
}

// Abort ends the connection at once, with RST where there is TCP below. It never blocks.
func (c *Conn) Abort() {
	c.stop(ErrAborted)
	c.wire.reset()
}

// Close releases the connection once Read has returned its error. Earlier, it ends it without a Close frame. It takes
// one second at most, for TLS to say goodbye, and only the first call does anything.
func (c *Conn) Close() error {
	if c.released.Swap(true) {
		return nil
	}
	c.stop(net.ErrClosed)
	if err := c.stream.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// stop ends the writing side for all who wait or come later. The first cause stays.
func (c *Conn) stop(cause error) {
	c.stopOnce.Do(func() {
		c.stopCause = cause
		close(c.stopped)
		c.stopPong()
	})
}

// RemoteAddr is the peer's address, or that of the proxy before it.
func (c *Conn) RemoteAddr() string { return c.wire.RemoteAddr().String() }
