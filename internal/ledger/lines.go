package ledger

import (
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
}

// Record is that of a wanted topic; nil for others.
func (l *Ledger) Record(name shard.Topic) *Record { return l.records[name] }

// Records are those of all wanted topics, in the order of listing. The list must not be changed.
func (l *Ledger) Records() []*Record { return l.order }

// Count is how many topics are in a state.
func (l *Ledger) Count(s topic.State) int { return l.counts[s] }

// Dark is how many topics were confirmed once and are not now.
func (l *Ledger) Dark() int { return l.dark }

// Gaps is how many opened so far, by cause, and the sum of those that are closed.
func (l *Ledger) Gaps() (opened map[cause.Cause]uint64, closed time.Duration) {
	return maps.Clone(l.gaps), l.gapTime
}

// Lines lists every record, most wanted first.
func (l *Ledger) Lines() []TopicStatus {
	list := make([]TopicStatus, 0, len(l.order))
	for _, r := range l.order {
		t := TopicStatus{
			Topic: r.Name, Subject: r.Subject, Priority: r.Priority, State: r.State, Since: r.Since,
			By: r.By, Reason: r.Reason, DarkSince: r.dark,
			Events: r.Events(), LastEvent: r.LastEvent(), Gaps: r.gaps,
		}
		if r.HasPlace() {
			slot := r.Slot
			t.Slot = &slot
		}
		list = append(list, t)
	}
	slices.SortStableFunc(list, func(a, b TopicStatus) int { return b.Priority - a.Priority })
	return list
}
