package kite

import (
	"bytes"
	"slices"
	"time"

	"feedmux/internal/sim/upstream"
)

// ConnRecord is what is known of one socket. It is the receiver's to keep.
type ConnRecord struct {
	upstream.Record
	Key            string // the api_key of its handshake
	Denied         int    // the HTTP status that refused it for its api_key or access_token; 0: they were good
	Asks           []Ask
	Instruments    map[uint32]Mode // subscribed to now
	MaxInstruments int             // the most that it was ever subscribed to
	Listens        []Listen        // in the order of From; of those past 10,000 the older half is forgotten
	Ticks          uint64          // written to the socket, snapshots and faults not counted
}

// Listen is a time in which a connection was subscribed to an instrument.
type Listen struct {
	Token    uint32
	From, To time.Time // To zero: still
}

// unsubscribed notes the end of subscriptions; nil: of all.
func (r *ConnRecord) unsubscribed(tokens []uint32) {
	gone, now := map[uint32]bool{}, time.Now()
	for _, token := range tokens {
		gone[token] = true
	}
	for i := range r.Listens {
		if l := &r.Listens[i]; l.To.IsZero() && (tokens == nil || gone[l.Token]) {
			l.To = now
		}
	}
}

// Ask is one message of a client.
type Ask struct {
	At      time.Time
	Action  string // subscribe, unsubscribe or mode; "": it was none of them
	Mode    Mode   // quote, but for a mode; it may be anything where Error is set
	Tokens  []uint32
	Ignored int    // of a mode's tokens, those that were not subscribed to
	Error   string // the text that answered it; "": none
}

// Run is a row of ticks of one instrument that were written to one connection.
type Run struct {
	Conn     int
	From, To uint64 // numbers, both included
}

// SentPacket is one packet that was written to one socket.
type SentPacket struct {
	Token uint32
	Mode  Mode   // as the packet's length says
	N     uint64 // the number of the tick, dense from 1 for each instrument; 0 in a snapshot of one that has not ticked
	Odd   Oddity
	Extra bool // it repeats tick N: a snapshot, or what stands in a frame that breaks the format
	Bytes []byte
	Conn  int
	At    time.Time // when the write of it returned
}

// maxSentBytes bounds what is recorded and not taken.
const maxSentBytes = 256 << 20

// sentRecord is what [Ticker.TakeSent] returns next.
type sentRecord struct {
	list  []SentPacket
	bytes int
	lost  bool
}

func (r *sentRecord) add(s SentPacket) {
	const fixed = 100 // bytes of a packet's record beside the packet, about
	if r.lost || r.bytes+fixed+len(s.Bytes) > maxSentBytes {
		r.lost = true
		return
	}
	r.bytes += fixed + len(s.Bytes)
	r.list = append(r.list, s)
}

// TakeSent returns, in the order of writing, the packets that were written since the last call, once for each socket, and
// forgets them: for tests with Record. What still waited when a socket ended or fell silent is not among them; what was
// written and then lost on its way is. Packets for tokens that nobody subscribed to have their token and N 0; those of
// lengths that mean nothing are left out. 256 MiB are kept at most: past them nothing more is recorded until the next
// call, and whole is false.
//
// Over a real socket a client may read a packet some moments before it is on record.
func (p *Ticker) TakeSent() (sent []SentPacket, whole bool) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	r := p.sent
	p.sent = sentRecord{}
	return r.list, !r.lost
}

// sentPacketsLocked returns what is to be called once the packets were written to the client. The slices are not kept.
func (c *client) sentPacketsLocked(packets []byte, items []item) func() {
	record := c.p.o.Record
	items = slices.Clone(items)
	if record {
		packets = bytes.Clone(packets)
	}
	return func() {
		at := 0
		for _, it := range items {
			if !it.extra {
				c.rec.Ticks++
				c.noteLocked(it.in, it.n)
			}
			if record && it.token != 0 {
				c.p.sent.add(SentPacket{
					Token: it.token, Mode: it.mode, N: it.n, Odd: it.odd, Extra: it.extra,
					Bytes: packets[at+2 : at+it.size], Conn: c.ID, At: time.Now(),
				})
			}
			at += it.size
		}
	}
}

// noteLocked notes that tick n was written to the client.
func (c *client) noteLocked(in *instrument, n uint64) {
	for i := len(in.runs) - 1; i >= 0; i-- {
		if in.runs[i].Conn != c.ID {
			continue
		}
		if in.runs[i].To+1 == n {
			in.runs[i].To = n
			return
		}
		break
	}
	in.runs = upstream.AppendBounded(in.runs, Run{c.ID, n, n})
}

// Conns returns what is known of each socket, in the order of accepting.
func (p *Ticker) Conns() []ConnRecord {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	clients := p.ClientsLocked()
	records := make([]ConnRecord, 0, len(clients))
	for _, uc := range clients {
		c := clientOf(uc)
		r := c.rec
		r.Record = c.RecordLocked()
		r.Asks, r.Listens, r.Instruments = slices.Clone(r.Asks), slices.Clone(r.Listens), map[uint32]Mode{}
		for token, in := range c.instruments {
			r.Instruments[token] = in.subscriberLocked(c).mode
		}
		records = append(records, r)
	}
	return records
}

// Subscribed returns which connections are subscribed to each instrument now; those without one are left out.
func (p *Ticker) Subscribed() map[uint32][]int {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	all := make(map[uint32][]int, len(p.subscribed))
	for _, in := range p.subscribed {
		for _, s := range in.subscribers {
			all[in.token] = append(all[in.token], s.c.ID)
		}
	}
	return all
}

// Happened returns how many ticks an instrument has had, which is its volume_traded: their numbers are 1 to that.
func (p *Ticker) Happened(token uint32) uint64 {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if in := p.instruments[token]; in != nil {
		return in.happened
	}
	return 0
}

// Sent returns which ticks of an instrument were written to which connection, in the order of the first of each row. A
// tick is written to all connections that are subscribed, so rows of several connections overlap. Snapshots are not
// among them.
func (p *Ticker) Sent(token uint32) []Run {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if in := p.instruments[token]; in != nil {
		return slices.Clone(in.runs)
	}
	return nil
}
