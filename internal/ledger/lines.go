package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// TopicStatus is one line of the ledger.
type TopicStatus struct {
	Topic     shard.Topic `json:"topic"`
	Subject   string      `json:"subject"`
	Priority  int         `json:"priority,omitempty"`
	State     topic.State `json:"state"`
	Since     time.Time   `json:"since"`
	By        topic.By    `json:"by,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Slot      *shard.Slot `json:"slot,omitempty"`
	DarkSince time.Time   `json:"dark_since,omitzero"`
	Events    uint64      `json:"events"`
	LastEvent time.Time   `json:"last_event,omitzero"`
	Gaps      int         `json:"gaps,omitempty"`
	LastGap   *GapBrief   `json:"last_gap,omitempty"` // the one that goes on, else the newest that is over; nil: there was none
}

// GapBrief is the most that is kept of a gap.
type GapBrief struct {
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to,omitzero"` // zero: it goes on
	Cause  cause.Cause `json:"cause"`
	Filled string      `json:"filled,omitempty"` // once it is over: AllFilled, PartlyFilled or NotFilled
}

// Record is that of a wanted topic; nil for others.
func (l *Ledger) Record(name shard.Topic) *Record { return l.records[name] }

// Records are those of all wanted topics, in the order of listing. The list must not be changed.
func (l *Ledger) Records() []*Record { return l.order }

// Count is how many topics are in a state.
func (l *Ledger) Count(s topic.State) int { return l.counts[s] }

// Dark is how many topics were confirmed once, are not now, and have a place on which they may be again. Those that lost it,
// or were refused, are counted as such.
func (l *Ledger) Dark() (n int) {
	for _, r := range l.order {
		if !r.dark.IsZero() && r.HasPlace() {
			n++
		}
	}
	return n
}

// Gaps is how many opened so far, by cause, and the sum of those that are closed.
func (l *Ledger) Gaps() (opened map[cause.Cause]uint64, closed time.Duration) {
	return maps.Clone(l.gaps), l.gapTime
}

// Lines lists every record, most wanted first.
func (l *Ledger) Lines() []TopicStatus {
	list := make([]TopicStatus, 0, len(l.order))
	for _, r := range l.order {
		list = append(list, r.Line())
	}
	slices.SortStableFunc(list, func(a, b TopicStatus) int { return b.Priority - a.Priority })
	return list
}

// Line is the record as others see it.
func (r *Record) Line() TopicStatus {
	t := TopicStatus{
		Topic: r.Name, Subject: r.Subject, Priority: r.Priority, State: r.State, Since: r.Since,
		By: r.By, Reason: r.Reason, DarkSince: r.dark,
		Events: r.Events(), LastEvent: r.LastEvent(), Gaps: r.gaps,
	}
	if r.HasPlace() {
		slot := r.Slot
		t.Slot = &slot
	}
	if g := cmp.Or(r.gap, r.lastGap); g != nil {
		t.LastGap = &GapBrief{From: g.from, To: g.to, Cause: g.cause}
		if !g.to.IsZero() {
			t.LastGap.Filled, _ = g.howFilled()
		}
	}
	return t
}
