package ledger

import (
	"fmt"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
)

// AnnounceAfter is how long a topic must have left confirmed before that is announced; a gap's end always is.
const AnnounceAfter = 2 * time.Second

// gap is a time in which a confirmed topic is dark.
type gap struct {
	id        string
	from      time.Time // the last frame of the life that died
	cause     cause.Cause
	at        GapAt
	announced bool // as open
	before    bool // … by the run before this one

	// Once it is over.
	to     time.Time
	filled topic.Filled
}

// howFilled is what a notice says of a gap that is over, and up to when, where that is a part.
func (g *gap) howFilled() (filled string, to time.Time) {
	switch {
	case g.filled.All:
		return AllFilled, time.Time{}
	case g.filled.To.After(g.from):
		return PartlyFilled, g.filled.To.UTC()
	}
	return NotFilled, time.Time{}
}

// fading is a topic that left confirmed, with the gap that began then.
type fading struct {
	record *Record
	gap    *gap
	at     time.Time
}

// darken begins a gap.
func (l *Ledger) darken(r *Record, from time.Time, why cause.Cause, now time.Time) {
	l.openGap(r, l.newGap(from, why), now)
}

// wasDark announces a gap that is over already, whatever is known of the topic now.
func (l *Ledger) wasDark(r *Record, n slots.GapNews) {
	r.gaps++
	l.gaps[n.Cause]++
	if n.At == AtUpstream {
		l.gapTime += n.To.Sub(n.From)
	}
	g := l.newGap(n.From, n.Cause)
	g.at, g.to, g.filled = n.At, n.To, n.Filled
	r.lastGap = g
	l.notifyGap(r, g, GapClosed)
}

// Gap announces a gap of all topics in a slot that is over already. Those that nobody listened to yet had none.
func (l *Ledger) Gap(n slots.GapNews) {
	if n.From.IsZero() {
		n.From = n.To
		if last := l.opts.Last; last != nil {
			n.From = notAfter(last.Alive, n.To)
		}
	}
	for _, r := range l.order {
		if r.HasPlace() && r.Slot == n.Slot && (!r.Heard.IsZero() || !r.dark.IsZero()) {
			l.wasDark(r, n)
		}
	}
}

func (l *Ledger) newGap(from time.Time, why cause.Cause) *gap {
	l.gapID++
	return &gap{id: fmt.Sprintf("%s:%016x:%d", l.opts.Feed, l.opts.Start, l.gapID), from: from, cause: why, at: AtUpstream}
}

// openGap lets a topic be dark in a gap that may have begun in an earlier run.
func (l *Ledger) openGap(r *Record, g *gap, now time.Time) {
	l.version++
	r.gap, r.dark = g, g.from
	if !g.announced {
		r.gaps++
		l.gaps[g.cause]++
		l.fading = append(l.fading, fading{r, g, now})
	}
}

// lighten says that a topic is not dark any more, and how much of what it missed was had afterwards.
func (l *Ledger) lighten(r *Record, filled topic.Filled, now time.Time) {
	r.dark = time.Time{}
	l.closeGap(r, filled, now)
}

func (l *Ledger) closeGap(r *Record, filled topic.Filled, now time.Time) {
	if r.gap == nil {
		return
	}
	l.version++
	l.gapTime += now.Sub(r.gap.from)
	r.gap.to, r.gap.filled = now, filled
	l.notifyGap(r, r.gap, GapClosed)
	r.gap, r.lastGap = nil, r.gap
}

// Announce tells of the topics that have been out of confirmed for long enough. It returns when it is next needed;
// zero: not before something changes.
func (l *Ledger) Announce(now time.Time) (next time.Time) {
	for len(l.fading) > 0 {
		f := l.fading[0]
		if f.record.gap == f.gap { // else it ended before anyone was told that it began
			if at := f.at.Add(AnnounceAfter); now.Before(at) {
				return at
			}
			l.version++
			f.gap.announced = true
			l.notifyGap(f.record, f.gap, GapOpen)
			if f.record.State != topic.Refused { // that was announced by itself
				f.record.known = false
				l.notifyTopic(f.record, f.record.State.String(), string(f.gap.cause))
			}
		}
		l.fading = l.fading[1:]
	}
	l.fading = nil
	return time.Time{}
}
