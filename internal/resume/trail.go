package resume

import (
	"slices"
	"time"

	"feedmux/internal/protocol"
)

// maxSpans is how many spans a trail has. When there would be more, they are merged, two and two.
const maxSpans = 1024

// trail leads from the numbers of taken events back to positions, for those that NATS is not known to have yet. A span of
// numbers has one pair of positions. While few events are on their way each has a span of its own, and the trail is exact;
// the further NATS is behind, the coarser it gets, and the same events may be fetched twice. So its size is bounded.
type trail struct {
	order protocol.Resumer
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

// took notes that the event with that number was taken.
func (t *trail) took(number uint64, position []byte, received time.Time) {
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
	if position != nil && (s.low == nil || t.order.Compare(position, s.low) < 0) {
		t.keep(&s.low, position)
	}
}

// reach notes that the cursor moved on: that is true once all is done with that was taken before.
func (t *trail) reach(cursor []byte) {
	if n := len(t.spans); n > 0 {
		t.keep(&t.spans[n-1].high, cursor)
	} else {
		t.keep(&t.done, cursor)
	}
}

// keep copies a position, into memory that is there if possible.
func (t *trail) keep(to *[]byte, position []byte) {
	if n := len(t.spare); *to == nil && n > 0 {
		*to, t.spare = t.spare[n-1], t.spare[:n-1]
	}
	*to = append((*to)[:0], position...)
}

// free lets a position's memory be used again.
func (t *trail) free(position []byte) {
	if position != nil && len(t.spare) < 2*maxSpans {
		t.spare = append(t.spare, position)
	}
}

// seal lets the newest span grow no further, so that it can be done with though events keep coming.
func (t *trail) seal() {
	if n := len(t.spans); n > 0 {
		t.spans[n-1].sealed = true
	}
}

// settle forgets what is done with.
func (t *trail) settle(done uint64) {
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

// safe is the highest position up to which all is done with, as far as the spans can tell: to fetch from there on brings
// whatever is not. It is never later than the truth. nil: no position is known.
func (t *trail) safe() []byte {
	p := t.done
	if p == nil {
		return nil
	}
	for i := range t.spans {
		if low := t.spans[i].low; low != nil && t.order.Compare(low, p) <= 0 {
			p = t.order.Before(low)
		}
	}
	return p
}

// reset begins anew at a position: those that are there already mean nothing any more.
func (t *trail) reset(position []byte) {
	t.done = slices.Clone(position)
	for i := range t.spans {
		t.spans[i].low, t.spans[i].high, t.spans[i].sealed = nil, nil, true
	}
}

// clear forgets all that is not done with. It returns what safe was, and when the first of it was received; zero if there
// is none.
func (t *trail) clear() (safe []byte, from time.Time) {
	safe = slices.Clone(t.safe())
	if len(t.spans) > 0 {
		from = t.spans[0].from
	}
	t.spans, t.done = nil, safe
	return safe, from
}

// merge makes half as many spans.
func (t *trail) merge() {
	for i := 0; i < len(t.spans); i += 2 {
		s := t.spans[i]
		if i+1 < len(t.spans) {
			next := t.spans[i+1]
			s.last, s.events = next.last, s.events+next.events
			if s.low == nil || next.low != nil && t.order.Compare(next.low, s.low) < 0 {
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
