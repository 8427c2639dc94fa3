package brought

import (
	"slices"
	"time"
)

// Order is that of the positions of one stream, as a protocol.Resumer knows it.
type Order interface {
	Compare(a, b []byte) int
	Before(p []byte) []byte
}

// maxSpans is how many spans a trail has. When there would be more, they are merged, two and two.
const maxSpans = 1024

// Trail leads from the numbers of taken events back to positions, for those that NATS is not known to have yet. A span of
// numbers has one pair of positions. While few events are on their way each has a span of its own, and the trail is exact;
// the further NATS is behind, the coarser it gets, and the same events may be fetched twice. So its size is bounded.
type Trail struct {
	Order Order // must not change

	spans []span
	width int      // most events in a span
	done  []byte   // up to here all is done with, but for what the spans say; nil: no position is known
	spare [][]byte // memory of spans that are no more
}

// span is a run of events that were taken one after the other.
type span struct {
	last   uint64
	events int
	from   time.Time // when the first was received
	low    []byte    // the lowest position among them; nil: none has one
	high   []byte    // the cursor after the last of them; nil: it did not move
	sealed bool      // it grows no further
}

// Took notes that the event with that number was taken.
func (t *Trail) Took(number uint64, position []byte, received time.Time) {
	n := len(t.spans)
	if n == 0 {
		t.width = 1
	}
	if n == 0 || t.spans[n-1].sealed || t.spans[n-1].events >= t.width {
		if n == maxSpans {
			t.merge()
		}
		t.spans = append(t.spans, span{from: received})
		n = len(t.spans)
	}
	s := &t.spans[n-1]
	s.last = number
	s.events++
	if position != nil && (s.low == nil || t.Order.Compare(position, s.low) < 0) {
		t.keep(&s.low, position)
	}
}

// Reach notes that the cursor moved on: that is true once all is done with that was taken before.
func (t *Trail) Reach(cursor []byte) {
	if n := len(t.spans); n > 0 {
		t.keep(&t.spans[n-1].high, cursor)
	} else {
		t.keep(&t.done, cursor)
	}
}

// keep copies a position, into memory that is there if possible.
func (t *Trail) keep(to *[]byte, position []byte) {
	if n := len(t.spare); *to == nil && n > 0 {
		*to, t.spare = t.spare[n-1], t.spare[:n-1]
	}
	*to = append((*to)[:0], position...)
}

// free lets a position's memory be used again.
func (t *Trail) free(position []byte) {
	if position != nil && len(t.spare) < 2*maxSpans {
		t.spare = append(t.spare, position)
	}
}

// Seal lets the newest span grow no further, so that it can be done with though events keep coming.
func (t *Trail) Seal() {
	if n := len(t.spans); n > 0 {
		t.spans[n-1].sealed = true
	}
}

// Settle forgets what is done with.
func (t *Trail) Settle(done uint64) {
	n := 0
	for n < len(t.spans) && t.spans[n].last <= done {
		s := &t.spans[n]
		if s.high != nil {
			t.keep(&t.done, s.high)
		}
		t.free(s.low)
		t.free(s.high)
		n++
	}
	t.spans = slices.Delete(t.spans, 0, n)
}

// Safe is the highest position up to which all is done with, as far as the spans can tell: to fetch from there on brings
// whatever is not. It is never later than the truth. nil: no position is known.
func (t *Trail) Safe() []byte {
	p := t.done
	if p == nil {
		return nil
	}
	for i := range t.spans {
		if low := t.spans[i].low; low != nil && t.Order.Compare(low, p) <= 0 {
			p = t.Order.Before(low)
		}
	}
	return p
}

// Begin says where the stream begins, as far as we are concerned.
func (t *Trail) Begin(position []byte) { t.done = slices.Clone(position) }

// Reset begins anew at a position: those that are there already mean nothing any more.
func (t *Trail) Reset(position []byte) {
	t.done = slices.Clone(position)
	for i := range t.spans {
		t.spans[i].low, t.spans[i].high, t.spans[i].sealed = nil, nil, true
	}
}

// Clear forgets all that is not done with. It returns what Safe was, and when the first of it was received; zero if there
// is none.
func (t *Trail) Clear() (safe []byte, from time.Time) {
	safe = slices.Clone(t.Safe())
	if len(t.spans) > 0 {
		from = t.spans[0].from
	}
	t.spans, t.done = nil, slices.Clone(safe)
	return safe, from
}

// merge makes half as many spans.
func (t *Trail) merge() {
	for i := 0; i < len(t.spans); i += 2 {
		s := t.spans[i]
		if i+1 < len(t.spans) {
			next := t.spans[i+1]
			s.last, s.events = next.last, s.events+next.events
			if s.low == nil || next.low != nil && t.Order.Compare(next.low, s.low) < 0 {
				s.low, next.low = next.low, s.low
			}
			if next.high != nil {
				s.high, next.high = next.high, s.high
			}
			t.free(next.low)
			t.free(next.high)
			s.sealed = true
		}
		t.spans[i/2] = s
	}
	half := (len(t.spans) + 1) / 2
	clear(t.spans[half:])
	t.spans = t.spans[:half]
	t.width *= 2
}
