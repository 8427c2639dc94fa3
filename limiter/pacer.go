package limiter

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Pacer says when the connection in one slot pings. It is a value without memory.
//
// Each slot has its own phase in the interval, so the pings of a pool are level; the feed's name shifts all of them, so
// feeds of one daemon do not ping together, and a restart does not change where. Around each point of that grid lies a
// range of jitter × interval in which the ping is due, drawn afresh each time. Two pings in a row are therefore between
// interval × (1 - jitter) and interval × (1 + jitter) apart.
type Pacer struct {
	every  time.Duration
	jitter time.Duration // width of the range
	first  time.Time     // where one of the ranges begins
}

// NewPacer makes the pacer of one of slots slots. every and slots must be above zero, jitter, a share of every, from
// zero to below one. anchor is where the grid is fixed: the same time for all slots, with its monotonic reading, so
// that a step of the wall clock moves nothing.
func NewPacer(every time.Duration, jitter float64, anchor time.Time, feed string, slot, slots int) Pacer {
	// Names of feeds are much alike, and FNV would leave their offsets alike too.
	sum := sha256.Sum256([]byte(feed))
	offset := time.Duration(binary.BigEndian.Uint64(sum[:]) % uint64(every))

	half := time.Duration(jitter * float64(every) / 2)
	phase := (every*time.Duration(slot)/time.Duration(slots) + offset) % every
	return Pacer{every: every, jitter: 2 * half, first: anchor.Add(phase - half)}
}

// Next is when the first ping after now is due: somewhere in the first range that begins after now. So what was slept
// through is left out, a new connection pings within interval × (1 + jitter), and asking twice without a ping between
// is no harm. Call it right after each ping: where that is later than the begin of the next range, a point is left out.
func (p Pacer) Next(now time.Time, r *rand.Rand) time.Time {
	since := now.Sub(p.first) % p.every // since the newest range began
	if since < 0 {
		since += p.every // first may lie ahead
	}
	return now.Add(p.every - since + upTo(p.jitter, r))
}
