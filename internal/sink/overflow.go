package sink

import (
	"slices"
	"time"
)

// overflowEnds is how long after the last event of a feed that found no room.
const overflowEnds = 2 * time.Second

// overflowLocked notes events that found no room.
func (f *feed) overflowLocked(dropped []entry, now time.Time) {
	for i := range dropped {
		m := dropped[i].mark
		if m.overflow.events == 0 {
			f.overflow = append(f.overflow, m)
		}
		m.overflow.add(dropped[i].received)
	}
	f.overflowAt = now
}

// overflow is what of one topic found no room.
type overflow struct {
	*mark
	span
}

// overflows gives what found no room, of the feeds of which nothing was dropped for overflowEnds; or of all at once. It
// is given once.
func (b *buffer) overflows(now time.Time, atOnce bool) (ended []overflow) {
	if !b.overflowing.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.overflowing.Store(false)
	for _, f := range slices.Clone(b.feeds) { // one that leaves may go
		if len(f.overflow) == 0 {
			continue
		}
		if !atOnce && now.Sub(f.overflowAt) < overflowEnds {
			b.overflowing.Store(true)
			continue
		}
		for _, m := range f.overflow {
			ended = append(ended, overflow{m, m.overflow})
			m.overflow = span{}
		}
		f.overflow = nil
		b.leaveLocked(f)
	}
	return ended
}
