package kite

import (
	"encoding/binary"
	"time"

	"feedmux/internal/sim/websocket"
)

// Oddity is how a tick contradicts itself, or the ticks before it; "": it does not.
type Oddity string

// The oddities.
const (
	OddHighLow     Oddity = "high_low"        // the day's high is below its low
	OddLastOutside Oddity = "last_outside"    // the last price is above the day's high
	OddTime        Oddity = "time_backwards"  // the exchange time is a minute before that of the packet before
	OddSegment     Oddity = "unknown_segment" // an additional packet for a token that nobody subscribed to
)

// batch is the packets that leave together, in one frame or more.
type batch struct {
	bytes []byte
	items []item
}

// item is one packet in a batch.
type item struct {
	in    *instrument // nil: the packet is of no instrument
	token uint32      // 0: of none, nor looks as if it were
	mode  Mode
	n     uint64 // the number of its tick
	odd   Oddity
	extra bool
	size  int // in the batch's bytes, its length included
}

// EventLocked lets the ticks of one batch happen, and sends them: for the server.
func (p *Ticker) EventLocked(now time.Time) {
	for p.owed += p.o.Rate / p.o.server().Rate; p.owed >= 1; p.owed-- {
		p.tickLocked(now)
	}
	p.flushLocked()
}

// tickLocked lets one instrument that somebody is subscribed to tick. It draws as often from the seed whatever it does, so
// that the n-th tick depends on nothing but the instruments that are subscribed to then.
func (p *Ticker) tickLocked(now time.Time) {
	which, chance, odd, unknown := p.events.Uint64(), p.events.Uint64(), p.events.Float64(), p.events.Float64()
	if len(p.subscribed) == 0 {
		return
	}
	in := p.subscribed[which%uint64(len(p.subscribed))]
	in.moveLocked(chance, now)
	var oddity Oddity
	if odd < p.o.Odd {
		oddity = [...]Oddity{OddHighLow, OddLastOutside, OddTime, OddSegment}[p.oddities%4]
		p.oddities++
	}
	for i := range in.subscribers {
		s := &in.subscribers[i]
		p.gatherLocked(s, in, oddity, false)
		if unknown < p.o.UnknownPackets {
			p.CountLocked(FaultUnknownPacket)
			s.c.unknownPacketLocked()
		}
	}
}

// gatherLocked puts the newest tick of an instrument, odd or not, among the packets that leave for a subscriber.
func (p *Ticker) gatherLocked(s *subscriber, in *instrument, oddity Oddity, extra bool) {
	q, b := in.quote, s.c.batchLocked()
	size := sizeOf(in.token, s.mode)
	timed := size == sizeFull || size == sizeIndexFull
	if oddity != "" {
		p.CountLocked(FaultOdd)
	}
	switch {
	case oddity == OddHighLow && size != sizeLTP:
		q.high, q.low = q.low-q.step, q.high
	case oddity == OddLastOutside && size != sizeLTP:
		q.last = q.high + 10*q.step
	case oddity == OddTime && timed && s.exchange > 0:
		q.exchange = s.exchange - 60
	case oddity != "": // OddSegment, or the packet has no room for the other
		oddity = ""
		b.packet(item{token: in.token | 0xff, mode: s.mode, odd: OddSegment, extra: true}, &q)
	}
	if timed {
		s.exchange = q.exchange
	}
	b.packet(item{in: in, token: in.token, mode: s.mode, n: in.happened, odd: oddity, extra: extra}, &q)
}

// packet appends a packet.
func (b *batch) packet(it item, q *quote) {
	before := len(b.bytes)
	b.bytes = appendPacket(b.bytes, it.token, it.mode, q)
	it.size = len(b.bytes) - before
	b.items = append(b.items, it)
}

// batchLocked returns the batch that gathers for the client.
func (c *client) batchLocked() *batch {
	if len(c.batch.items) == 0 {
		c.p.gathering = append(c.p.gathering, c)
	}
	return &c.batch
}

// unknownPacketLocked puts a packet of a length that means nothing behind the others.
func (c *client) unknownPacketLocked() {
	b := c.batchLocked()
	size := [...]int{0, 10, 45, 300}[c.Rand.IntN(4)]
	b.bytes = binary.BigEndian.AppendUint16(b.bytes, uint16(size))
	for range size {
		b.bytes = append(b.bytes, 0x01)
	}
	b.items = append(b.items, item{extra: true, size: 2 + size})
}

// flushLocked sends all that gathered.
func (p *Ticker) flushLocked() {
	for _, c := range p.gathering {
		packets, items := c.batch.bytes, c.batch.items
		for len(items) > 0 {
			k, size := min(p.o.PacketsPerFrame, len(items)), 0
			for _, it := range items[:k] {
				size += it.size
			}
			c.deliverLocked(k, packets[:size], items[:k])
			packets, items = packets[size:], items[k:]
		}
		c.batch.bytes, c.batch.items = c.batch.bytes[:0], c.batch.items[:0]
	}
	clear(p.gathering)
	p.gathering = p.gathering[:0]
}

// deliverLocked sends a frame that says it holds count packets. items are those that are whole, from the first on. Nothing
// is kept of either slice.
func (c *client) deliverLocked(count int, packets []byte, items []item) {
	p := c.p
	payload := binary.BigEndian.AppendUint16(p.scratch[:0], uint16(count))
	payload = append(payload, packets...)
	start := len(payload)
	p.scratch = websocket.AppendFrame(payload, websocket.OpBinary, payload)
	c.lastSent = time.Now()
	c.DeliverLocked(p.scratch[start:], c.sentPacketsLocked(packets, items))
}
