package kite

import (
	"slices"

	"feedmux/internal/sim/upstream"
	"feedmux/internal/sim/websocket"
)

// The faults of the ticker, and its other news, beside those that every upstream can have.
const (
	FaultCap               upstream.Fault = "cap"
	FaultError             upstream.Fault = "error"
	FaultGarbage           upstream.Fault = "garbage"
	FaultHeartbeatStop     upstream.Fault = "heartbeat_stop"
	FaultLinger            upstream.Fault = "linger"
	FaultLingerInstruments upstream.Fault = "linger_instruments"
	FaultMessage           upstream.Fault = "message"
	FaultOdd               upstream.Fault = "odd"
	FaultOrder             upstream.Fault = "order"
	FaultTokenDies         upstream.Fault = "token_dies"
	FaultTrailing          upstream.Fault = "trailing"
	FaultTruncate          upstream.Fault = "truncate"
	FaultUnknownPacket     upstream.Fault = "unknown_packet"
	FaultUnknownText       upstream.Fault = "unknown_text"
)

func (p *Ticker) plansLocked() []upstream.Plan {
	o := &p.o
	return []upstream.Plan{
		{Fault: FaultTokenDies, Wanted: o.TokenDies > 0},
		{Fault: FaultLinger, Wanted: o.Linger > 0},
		{Fault: FaultLingerInstruments, Wanted: o.LingerInstruments > 0},
		{Fault: FaultOdd, Wanted: o.Odd > 0},
		{Fault: FaultUnknownPacket, Wanted: o.UnknownPackets > 0},
		{Fault: FaultOrder, Every: o.OrderEvery, Strike: orderLocked},
		{Fault: FaultMessage, Every: o.MessageEvery, Strike: saying("message", "Markets will close early today.")},
		{Fault: FaultError, Every: o.ErrorEvery, Strike: saying("error", "Something went wrong. Please try again.")},
		{Fault: FaultUnknownText, Every: o.UnknownTextEvery, Strike: saying("news_from_the_future", nil)},
		{Fault: FaultGarbage, Every: o.GarbageEvery, Strike: garbageLocked},
		{Fault: FaultTruncate, Every: o.TruncateEvery, Strike: truncateLocked},
		{Fault: FaultTrailing, Every: o.TrailingEvery, Strike: trailingLocked},
		{Fault: FaultHeartbeatStop, Every: o.HeartbeatStopEvery, Strike: heartbeatStopLocked},
	}
}

// Order sends the next order postback of the key of connection id. It returns false where there is no such open
// connection, as all these methods do.
func (p *Ticker) Order(id int) bool { return p.Inject(FaultOrder, id, orderLocked) }

// Message sends a text of type message.
func (p *Ticker) Message(id int, words string) bool {
	return p.Inject(FaultMessage, id, saying("message", words))
}

// Error sends a text of type error, which changes nothing.
func (p *Ticker) Error(id int, words string) bool {
	return p.Inject(FaultError, id, saying("error", words))
}

// UnknownText sends a text of an unknown type.
func (p *Ticker) UnknownText(id int) bool {
	return p.Inject(FaultUnknownText, id, saying("news_from_the_future", nil))
}

// Garbage sends a text that is not what it should be, each time another.
func (p *Ticker) Garbage(id int) bool { return p.Inject(FaultGarbage, id, garbageLocked) }

// Truncate sends a binary frame that ends before it should, each time another. No new tick is in it, but a packet that is
// whole may be: a snapshot of the connection's first instrument.
func (p *Ticker) Truncate(id int) bool { return p.Inject(FaultTruncate, id, truncateLocked) }

// Trailing sends a snapshot of the connection's first instrument in a frame that has bytes left behind it.
func (p *Ticker) Trailing(id int) bool { return p.Inject(FaultTrailing, id, trailingLocked) }

// StopHeartbeat ends the heartbeats of a connection, and nothing else.
func (p *Ticker) StopHeartbeat(id int) bool {
	return p.Inject(FaultHeartbeatStop, id, heartbeatStopLocked)
}

// SetCap makes connection id refuse, in the words for InstrumentsPerConnection, the subscribe that would bring it more
// than n instruments; what it has stays. The client breaks no rule, since it cannot know. 0 ends that. The connection may
// be one that is yet to come; false: it has ended.
func (p *Ticker) SetCap(id, n int) bool {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if n <= 0 {
		delete(p.caps, id)
		return !p.PastLocked(id)
	}
	if !p.ArmLocked(FaultCap, id) {
		return false
	}
	p.caps[id] = n
	return true
}

func saying(kind string, data any) func(*upstream.Client) bool {
	return func(c *upstream.Client) bool {
		clientOf(c).sayLocked(kind, data)
		return true
	}
}

func garbageLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	texts := [...]string{
		`{"type":"order","data":{"order_id":"2201`, `{"type":"error","data":42}`, `{"type":"order","data":"?"}`,
		`{"type":["message"],"data":null}`, `[]`, ``,
	}
	c.QueueLocked(websocket.Text([]byte(texts[c.garbled%len(texts)])), nil)
	c.garbled++
	return true
}

func heartbeatStopLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	struck := !c.heartless
	c.heartless = true
	return struck
}

// snapshotLocked returns a packet behind its length, the newest tick of the client's first instrument by token, or of one
// that it is not subscribed to where it has none.
func (c *client) snapshotLocked() (packet []byte, items []item) {
	var first *instrument
	for _, in := range c.instruments {
		if first == nil || in.token < first.token {
			first = in
		}
	}
	var b batch
	if first == nil {
		b.packet(item{token: 1<<31 | segmentNSE, mode: ModeLTP, extra: true}, &quote{})
	} else {
		mode := first.subscriberLocked(c).mode
		b.packet(item{in: first, token: first.token, mode: mode, n: first.happened, extra: true}, &first.quote)
	}
	return b.bytes, b.items
}

func truncateLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	packet, items := c.snapshotLocked()
	switch c.truncated % 6 {
	case 0: // in the midst of the packet
		c.deliverLocked(1, packet[:len(packet)-3], nil)
	case 1: // after its length
		c.deliverLocked(1, packet[:2], nil)
	case 2: // before it
		c.deliverLocked(1, nil, nil)
	case 3: // after the first packet of two
		c.deliverLocked(2, packet, items)
	case 4: // after the first of as many as a count can say
		c.deliverLocked(maxPackets, packet, items)
	case 5: // in the midst of the second packet's length
		c.deliverLocked(2, append(slices.Clone(packet), 0), items)
	}
	c.truncated++
	return true
}

func trailingLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	packet, items := c.snapshotLocked()
	c.deliverLocked(1, append(packet, 1, 2, 3), items)
	return true
}
