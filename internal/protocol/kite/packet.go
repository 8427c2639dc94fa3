package kite

import "encoding/binary"

// Packets are told apart by their length alone.
const (
	ltpSize       = 8
	indexSize     = 28  // quote
	indexFullSize = 32  // full
	quoteSize     = 44  // of what is traded
	fullSize      = 184 // of what is traded

	depthStart  = 64
	depthLevels = 5 // on each side: the bids, then the offers
	levelSize   = 12
)

// Why a tick cannot be true.
const (
	oddHighBelowLow   = "high_below_low"
	oddOutsideRange   = "price_outside_range" // the last price was never traded today, if high and low are right
	oddTimeBackwards  = "time_backwards"      // the exchange's time is before that of the tick before
	oddUnknownSegment = "unknown_segment"     // so the price's divisor is a guess
)

// tick is a packet that was read. Prices are integers: places says where their points stand.
type tick struct {
	token uint32
	mode  Mode // as the packet's length says: what was asked for may be on its way yet
	index bool // laid out as an index: a full one has only at of what only a full one has
	last  int32

	open, high, low, close int32 // not LTP

	// Neither LTP nor index.
	quantity  uint32
	average   int32
	volume    uint32
	buy, sell uint32

	// Full.
	traded            uint32 // Unix seconds; 0: unknown
	oi, oiHigh, oiLow uint32
	at                uint32 // the exchange's time in Unix seconds; 0: unknown
	depth             []byte // aliases the packet
}

// parse reads a packet. It is not ok if no packet has that length.
func parse(p []byte) (t tick, ok bool) {
	u := func(at int) uint32 { return binary.BigEndian.Uint32(p[at:]) }
	i := func(at int) int32 { return int32(u(at)) } // documented as signed, and there were negative prices
	switch len(p) {
	case ltpSize:
		t.mode = LTP
	case indexSize:
		t.index = true
	case indexFullSize:
		t.index, t.mode, t.at = true, Full, u(28)
	case quoteSize:
	case fullSize:
		t.mode = Full
		t.traded, t.oi, t.oiHigh, t.oiLow, t.at = u(44), u(48), u(52), u(56), u(60)
		t.depth = p[depthStart:]
	default:
		return t, false
	}
	t.token, t.last = u(0), i(4)
	switch {
	case t.mode == LTP:
	case t.index: // an order of its own; 24 to 28 is last - close, which needs no saying
		t.high, t.low, t.open, t.close = i(8), i(12), i(16), i(20)
	default:
		t.quantity, t.average, t.volume, t.buy, t.sell = u(8), i(12), u(16), u(20), u(24)
		t.open, t.high, t.low, t.close = i(28), i(32), i(36), i(40)
	}
	return t, true
}

// oddities are the reasons why t cannot be true, if the tick before had the exchange's time before. Before the first trade of
// a day, high and low are zero.
func (t *tick) oddities(before uint32, found func(kind string)) {
	if s := segment(t.token); s == 0 || s > indices {
		found(oddUnknownSegment)
	}
	if t.high < t.low {
		found(oddHighBelowLow)
	} else if t.high != 0 && t.low != 0 && (t.last < t.low || t.last > t.high) {
		found(oddOutsideRange)
	}
	if t.at != 0 && t.at < before {
		found(oddTimeBackwards)
	}
}
