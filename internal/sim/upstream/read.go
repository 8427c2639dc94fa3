package upstream

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"feedmux/internal/sim/websocket"
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
	if s.refuse != 0 {
		refused, o.RefuseStatus = true, s.refuse
	}
	if refused && o.RefuseStatus < 0 {
		c.FiredLocked(FaultRefuse)
		c.abortLocked("refused with a RST")
		s.Mu.Unlock()
		return false
	}
	s.Mu.Unlock()

	req, key, err := websocket.ReadHandshake(c.br)
	if errors.Is(err, websocket.ErrNoHandshake) {
		s.Mu.Lock()
		c.ViolationLocked(RuleHandshake, err.Error())
		s.Mu.Unlock()
		c.answerAndEnd(websocket.HTTPAnswer(400, ""), err.Error())
		return false
	}
	denied := 0
	var denial []byte
	if d, ok := c.Session.(Doorkeeper); ok && err == nil {
		s.Mu.Lock()
		if denied = d.RequestLocked(req); denied != 0 {
			denial = c.denialLocked(denied)
		}
		s.Mu.Unlock()
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
		if o.RefuseLocation != "" {
			header = "Location: " + o.RefuseLocation + "\r\n"
		}
		if o.RetryAfter > 0 {
			header += fmt.Sprintf("Retry-After: %d\r\n", int(o.RetryAfter.Round(time.Second)/time.Second))
		}
		c.answerAndEnd(websocket.HTTPAnswer(o.RefuseStatus, header), fmt.Sprintf("refused with %d", o.RefuseStatus))
		return false
	case c.tooMany && !o.Starve:
		c.answerAndEnd(websocket.HTTPAnswer(429, ""), "refused with 429: too many connections")
		return false
	case denied != 0:
		c.answerAndEnd(denial, fmt.Sprintf("denied with %d", denied))
		return false
	case o.AcceptThenClose:
		s.Mu.Lock()
		c.FiredLocked(FaultAcceptThenClose)
		c.rec.Upgraded = time.Now()
		s.Mu.Unlock()
		c.answerAndEnd(websocket.SwitchingProtocols(key), "accepted, then closed")
		return false
	}
	if _, err := c.nc.Write(websocket.SwitchingProtocols(key)); err != nil {
		return false
	}
	_ = c.nc.SetDeadline(time.Time{})
	s.Mu.Lock()
	defer s.Mu.Unlock()
	c.rec.Upgraded, c.upgraded = time.Now(), true
	c.Session.OpenedLocked()
	c.wsPing.SetLocked(s.o.WSPing)
	c.life.SetLocked(s.o.Life)
	return true
}

// denialLocked is the answer to a handshake that the session refused.
func (c *Client) denialLocked(status int) []byte {
	if e, ok := c.Session.(Explainer); ok {
		contentType, body := e.RefusalLocked(status)
		return websocket.HTTPAnswerWith(status, "Content-Type: "+contentType+"\r\n", body)
	}
	return websocket.HTTPAnswer(status, "")
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
		f, err := websocket.ReadFrame(c.br, maxRequest)
		if err != nil && !errors.Is(err, websocket.ErrTooBig) {
			return err
		}
		c.s.Mu.Lock()
		switch {
		case err != nil || len(message)+len(f.Payload) > maxRequest:
			c.ViolationLocked(RuleFrame, websocket.ErrTooBig.Error())
			c.CloseLocked(CloseTooBig, "too big")
			c.finishSoonLocked()
		case f.Op < websocket.OpClose && f.Masked:
			message = append(message, f.Payload...)
			if f.FIN {
				if !c.closing && !c.muted && !c.left {
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

func (c *Client) onControlLocked(f websocket.Frame) {
	switch {
	case c.muted:
	case !f.Masked:
		c.ViolationLocked(RuleFrame, "not masked")
		c.CloseLocked(CloseProtocolError, "not masked")
	case f.Op == websocket.OpPing:
		c.QueueLocked(websocket.AppendFrame(nil, websocket.OpPong, f.Payload), nil)
	case f.Op == websocket.OpPong:
		c.wsPong.SetLocked(0)
	case f.Op == websocket.OpClose:
		switch {
		case c.closing:
			c.finishSoonLocked()
		case !c.left:
			c.left = true
			c.rec.Why = "Close from the client"
			c.answerCloseLocked(f.Payload)
		}
	default:
		c.ViolationLocked(RuleFrame, fmt.Sprintf("opcode %d", f.Op))
		c.CloseLocked(CloseProtocolError, "unknown opcode")
	}
}

// answerCloseLocked answers the client's Close and then sends a FIN, after CloseDelay.
func (c *Client) answerCloseLocked(payload []byte) {
	answerLocked := func() {
		c.QueueLocked(websocket.AppendFrame(nil, websocket.OpClose, payload), nil)
		c.closing = true
		c.finishSoonLocked()
	}
	if d := c.s.o.CloseDelay; d > 0 {
		c.FiredLocked(FaultCloseDelay)
		c.NewTimer(answerLocked).SetLocked(d)
		return
	}
	answerLocked()
}
