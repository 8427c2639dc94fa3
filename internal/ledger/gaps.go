package ledger

import (
	"fmt"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/topic"
)

// AnnounceAfter is how long a topic must have left confirmed before that is announced; a gap's end always is.
const AnnounceAfter = 2 * time.Second

// gap is a time in which a confirmed topic is dark.
type gap struct {
	id        string
	from      time.Time // the last frame of the life that died
	cause     cause.Cause
	announced bool // as open
	before    bool // … by the run before this one
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
func (l *Ledger) wasDark(r *Record, from, to time.Time, why cause.Cause) {
	r.gaps++
	l.gaps[why]++
	l.gapTime += to.Sub(from)
	l.notifyGap(r, l.newGap(from, why), GapClosed, to)
}

func (l *Ledger) newGap(from time.Time, why cause.Cause) *gap {
	l.gapID++
	return &gap{id: fmt.Sprintf("%s:%016x:%d", l.opts.Feed, l.opts.Start, l.gapID), from: from, cause: why}
}

// openGap lets a topic be dark in a gap that may have begun in an earlier run.
func (l *Ledger) openGap(r *Record, g *gap, now time.Time) {
	l.version++
	r.gap, r.dark = g, g.from
	l.dark++
	if !g.announced {
		r.gaps++
		l.gaps[g.cause]++
		l.fading = append(l.fading, fading{r, g, now})
	}
}

// lighten says that a topic is not dark any more.
func (l *Ledger) lighten(r *Record, now time.Time) {
	if !r.dark.IsZero() {
		r.dark = time.Time{}
		l.dark--
	}
	l.closeGap(r, now)
}

func (l *Ledger) closeGap(r *Record, now time.Time) {
	if r.gap == nil {
		return
	}
	l.version++
	l.gapTime += now.Sub(r.gap.from)
	l.notifyGap(r, r.gap, GapClosed, now)
	r.gap = nil
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
			l.notifyGap(f.record, f.gap, GapOpen, time.Time{})
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
