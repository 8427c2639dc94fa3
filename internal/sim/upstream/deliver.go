package upstream

import (
	"bytes"
	"time"
)

// maxLate is how many events wait for a client that lags; past it the oldest goes early, so that none is lost.
const maxLate = 10_000

// lateEvent is an event on its way to a client that lags.
type lateEvent struct {
	due        time.Time
	frame      []byte
	sentLocked func()
}

// DeliverLocked is QueueLocked for the frame of an event, which is the caller's again when it returns: a client that
// lags gets it later, in the same order. False: the client is starved and does not get it.
func (c *Client) DeliverLocked(frame []byte, sentLocked func()) bool {
	if c.s.starved[c.ID] {
		c.StruckLocked(FaultStarve)
		return false
	}
	if c.starvedLocked() {
		return false
	}
	lag := c.s.lags[c.ID]
	if lag > 0 {
		c.StruckLocked(FaultLag)
	} else if len(c.late) == 0 {
		c.QueueLocked(frame, sentLocked)
		return true
	}
	if c.closing || c.muted {
		return true
	}
	c.late = append(c.late, lateEvent{time.Now().Add(lag), bytes.Clone(frame), sentLocked})
	if len(c.late) > maxLate {
		c.late[0].due = time.Time{}
	}
	c.onLateLocked()
	return true
}

// onLateLocked queues the events that are due. One that is due before those that happened earlier waits for them.
func (c *Client) onLateLocked() {
	now := time.Now()
	for len(c.late) > 0 && !c.late[0].due.After(now) {
		first := c.late[0]
		c.late = c.late[1:]
		c.QueueLocked(first.frame, first.sentLocked)
	}
	if len(c.late) > 0 {
		c.lateDue.SetLocked(c.late[0].due.Sub(now))
	}
}

// starvedLocked says whether the client gets no events because newer connections filled the upstream's limit.
func (c *Client) starvedLocked() bool {
	s := c.s
	if !s.o.Starve || s.o.Connections <= 0 || s.open <= s.o.Connections {
		return false
	}
	newer := 0
	for _, other := range s.active {
		if other.ID > c.ID && !other.ended {
			newer++
		}
	}
	return newer >= s.o.Connections
}

// SetLag makes connection id get its events d later than they happen, in the same order; 0 ends that. Events that still
// wait when the connection begins to close are not sent. The connection may be one that is yet to come; false: it has
// ended. With Saturate neither this nor StarveConn does anything.
func (s *Server) SetLag(id int, d time.Duration) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if d <= 0 {
		delete(s.lags, id)
		return !s.PastLocked(id)
	}
	if !s.ArmLocked(FaultLag, id) {
		return false
	}
	s.lags[id] = d
	return true
}

// StarveConn makes connection id get no events any more, while everything else goes on. The connection may be one that is
// yet to come; false: it has ended.
func (s *Server) StarveConn(id int) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if !s.ArmLocked(FaultStarve, id) {
		return false
	}
	s.starved[id] = true
	return true
}
