package limiter

import (
	"math/rand/v2"
	"time"
)

// longLife is how long a life must have been live to soften the delay after it. A life that was cut in full work
// should be back soon, in proportion to what it was worth; one that was cut at once should not.
const longLife = 10 * time.Second

// Backoff says how long to wait before dialling again. It has one owner and no lock.
//
// A delay is uniform between zero and min(Max, Base × 2ⁿ), where n counts the failures since the last settled life, those
// of others that Raise tells of included, and is zero for the first delay. The whole range is used, so that many who failed
// together do not return together.
type Backoff struct {
	Base   time.Duration
	Max    time.Duration
	Settle time.Duration // a life that was live for so long settled: what failed before it is forgotten
	AtOnce bool          // the first delay is zero; the second one is what the first would have been

	failures int
	lived    time.Duration // of the life that ended last; zero if the last failure was a dial
}

// Failed tells that a dial failed, with lived zero, or that a life ended after it had been live for lived. A life
// that never became live is a dial that failed.
func (b *Backoff) Failed(lived time.Duration) {
	if lived > 0 && lived >= b.Settle {
		b.failures = 0
	}
	b.failures++
	b.lived = lived
}

// Change takes over how other waits. The failures so far still count.
func (b *Backoff) Change(other Backoff) {
	b.Base, b.Max, b.Settle, b.AtOnce = other.Base, other.Max, other.Settle, other.AtOnce
}

// Raise tells of n failures that others had, who share what failed. It leaves the bound of a long life as it is.
func (b *Backoff) Raise(n int) { b.failures += n }

// Ended tells that a life ended after it had been live for lived, and that this is no failure. If it settled, what failed
// before it is forgotten.
func (b *Backoff) Ended(lived time.Duration) {
	if lived > 0 && lived >= b.Settle {
		b.failures = 0
	}
	b.lived = 0
}

// Failures is how many failures Failed and Raise were told of since the last settled life, the end of that life included.
func (b *Backoff) Failures() int { return b.failures }

// Next is how long to wait now. After a life that was live for ten seconds or more it is at most a fifth of that
// life's length. Each call draws anew.
func (b *Backoff) Next(r *rand.Rand) time.Duration {
	ceiling := b.Max
	n := max(b.failures-1, 0)
	if b.AtOnce {
		if n == 0 {
			return 0
		}
		n--
	}
	if b.Base <= b.Max>>n { // never shifts a bit out
		ceiling = b.Base << n
	}
	if b.lived >= longLife {
		ceiling = min(ceiling, b.lived/5)
	}
	return upTo(ceiling, r)
}

// upTo draws uniformly from zero to below d; it is zero if there is nothing below d.
func upTo(d time.Duration, r *rand.Rand) time.Duration {
	return time.Duration(r.Int64N(max(int64(d), 1)))
}
