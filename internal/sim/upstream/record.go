package upstream

import (
	"slices"
	"time"
)

// Record is what is known of one socket, whatever the protocol. It is the receiver's to keep.
type Record struct {
	ID       int    // in the order of accepting, from 1
	Remote   string // the client's address
	Accepted time.Time
	Upgraded time.Time // when its handshake was answered with 101; zero: it was not
	Ended    time.Time // when a FIN or RST was first seen or sent; zero: open
	Why      string    // it ended, or is about to: for people
	Muted    bool
}

// RecordLocked returns what is known of the client now.
func (c *Client) RecordLocked() Record {
	r := c.rec
	r.Muted = c.muted
	return r
}

// Rule names a rule of an upstream.
type Rule string

// The rules that every upstream can have.
const (
	RuleBacklog     Rule = "backlog"     // reads too slowly
	RuleConnections Rule = "connections" // too many at a time
	RuleFrame       Rule = "frame"       // what no WebSocket client may send, an unmasked frame above all
	RuleHandshake   Rule = "handshake"   // no WebSocket handshake
	RuleWSPong      Rule = "ws_pong"     // a WebSocket ping was not answered
)

// Violation is a rule that a client broke.
type Violation struct {
	At     time.Time
	Conn   int // 0: none, it was a plain HTTP request
	Rule   Rule
	Detail string // for people; holds no token
}

// ViolationLocked notes that the client broke a rule.
func (c *Client) ViolationLocked(rule Rule, detail string) { c.s.violationLocked(c.ID, rule, detail) }

// ViolationLocked notes that a rule was broken in a plain HTTP request, which is no client's: the Violation's Conn is 0.
func (s *Server) ViolationLocked(rule Rule, detail string) { s.violationLocked(0, rule, detail) }

func (s *Server) violationLocked(conn int, rule Rule, detail string) {
	s.violations = AppendBounded(s.violations, Violation{time.Now(), conn, rule, detail})
	s.Log.Warn("rule broken", "conn", conn, "rule", rule, "detail", detail)
}

// ExpelLocked closes the connection of a client that broke a rule by doing nothing. One that has sent its Close may.
func (c *Client) ExpelLocked(rule Rule, detail string, code int, reason string) {
	if !c.left {
		c.ViolationLocked(rule, detail)
		c.CloseLocked(code, reason)
	}
}

// Violations returns the rules that clients broke, oldest first. Rules that are switched off cannot be broken.
func (s *Server) Violations() []Violation {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return slices.Clone(s.violations)
}
