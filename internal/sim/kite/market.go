package kite

import (
	"math/rand/v2"
	"time"
)

// Segments, which are the last byte of a token.
const (
	segmentNSE   = 1
	segmentCDS   = 3
	segmentBSE   = 4
	segmentBCD   = 6
	segmentIndex = 9
)

func segmentOf(token uint32) uint32 { return token & 0xff }

// instrument is something that is traded, and an index. Guarded by the server's lock but for what is immutable.
type instrument struct {
	token uint32 // immutable
	step  uint32 // immutable: the least change of a price
	base  uint32 // immutable: about where the price stays, a multiple of step

	quote       quote
	turnover    uint64 // sum of the last prices, one for each tick
	happened    uint64 // ticks so far
	subscribers []subscriber
	runs        []Run
}

// subscriber is a client's part in an instrument.
type subscriber struct {
	c        *client
	mode     Mode
	exchange uint32 // the exchange time that it was sent last; 0: none
}

// quote is what ticks tell. Prices are in the unit of the wire, times in Unix seconds.
type quote struct {
	last, open, high, low, close uint32
	average                      uint32
	lastQuantity, volume         uint32
	buy, sell                    uint32
	lastTrade, exchange          uint32 // lastTrade 0: not traded yet
	oi, oiHigh, oiLow            uint32
	depth                        uint64 // that the quantities of the depth are drawn from
	step                         uint32
}

// newInstrument makes an instrument up: always the same for a token and a seed, but for its times.
func newInstrument(token uint32, seed uint64, now time.Time) *instrument {
	r := rand.New(rand.NewPCG(seed, 1<<40|uint64(token)))
	in := &instrument{token: token}
	switch segmentOf(token) {
	case segmentCDS: // seven decimals, a quarter of a paisa a step: 60 to 110 rupees
		in.step, in.base = 25_000, 24_000+r.Uint32N(20_000)
	case segmentBCD: // four decimals
		in.step, in.base = 25, 24_000+r.Uint32N(20_000)
	case segmentIndex:
		in.step, in.base = 5, 200_000+r.Uint32N(1_000_000)
	default: // 50 to 5,000 rupees
		in.step, in.base = 5, 1000+r.Uint32N(99_000)
	}
	in.base *= in.step
	last := in.base
	in.quote = quote{
		last: last, open: last, high: last, low: last, close: last - in.step*(1+r.Uint32N(20)),
		exchange: uint32(now.Unix()), depth: r.Uint64(), step: in.step,
		buy: r.Uint32N(100_000), sell: r.Uint32N(100_000),
	}
	if s := segmentOf(token); s != segmentNSE && s != segmentBSE && s != segmentIndex {
		in.quote.oi = 10_000 + r.Uint32N(100_000)
		in.quote.oiHigh, in.quote.oiLow = in.quote.oi, in.quote.oi
	}
	return in
}

// moveLocked is the next tick: one unit is traded at a price some steps from the last, never at the same.
func (in *instrument) moveLocked(chance uint64, now time.Time) {
	q := &in.quote
	steps := in.step * (1 + uint32(chance%3))
	up := chance&8 == 0
	if reach := in.base / 20; q.last >= in.base+reach { // it stays within some percent of where it began
		up = false
	} else if q.last <= in.base-reach {
		up = true
	}
	if up {
		q.last += steps
	} else {
		q.last -= steps
	}
	q.high, q.low = max(q.high, q.last), min(q.low, q.last)
	in.happened++
	in.turnover += uint64(q.last)
	q.average = uint32(in.turnover / in.happened)
	q.lastQuantity, q.volume = 1, uint32(in.happened)
	q.lastTrade = uint32(now.Unix())
	q.exchange = q.lastTrade
	q.depth = chance
	q.buy, q.sell = uint32(chance>>16)%100_000, uint32(chance>>32)%100_000
	if q.oi > 0 {
		q.oi += uint32(chance>>8&3) - 1 // sometimes one less
		q.oiHigh, q.oiLow = max(q.oiHigh, q.oi), min(q.oiLow, q.oi)
	}
}
