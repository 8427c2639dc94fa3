package upstream

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"feedmux/internal/sim/websocket"
)

// Fault names something that goes wrong.
type Fault string

// The faults that every upstream can have.
const (
	FaultAcceptThenClose Fault = "accept_then_close"
	FaultBadFrame        Fault = "bad_frame"
	FaultClose           Fault = "close"
	FaultCloseDelay      Fault = "close_delay"
	FaultFIN             Fault = "fin"
	FaultHandshakeDelay  Fault = "handshake_delay"
	FaultLag             Fault = "lag"
	FaultLife            Fault = "life"
	FaultRefuse          Fault = "refuse"
	FaultReset           Fault = "reset"
	FaultSilence         Fault = "silence"
	FaultStarve          Fault = "starve"
	FaultStorm           Fault = "storm"
)

// Plan is a fault that the options may ask for.
type Plan struct {
	Fault  Fault
	Wanted bool // it happens where the protocol meets its occasion

	// About every so often it strikes a connection that chance picks; 0: never. Strike is called with the server's lock,
	// and returns false where there was nothing to strike at. nil strikes all connections.
	Every  time.Duration
	Strike func(*Client) bool
}

func (s *Server) ownPlans(o Options) []Plan {
	return []Plan{
		{Fault: FaultRefuse, Wanted: o.Refuse > 0},
		{Fault: FaultHandshakeDelay, Wanted: o.HandshakeDelay > 0},
		{Fault: FaultAcceptThenClose, Wanted: o.AcceptThenClose},
		{Fault: FaultLife, Wanted: o.Life > 0},
		{Fault: FaultCloseDelay, Wanted: o.CloseDelay > 0},
		{Fault: FaultReset, Every: o.ResetEvery, Strike: (*Client).resetLocked},
		{Fault: FaultFIN, Every: o.FINEvery, Strike: (*Client).hangUpLocked},
		{Fault: FaultClose, Every: o.CloseEvery, Strike: closing(o.CloseCode, "by plan")},
		{Fault: FaultSilence, Every: o.SilenceEvery, Strike: (*Client).muteLocked},
		{Fault: FaultBadFrame, Every: o.BadFrameEvery, Strike: (*Client).badFrameLocked},
		{Fault: FaultStorm, Every: o.StormEvery},
	}
}

// Reset sends a RST to connection id. It returns false where there is no such open connection, as all these methods do.
func (s *Server) Reset(id int) bool { return s.Inject(FaultReset, id, (*Client).resetLocked) }

// FIN sends a FIN without a Close.
func (s *Server) FIN(id int) bool { return s.Inject(FaultFIN, id, (*Client).hangUpLocked) }

// Close sends a Close, then a FIN when it was answered. EndFIN and EndRST are codes, too.
func (s *Server) Close(id int, code int, reason string) bool {
	return s.Inject(FaultClose, id, closing(code, reason))
}

// Mute makes the connection silent for good: it stays open, nothing is answered and nothing sent. The client's FIN is
// not answered either, though the socket no longer counts after it.
func (s *Server) Mute(id int) bool { return s.Inject(FaultSilence, id, (*Client).muteLocked) }

// BadFrame sends a frame with an opcode that means nothing.
func (s *Server) BadFrame(id int) bool { return s.Inject(FaultBadFrame, id, (*Client).badFrameLocked) }

// ResetAll sends a RST to every open connection at once, those in their handshake too, and returns how many there were.
func (s *Server) ResetAll() int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.planned[FaultStorm]++
	return s.stormLocked()
}

// SetRefuseStatus refuses every handshake from now on with status, which is like RefuseStatus, whatever Refuse says;
// 0 ends that. Each call plans one refusal at least.
func (s *Server) SetRefuseStatus(status int) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.refuse = status
	if status != 0 {
		s.planned[FaultRefuse] = max(s.planned[FaultRefuse], s.fired[FaultRefuse]) + 1
	}
}

// Inject is how a test makes a fault happen to connection id: it calls strike with the lock, if the connection is open.
func (s *Server) Inject(f Fault, id int, strike func(*Client) bool) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.planned[f]++
	c := s.active[id]
	if c == nil || !c.canStrikeLocked() || !strike(c) {
		return false
	}
	c.FiredLocked(f)
	return true
}

// PlanLocked says that a fault is to happen n times more, for faults that no method above knows.
func (s *Server) PlanLocked(f Fault, n int) { s.planned[f] += n }

// plot is a fault that waits for its occasion on one connection.
type plot struct {
	fault Fault
	conn  int
}

// ArmLocked plans a fault that happens when its occasion comes to connection id, which may be one that is yet to come.
// False: it has ended.
func (s *Server) ArmLocked(f Fault, id int) bool {
	past := s.PastLocked(id)
	if past || !s.armed[plot{f, id}] {
		s.planned[f]++
	}
	if !past {
		s.armed[plot{f, id}] = true
	}
	return !past
}

// PastLocked says whether connection id has ended, and will never be.
func (s *Server) PastLocked(id int) bool {
	c := s.active[id]
	return id < 1 || c == nil && id <= s.lastID || c != nil && c.ended
}

// StruckLocked says that the occasion of an armed fault came. The first of them counts.
func (c *Client) StruckLocked(f Fault) {
	if c.s.armed[plot{f, c.ID}] {
		delete(c.s.armed, plot{f, c.ID})
		c.FiredLocked(f)
	}
}

// canStrikeLocked says whether the connection is open as far as a client can see.
func (c *Client) canStrikeLocked() bool { return c.upgraded && !c.closing && !c.muted }

func (c *Client) resetLocked() bool {
	c.abortLocked("RST by plan")
	return true
}

func (c *Client) hangUpLocked() bool {
	c.FINLocked("FIN by plan")
	return true
}

func closing(code int, reason string) func(*Client) bool {
	return func(c *Client) bool {
		c.DismissLocked(code, reason)
		return true
	}
}

func (c *Client) muteLocked() bool {
	c.muted = true
	c.dropLocked()
	return true
}

// ServedLocked says whether the connection goes on as far as both sides can know: neither has begun to end it, and it was
// not made silent.
func (c *Client) ServedLocked() bool { return c.canStrikeLocked() && !c.left && !c.ended }

func (c *Client) badFrameLocked() bool {
	c.QueueLocked(websocket.AppendFrame(nil, 11, []byte("?")), nil)
	return true
}

func (s *Server) stormLocked() int {
	struck := 0
	for _, c := range s.active {
		if !c.ended {
			c.abortLocked("RST by plan, to all")
			struck++
		}
	}
	if struck > 0 {
		s.fired[FaultStorm]++
		s.Log.Warn("fault", "fault", FaultStorm, "conns", struck)
	}
	return struck
}

// misbehave strikes when the options say so. The plans draw from the seed in turn, so their order never changes.
func (s *Server) misbehave(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	due := map[Fault]time.Time{}
	every := map[Fault]time.Duration{}
	for {
		s.Mu.Lock()
		now := time.Now()
		next := now.Add(time.Hour)
		for _, p := range s.plans {
			if p.Every <= 0 {
				delete(every, p.Fault)
				continue
			}
			isDue := every[p.Fault] == p.Every && !now.Before(due[p.Fault])
			if isDue || every[p.Fault] != p.Every {
				every[p.Fault] = p.Every
				due[p.Fault] = now.Add(p.Every/2 + time.Duration(s.strikes.Int64N(int64(p.Every))))
			}
			if isDue {
				s.strikeLocked(p)
			}
			if due[p.Fault].Before(next) {
				next = due[p.Fault]
			}
		}
		changed := s.changed
		s.Mu.Unlock()
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
func (s *Server) strikeLocked(p Plan) {
	if p.Strike == nil {
		s.stormLocked()
		return
	}
	which := s.strikes.Uint64()
	var open []*Client
	for _, c := range s.active {
		if c.canStrikeLocked() {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		return
	}
	slices.SortFunc(open, func(a, b *Client) int { return cmp.Compare(a.ID, b.ID) })
	if c := open[which%uint64(len(open))]; p.Strike(c) {
		c.FiredLocked(p.Fault)
	}
}

// FiredLocked counts and logs a fault.
func (c *Client) FiredLocked(f Fault) {
	c.s.CountLocked(f)
	c.s.Log.Warn("fault", "fault", f, "conn", c.ID)
}

// CountLocked counts a fault that may come with every message, and does not log it: such faults set no log rate.
func (s *Server) CountLocked(f Fault) { s.fired[f]++ }

// Fired returns how often each fault happened.
func (s *Server) Fired() map[Fault]int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return maps.Clone(s.fired)
}

// Unfired returns, in order, the faults that an option asked for and that never happened, and those that happened less
// often than their method was called. A test that plans faults fails if there are any: it tested nothing.
func (s *Server) Unfired() []Fault {
	s.Mu.Lock()
	defer s.Mu.Unlock()
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
