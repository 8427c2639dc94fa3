package sim

import (
	"slices"
	"time"
)

// remembered bounds every list that only grows: past it the older half is forgotten.
const remembered = 10_000

func appendBounded[T any](list []T, v T) []T {
	if len(list) >= remembered {
		list = slices.Delete(list, 0, remembered/2)
	}
	return append(list, v)
}

// ConnRecord is what is known of one socket. It is the receiver's to keep.
type ConnRecord struct {
	ID        int    // in the order of accepting, from 1
	Remote    string // the client's address
	Accepted  time.Time
	Upgraded  time.Time // when its handshake was answered with 101; zero: it was not
	Ended     time.Time // when a FIN or RST was first seen or sent; zero: open
	Why       string    // it ended, or is about to: for people
	Asks      []Ask
	Topics    []string // listened to now, sorted
	MaxTopics int      // the most that it ever listened to
	Pings     []time.Time
	Events    uint64 // written to the socket
	Muted     bool
}

// Ask is one LISTEN or UNLISTEN.
type Ask struct {
	At     time.Time
	Type   string
	Topics []string
	Token  bool   // it came with one
	Error  string // what answered it; "" = accepted, "closed" = the connection ended for it
}

// Run is a row of events of one topic that were written to one connection.
type Run struct {
	Conn     int
	From, To uint64 // numbers, both included
}

// Violation is a rule that a client broke.
type Violation struct {
	At     time.Time
	Conn   int
	Rule   Rule
	Detail string // for people; holds no token
}

func (s *PubSub) violationLocked(c *client, rule Rule, detail string) {
	s.violations = appendBounded(s.violations, Violation{time.Now(), c.id, rule, detail})
	s.log.Warn("rule broken", "conn", c.id, "rule", rule, "detail", detail)
}

// sentLocked notes that events from to to were written to a connection.
func (t *topic) sentLocked(conn int, from, to uint64) {
	for i := len(t.runs) - 1; i >= 0; i-- {
		if t.runs[i].Conn != conn {
			continue
		}
		if t.runs[i].To+1 == from {
			t.runs[i].To = to
			return
		}
		break
	}
	t.runs = appendBounded(t.runs, Run{conn, from, to})
}

// Open returns how many sockets are open: accepted, and neither side has sent a FIN or RST.
func (s *PubSub) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// MaxOpen returns how many sockets were ever open at a time, those that were refused included.
func (s *PubSub) MaxOpen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxOpen
}

// Conns returns what is known of each socket, in the order of accepting.
func (s *PubSub) Conns() []ConnRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := make([]ConnRecord, 0, len(s.clients))
	for _, c := range s.clients {
		r := c.rec
		r.Asks, r.Pings, r.Muted = slices.Clone(r.Asks), slices.Clone(r.Pings), c.muted
		r.Topics = c.topicNamesLocked()
		records = append(records, r)
	}
	return records
}

func (c *client) topicNamesLocked() []string {
	names := make([]string, 0, len(c.topics))
	for name := range c.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Listening returns which connections listen to each topic now; topics without one are left out.
func (s *PubSub) Listening() map[string][]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	topics := make(map[string][]int, len(s.listened))
	for _, t := range s.listened {
		for _, c := range t.listeners {
			topics[t.name] = append(topics[t.name], c.id)
		}
	}
	return topics
}

// Happened returns how many events a topic has had: their numbers are 1 to that. Those that happened while nobody could be sent
// them are counted too.
func (s *PubSub) Happened(topic string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[topic]; t != nil {
		return t.happened
	}
	return 0
}

// Sent returns which events of a topic were written to which connection, in the order of the first of each row. An event is
// written to all connections that listen, so rows of several connections overlap; an event that was sent twice begins a new
// row the second time.
func (s *PubSub) Sent(topic string) []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[topic]; t != nil {
		return slices.Clone(t.runs)
	}
	return nil
}

// Violations returns the rules that clients broke, oldest first. Rules that are switched off cannot be broken.
func (s *PubSub) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}
