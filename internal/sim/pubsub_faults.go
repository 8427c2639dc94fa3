package sim

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Fault names something that goes wrong.
type Fault string

const (
	FaultAcceptThenClose Fault = "accept_then_close"
	FaultBadFrame        Fault = "bad_frame"
	FaultClose           Fault = "close"
	FaultDuplicate       Fault = "duplicate"
	FaultFIN             Fault = "fin"
	FaultGarbage         Fault = "garbage"
	FaultHandshakeDelay  Fault = "handshake_delay"
	FaultOversize        Fault = "oversize"
	FaultPongDelay       Fault = "pong_delay"
	FaultPongLoss        Fault = "pong_loss"
	FaultReconnect       Fault = "reconnect"
	FaultRefuse          Fault = "refuse"
	FaultReset           Fault = "reset"
	FaultResponseDelay   Fault = "response_delay"
	FaultResponseLoss    Fault = "response_loss"
	FaultRevoke          Fault = "revoke"
	FaultServerError     Fault = "server_error"
	FaultSilence         Fault = "silence"
	FaultStorm           Fault = "storm"
	FaultUnknown         Fault = "unknown"
)

// Reset sends a RST to connection id. It returns false where there is no such open connection, as all these methods do.
func (s *PubSub) Reset(id int) bool { return s.inject(FaultReset, id, (*client).doReset) }

// FIN sends a FIN without a Close.
func (s *PubSub) FIN(id int) bool { return s.inject(FaultFIN, id, (*client).doFIN) }

// Close sends a Close, then a FIN when it was answered.
func (s *PubSub) Close(id int, code int, reason string) bool {
	return s.inject(FaultClose, id, func(c *client) bool {
		c.closeLocked(code, reason)
		return true
	})
}

// Mute makes the connection silent for good: it stays open, nothing is answered and nothing sent. The client's FIN is not
// answered either, though the socket no longer counts after it.
func (s *PubSub) Mute(id int) bool { return s.inject(FaultSilence, id, (*client).doSilence) }

// Reconnect asks the client to move, and closes the connection after ReconnectGrace.
func (s *PubSub) Reconnect(id int) bool { return s.inject(FaultReconnect, id, (*client).doReconnect) }

// Garbage sends a text message that is not JSON: the first half of one that is.
func (s *PubSub) Garbage(id int) bool { return s.inject(FaultGarbage, id, (*client).doGarbage) }

// BadFrame sends a frame with an opcode that means nothing.
func (s *PubSub) BadFrame(id int) bool { return s.inject(FaultBadFrame, id, (*client).doBadFrame) }

// Oversize sends a MESSAGE of OversizeBytes for a topic of the connection. It has no number.
func (s *PubSub) Oversize(id int) bool { return s.inject(FaultOversize, id, (*client).doOversize) }

// Revoke takes topics from the connection and says so with AUTH_REVOKED. Topics that it does not have are named all the same.
func (s *PubSub) Revoke(id int, topics ...string) bool {
	return s.inject(FaultRevoke, id, func(c *client) bool {
		c.revokeLocked(topics)
		return true
	})
}

// ResetAll sends a RST to every open connection at once, those in their handshake too, and returns how many there were.
func (s *PubSub) ResetAll() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planned[FaultStorm]++
	return s.stormLocked()
}

func (s *PubSub) inject(f Fault, id int, strike func(*client) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planned[f]++
	c := s.active[id]
	if c == nil || !c.canStrike() || !strike(c) {
		return false
	}
	s.firedLocked(f, c)
	return true
}

// canStrike says whether the connection is open as far as a client can see.
func (c *client) canStrike() bool { return c.upgraded && !c.closing && !c.muted }

// The strikes are called with the simulator's lock, and return false where there was nothing to strike at.

func (c *client) doReset() bool {
	c.abortLocked("RST by plan")
	return true
}

func (c *client) doFIN() bool {
	c.finLocked("FIN by plan")
	return true
}

func (c *client) doClose() bool {
	c.closeLocked(c.s.o.CloseCode, "by plan")
	return true
}

func (c *client) doSilence() bool {
	c.muted = true
	c.out, c.marks, c.later = c.out[:0], c.marks[:0], nil
	return true
}

func (c *client) doReconnect() bool {
	c.sendAfterLocked(0, plain{"RECONNECT"})
	c.reconnectBy = after(time.Now(), c.s.o.ReconnectGrace)
	c.wakeUp()
	return true
}

func (c *client) doGarbage() bool {
	whole := TwitchFrames()[0].Frame
	c.queueLocked(appendFrame(nil, opText, []byte(whole[:len(whole)/2])), nil, 0)
	return true
}

func (c *client) doBadFrame() bool {
	c.queueLocked(appendFrame(nil, 11, []byte("?")), nil, 0)
	return true
}

func (c *client) doOversize() bool {
	if len(c.topics) == 0 {
		return false
	}
	head, middle, tail := c.s.envelopeLocked()
	b := head + c.s.topics[c.firstTopic()].quoted + middle + `{\"type\":\"viewcount\",\"padding\":\"`
	end := `\"}` + tail
	b += strings.Repeat("x", max(0, c.s.o.OversizeBytes-len(b)-len(end))) + end
	c.queueLocked(appendFrame(nil, opText, []byte(b)), nil, 0)
	return true
}

func (c *client) firstTopic() string { return slices.Min(c.topicNamesLocked()) }

func (c *client) doRevoke() bool {
	for _, name := range c.topicNamesLocked() {
		if c.s.o.needsToken(name) {
			c.revokeLocked([]string{name})
			return true
		}
	}
	return false
}

func (c *client) revokeLocked(topics []string) {
	for _, name := range topics {
		c.s.unlistenLocked(c, name)
	}
	type data struct {
		Topics []string `json:"topics"`
	}
	c.sendAfterLocked(0, struct {
		Type string `json:"type"`
		Data data   `json:"data"`
	}{"AUTH_REVOKED", data{topics}})
}

func (s *PubSub) stormLocked() int {
	struck := 0
	for _, c := range s.active {
		if !c.ended {
			c.abortLocked("RST by plan, to all")
			struck++
		}
	}
	if struck > 0 {
		s.fired[FaultStorm]++
		s.log.Warn("fault", "fault", FaultStorm, "conns", struck)
	}
	return struck
}

// schedule is a fault that strikes every so often.
type schedule struct {
	fault  Fault
	every  time.Duration
	strike func(*client) bool // nil: strikes all
}

// schedulesLocked returns all of them, in an order that never changes: each draws from the seed in turn.
func (s *PubSub) schedulesLocked() []schedule {
	o := &s.o
	return []schedule{
		{FaultReset, o.ResetEvery, (*client).doReset},
		{FaultFIN, o.FINEvery, (*client).doFIN},
		{FaultClose, o.CloseEvery, (*client).doClose},
		{FaultSilence, o.SilenceEvery, (*client).doSilence},
		{FaultReconnect, o.ReconnectEvery, (*client).doReconnect},
		{FaultGarbage, o.GarbageEvery, (*client).doGarbage},
		{FaultBadFrame, o.BadFrameEvery, (*client).doBadFrame},
		{FaultOversize, o.OversizeEvery, (*client).doOversize},
		{FaultRevoke, o.RevokeEvery, (*client).doRevoke},
		{FaultStorm, o.StormEvery, nil},
	}
}

// misbehave strikes when the options say so.
func (s *PubSub) misbehave(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	due := map[Fault]time.Time{}
	every := map[Fault]time.Duration{}
	for {
		s.mu.Lock()
		now := time.Now()
		next := now.Add(time.Hour)
		for _, p := range s.schedulesLocked() {
			if p.every <= 0 {
				delete(every, p.fault)
				continue
			}
			isDue := every[p.fault] == p.every && !now.Before(due[p.fault])
			if isDue || every[p.fault] != p.every {
				every[p.fault] = p.every
				due[p.fault] = now.Add(p.every/2 + time.Duration(s.strikes.Int64N(int64(p.every))))
			}
			if isDue {
				s.strikeLocked(p)
			}
			if due[p.fault].Before(next) {
				next = due[p.fault]
			}
		}
		changed := s.changed
		s.mu.Unlock()
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
	}
}

// strikeLocked strikes a connection that chance picks, or none where none is open.
func (s *PubSub) strikeLocked(p schedule) {
	if p.strike == nil {
		s.stormLocked()
		return
	}
	which := s.strikes.Uint64()
	var open []*client
	for _, c := range s.active {
		if c.canStrike() {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		return
	}
	slices.SortFunc(open, func(a, b *client) int { return a.id - b.id })
	if c := open[which%uint64(len(open))]; p.strike(c) {
		s.firedLocked(p.fault, c)
	}
}

// firedLocked counts and logs a fault. Those that may come with every message are counted without it: they set no log rate.
func (s *PubSub) firedLocked(f Fault, c *client) {
	s.fired[f]++
	s.log.Warn("fault", "fault", f, "conn", c.id)
}

// wantLocked notes which faults the options ask for.
func (s *PubSub) wantLocked() {
	o := &s.o
	for f, on := range map[Fault]bool{
		FaultDuplicate: o.Duplicate > 0, FaultUnknown: o.Unknown > 0, FaultRefuse: o.Refuse > 0,
		FaultHandshakeDelay: o.HandshakeDelay > 0, FaultAcceptThenClose: o.AcceptThenClose,
		FaultPongDelay: o.PongDelay > 0, FaultPongLoss: o.PongLoss > 0,
		FaultResponseDelay: o.ResponseDelay > 0, FaultResponseLoss: o.ResponseLoss > 0, FaultServerError: o.ServerErrors > 0,
	} {
		s.wanted[f] = s.wanted[f] || on
	}
	for _, p := range s.schedulesLocked() {
		s.wanted[p.fault] = s.wanted[p.fault] || p.every > 0
	}
}

// Fired returns how often each fault happened.
func (s *PubSub) Fired() map[Fault]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	fired := make(map[Fault]int, len(s.fired))
	for f, n := range s.fired {
		fired[f] = n
	}
	return fired
}

// Unfired returns, in order, the faults that an option asked for and that never happened, and those that happened less often than
// their method was called. A test that plans faults fails if there are any: it tested nothing.
func (s *PubSub) Unfired() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var unfired []Fault
	for f, on := range s.wanted {
		if on && s.fired[f] == 0 {
			unfired = append(unfired, f)
		}
	}
	for f, n := range s.planned {
		if s.fired[f] < n && !slices.Contains(unfired, f) {
			unfired = append(unfired, f)
		}
	}
	slices.Sort(unfired)
	return unfired
}
