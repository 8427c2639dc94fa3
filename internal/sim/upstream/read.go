package upstream

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxRequest is the longest message from a client, in bytes.
const maxRequest = 64 << 10

// handshake answers the request that opens a WebSocket, or does not, as the faults say. False: the socket is done with.
func (c *Client) handshake() bool {
	_ = c.nc.SetDeadline(time.Now().Add(15 * time.Second)) // nothing to lose if it fails: the read does, too
	s := c.s
	s.Mu.Lock()
	o := s.o
	refused := o.Refuse > 0 && c.Rand.Float64() < o.Refuse
	if refused && o.RefuseStatus < 0 {
		c.FiredLocked(FaultRefuse)
		c.abortLocked("refused with a RST")
		s.Mu.Unlock()
		return false
	}
	s.Mu.Unlock()

	key, err := readHandshake(c.br)
	if errors.Is(err, errUpgrade) {
		s.Mu.Lock()
		c.ViolationLocked(RuleHandshake, err.Error())
		s.Mu.Unlock()
		c.answerAndEnd(httpAnswer(400, ""), err.Error())
		return false
	}
	if err == nil && o.HandshakeDelay > 0 {
		err = c.stall(o.HandshakeDelay)
	}
	if err != nil {
		s.Mu.Lock()
		c.endLocked(whyEnded(err))
		s.Mu.Unlock()
		return false
	}
	_ = c.nc.SetDeadline(time.Now().Add(writeWait))
	switch {
	case refused:
		s.Mu.Lock()
		c.FiredLocked(FaultRefuse)
		s.Mu.Unlock()
		header := ""
		if o.RetryAfter > 0 {
			header = fmt.Sprintf("Retry-After: %d\r\n", int(o.RetryAfter.Round(time.Second)/time.Second))
		}
		c.answerAndEnd(httpAnswer(o.RefuseStatus, header), fmt.Sprintf("refused with %d", o.RefuseStatus))
		return false
	case c.tooMany && !o.Starve:
		c.answerAndEnd(httpAnswer(429, ""), "refused with 429: too many connections")
		return false
	case o.AcceptThenClose:
		s.Mu.Lock()
		c.FiredLocked(FaultAcceptThenClose)
		c.rec.Upgraded = time.Now()
		s.Mu.Unlock()
		c.answerAndEnd(switchingProtocols(key), "accepted, then closed")
		return false
	}
	if _, err := c.nc.Write(switchingProtocols(key)); err != nil {
		return false
	}
	_ = c.nc.SetDeadline(time.Time{})
	s.Mu.Lock()
	defer s.Mu.Unlock()
	c.rec.Upgraded, c.upgraded = time.Now(), true
	c.Session.OpenedLocked()
	c.wsPing.SetLocked(s.o.WSPing)
	return true
}

// stall waits for d, or less if the client gives up: then it returns why.
func (c *Client) stall(d time.Duration) error {
	c.s.Mu.Lock()
	c.FiredLocked(FaultHandshakeDelay)
	c.s.Mu.Unlock()
	_ = c.nc.SetDeadline(time.Now().Add(d))
	_, err := c.br.Peek(c.br.Buffered() + 1) // a client has nothing to say before the answer
	switch {
	case err == nil:
		return errors.New("the client did not wait for the handshake's answer")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return err
}

// answerAndEnd writes b and a FIN, and reads on until the client's FIN, so that no RST overtakes b.
func (c *Client) answerAndEnd(b []byte, why string) {
	_, err := c.nc.Write(b)
	c.s.Mu.Lock()
	c.rec.Why = why
	c.s.Mu.Unlock()
	c.finish()
	if err == nil {
		_ = c.nc.SetReadDeadline(time.Now().Add(closeWait))
		_, _ = io.Copy(io.Discard, c.br) // its end is all that matters
	}
}

// read is the reader: it returns what ended the reading.
func (c *Client) read() error {
	var message []byte // the fragments of one that is not complete
	for {
		f, err := readFrame(c.br, maxRequest)
		if err != nil && !errors.Is(err, errFrameTooBig) {
			return err
		}
		c.s.Mu.Lock()
		switch {
		case err != nil || len(message)+len(f.payload) > maxRequest:
			c.ViolationLocked(RuleFrame, errFrameTooBig.Error())
			c.CloseLocked(CloseTooBig, "too big")
			c.finishSoonLocked()
		case f.op < opClose && f.masked:
			message = append(message, f.payload...)
			if f.fin {
				if !c.closing && !c.muted {
					c.Session.MessageLocked(message)
					c.wakeUp() // the session may have something to flood with now
				}
				message = nil
			}
		default:
			c.onControlLocked(f)
		}
		c.s.Mu.Unlock()
		if err != nil { // the rest of that frame cannot be told from the next
			_, _ = io.Copy(io.Discard, c.br)
			return err
		}
	}
}

// finishSoonLocked makes the writer end the connection with a FIN once it has written what is queued.
func (c *Client) finishSoonLocked() {
	if !c.muted && !c.ended {
		c.hangUp = true
		c.wakeUp()
	}
}

func (c *Client) onControlLocked(f frame) {
	switch {
	case c.muted:
	case !f.masked:
		c.ViolationLocked(RuleFrame, "not masked")
		c.CloseLocked(CloseProtocolError, "not masked")
	case f.op == opPing:
		c.QueueLocked(appendFrame(nil, opPong, f.payload), nil)
	case f.op == opPong:
		c.wsPong.SetLocked(0)
	case f.op == opClose:
		if !c.closing {
			c.rec.Why = "Close from the client"
			c.QueueLocked(appendFrame(nil, opClose, f.payload), nil)
			c.closing = true
		}
		c.finishSoonLocked()
	default:
		c.ViolationLocked(RuleFrame, fmt.Sprintf("opcode %d", f.op))
		c.CloseLocked(CloseProtocolError, "unknown opcode")
	}
}
