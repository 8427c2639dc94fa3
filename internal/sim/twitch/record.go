package twitch

import (
	"maps"
	"slices"
	"time"

	"feedmux/internal/sim/upstream"
)

// ConnRecord is what is known of one socket. It is the receiver's to keep.
type ConnRecord struct {
	upstream.Record
	Asks      []Ask
	Topics    []string // listened to now, sorted
	MaxTopics int      // the most that it ever listened to
	Listens   []Listen // in the order of From; of those past 10,000 the older half is forgotten
	Pings     []time.Time
	Events    uint64 // written to the socket
}

// Listen is a time in which a connection listened to a topic.
type Listen struct {
	Topic    string
	From, To time.Time // from before the LISTEN's answer to the UNLISTEN or the socket's end; To zero: still
}

// unlistened notes the end of what is listened to.
func (r *ConnRecord) unlistened(topic string) {
	for i := len(r.Listens) - 1; i >= 0; i-- {
		if l := &r.Listens[i]; l.Topic == topic && l.To.IsZero() {
			l.To = time.Now()
			return
		}
	}
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

// sentLocked notes that events from to to of t were written to the client.
func (c *client) sentLocked(t *topic, from, to uint64) {
	c.rec.Events += to - from + 1
	for i := len(t.runs) - 1; i >= 0; i-- {
		if t.runs[i].Conn != c.ID {
			continue
		}
		if t.runs[i].To+1 == from {
			t.runs[i].To = to
			return
		}
		break
	}
	t.runs = upstream.AppendBounded(t.runs, Run{c.ID, from, to})
}

// Conns returns what is known of each socket, in the order of accepting.
func (p *PubSub) Conns() []ConnRecord {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	clients := p.ClientsLocked()
	records := make([]ConnRecord, 0, len(clients))
	for _, uc := range clients {
		c := clientOf(uc)
		r := c.rec
		r.Record = c.RecordLocked()
		r.Asks, r.Pings, r.Topics = slices.Clone(r.Asks), slices.Clone(r.Pings), c.topicNamesLocked()
		r.Listens = slices.Clone(r.Listens)
		records = append(records, r)
	}
	return records
}

func (c *client) topicNamesLocked() []string { return slices.Sorted(maps.Keys(c.topics)) }

// Listening returns which connections listen to each topic now; topics without one are left out.
func (p *PubSub) Listening() map[string][]int {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	topics := make(map[string][]int, len(p.listened))
	for _, t := range p.listened {
		for _, c := range t.listeners {
			topics[t.name] = append(topics[t.name], c.ID)
		}
	}
	return topics
}

// Happened returns how many events a topic has had: their numbers are 1 to that. Those that happened while nobody could
// be sent them are counted too.
func (p *PubSub) Happened(topic string) uint64 {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if t := p.topics[topic]; t != nil {
		return t.happened
	}
	return 0
}

// Sent returns which events of a topic were written to which connection, in the order of the first of each row. An event
// is written to all connections that listen, so rows of several connections overlap; an event that was sent twice begins
// a new row the second time.
func (p *PubSub) Sent(topic string) []Run {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if t := p.topics[topic]; t != nil {
		return slices.Clone(t.runs)
	}
	return nil
}
