package sim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// handshake answers the request that opens a WebSocket, or does not, as the faults say. False: the socket is done with.
func (c *client) handshake() bool {
	_ = c.nc.SetDeadline(time.Now().Add(15 * time.Second)) // nothing to lose if it fails: the read does, too
	s := c.s
	s.mu.Lock()
	o := s.o
	refused := o.Refuse > 0 && c.rand.Float64() < o.Refuse
	if refused && o.RefuseStatus < 0 {
		s.firedLocked(FaultRefuse, c)
		c.abortLocked("refused with a RST")
		s.mu.Unlock()
		return false
	}
	s.mu.Unlock()

	key, err := readHandshake(c.br)
	if err != nil {
		if errors.Is(err, errUpgrade) {
			s.mu.Lock()
			s.violationLocked(c, RuleHandshake, err.Error())
			s.mu.Unlock()
			c.answerAndEnd(httpAnswer(400, ""), err.Error())
			return false
		}
		s.mu.Lock()
		c.endLocked(whyEnded(err))
		s.mu.Unlock()
		return false
	}
	if o.HandshakeDelay > 0 && !c.stall(o.HandshakeDelay) {
		return false
	}
	_ = c.nc.SetDeadline(time.Now().Add(writeWait))
	switch {
	case refused:
		s.mu.Lock()
		s.firedLocked(FaultRefuse, c)
		s.mu.Unlock()
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
		s.mu.Lock()
		s.firedLocked(FaultAcceptThenClose, c)
		c.rec.Upgraded = time.Now()
		s.mu.Unlock()
		c.answerAndEnd(switchingProtocols(key), "accepted, then closed")
		return false
	}
	if _, err := c.nc.Write(switchingProtocols(key)); err != nil {
		return false
	}
	_ = c.nc.SetDeadline(time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	c.rec.Upgraded, c.upgraded = now, true
	c.firstListenBy, c.pingBy, c.nextWSPing = after(now, o.FirstListen), after(now, o.Idle), after(now, o.WSPing)
	return true
}

// after is when a rule strikes, or zero where it is off.
func after(now time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return now.Add(d)
}

// stall waits for d, or less if the client gives up: then it returns false.
func (c *client) stall(d time.Duration) bool {
	c.s.mu.Lock()
	c.s.firedLocked(FaultHandshakeDelay, c)
	c.s.mu.Unlock()
	until := time.Now().Add(d)
	_ = c.nc.SetDeadline(until)
	_, err := c.br.Peek(c.br.Buffered() + 1) // a client has nothing to say before the answer
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		if err == nil {
			err = errors.New("the client did not wait for the handshake's answer")
		}
		c.endLocked(whyEnded(err))
		return false
	}
	return true
}

// answerAndEnd writes b and a FIN, and reads on until the client's FIN, so that no RST overtakes b.
func (c *client) answerAndEnd(b []byte, why string) {
	_, err := c.nc.Write(b)
	c.s.mu.Lock()
	c.rec.Why = why
	c.s.mu.Unlock()
	c.finish()
	if err == nil {
		_ = c.nc.SetReadDeadline(time.Now().Add(closeWait))
		_, _ = io.Copy(io.Discard, c.br) // its end is all that matters
	}
}
