package ledger

import (
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Snapshot is what of a pool outlives it, so that the next one can announce the time in between. Its lists must not be
// changed. Its JSON is made to be kept.
type Snapshot struct {
	// Version changes when anything but Alive does. Versions of different pools mean nothing to each other.
	Version uint64 `json:"-"`

	Alive     time.Time     `json:"alive"`               // when it was taken: the confirmed topics are dark from here on
	Confirmed []shard.Topic `json:"confirmed,omitempty"` // in the order of listing
	Gaps      []OpenGap     `json:"gaps,omitempty"`
}

// OpenGap is a gap that goes on.
type OpenGap struct {
	Topic     shard.Topic `json:"topic"`
	ID        string      `json:"id"`
	From      time.Time   `json:"from"`
	Cause     cause.Cause `json:"cause"`
	Announced bool        `json:"announced,omitempty"` // as open
}

// Since is s for a run of which nothing that was received from t on is sure to have been delivered; a zero t changes
// nothing. What is dark from a later time on is dark from t on.
func (s Snapshot) Since(t time.Time) Snapshot {
	if t.IsZero() {
		return s
	}
	if t.Before(s.Alive) {
		s.Alive = t
	}
	s.Gaps = slices.Clone(s.Gaps)
	for i := range s.Gaps {
		if g := &s.Gaps[i]; t.Before(g.From) {
			g.From = t
		}
	}
	return s
}

// Snapshot is what there is to keep at a time.
func (l *Ledger) Snapshot(now time.Time) Snapshot {
	if l.last != nil {
		s := *l.last // nothing has become of it yet
		s.Version = l.version
		return s
	}
	s := l.saved
	if s.Version != l.version {
		s = Snapshot{Version: l.version}
		for _, r := range l.order {
			if r.State == topic.Confirmed {
				s.Confirmed = append(s.Confirmed, r.Name)
			}
			if g := r.gap; g != nil {
				s.Gaps = append(s.Gaps, OpenGap{r.Name, g.id, g.from, g.cause, g.announced})
			}
		}
		l.saved = s
	}
	s.Alive = now
	return s
}

// resume takes over what the run before left. The topics that are wanted have their records.
func (l *Ledger) resume(last *Snapshot, now time.Time) {
	for _, left := range last.Gaps {
		r := l.records[left.Topic]
		goesOn := r != nil && r.State != topic.Refused
		if r == nil {
			subject, err := l.opts.Subject(shard.Wanted{Topic: left.Topic})
			if err != nil {
				continue // it was another feed's that had the same name
			}
			r = &Record{Topic: &topic.Topic{Name: left.Topic, Subject: subject}}
		}
		if r.gap != nil {
			continue
		}
		l.openGap(r, &gap{
			id: left.ID, from: notAfter(left.From, now), cause: left.Cause, at: AtUpstream,
			announced: left.Announced, before: left.Announced,
		}, now)
		r.known = goesOn && !left.Announced
		if !goesOn {
			l.lighten(r, topic.Filled{}, now)
		}
	}
	for _, name := range last.Confirmed {
		if r := l.records[name]; r != nil && r.gap == nil && r.State != topic.Refused {
			l.darken(r, notAfter(last.Alive, now), cause.Restart, now)
			r.known = true
		}
	}
}

// notAfter is t, or now where the clock was set back meanwhile.
func notAfter(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}
