package pool

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"feedmux/internal/ledger"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Overflow is what happens to topics for which there is no room.
type Overflow int

const (
	Park   Overflow = iota // they have no place until one is free
	Turns                  // those of the lowest priority that has places share them in turn
	Reject                 // whoever wants them asks Fits first; in the pool like Park
)

const (
	// hearWithin is how much longer than Dwell a topic that is never confirmed keeps its place.
	hearWithin = 30 * time.Second
	// gatherTurns is the longest time for which turns that are over wait for more of them, so that topics change places
	// in whole batches.
	gatherTurns = 5 * time.Second
)

// Fits says whether the slots have room for all of topics, and if not, which is the first that has no place. It looks at
// nothing else, so whatever wants topics may ask it at any time.
func (p *Pool) Fits(topics []shard.Wanted) error {
	room := make(shard.Room, p.opts.Conn.Connections)
	s := p.newest.Load()
	for i := range room {
		room[i] = s.TopicsPerConnection
	}
	placed, unplaced := shard.Assign(nil, topics, room, s.Placement)
	if len(unplaced) == 0 {
		return nil
	}
	return fmt.Errorf("finding places for %d topics: there is room for %d, and %q is the first without a place",
		len(placed)+len(unplaced), room.Total(), unplaced[0])
}

// turnEvery is how often the pool looks for turns that are over, while topics wait for theirs.
func (s *Settings) turnEvery() time.Duration {
	return min(max(s.Dwell/10, time.Second), gatherTurns)
}

// turnEnds is when a topic that has a place has had it for long enough.
func turnEnds(r *ledger.Record, dwell time.Duration) time.Time {
	if r.Heard.IsZero() {
		return r.Placed.Add(dwell + hearWithin)
	}
	return r.Heard.Add(dwell)
}

// rotate ends turns. A place changes hands once the topic in it has had it for Dwell and another has waited for as long:
// so where few wait, few are absent at a time, and all for the same time. It says whether topics wait for turns.
func (p *Pool) rotate(now time.Time) (waits bool) {
	priority, waits := p.turning()
	if !waits {
		return false
	}
	ready := 0
	var over []*ledger.Record
	room := p.carries()
	for _, r := range p.ledger.Records() {
		switch {
		case r.State == topic.Assigned && r.Reason == "" && p.slots[r.Slot].State == slots.Live:
			room[r.Slot] = 0 // what it took on last is still to be asked for
		case r.Priority != priority:
		case r.State == topic.Unplaced && now.Sub(r.Since) >= p.settings.Dwell:
			ready++
		case r.HasPlace() && !now.Before(turnEnds(r, p.settings.Dwell)):
			over = append(over, r)
		}
	}
	slices.SortFunc(over, func(a, b *ledger.Record) int {
		return cmp.Or(turnEnds(a, p.settings.Dwell).Compare(turnEnds(b, p.settings.Dwell)), cmp.Compare(a.Queued, b.Queued))
	})
	left := ready
	for _, r := range over {
		if left == 0 {
			break
		}
		if room[r.Slot] == 0 {
			continue
		}
		room[r.Slot]--
		left--
		p.ledger.EndTurn(r)
		delete(p.assignment, r.Name)
	}
	if left < ready {
		p.assign(now)
	}
	return true
}

// turning is the priority whose topics take turns: the highest of those that have no place, if others of it have one.
func (p *Pool) turning() (priority int, any bool) {
	for _, r := range p.ledger.Records() {
		if r.State == topic.Unplaced && (!any || r.Priority > priority) {
			priority, any = r.Priority, true
		}
	}
	return priority, any && slices.ContainsFunc(p.ledger.Records(), func(r *ledger.Record) bool {
		return r.HasPlace() && r.Priority == priority
	})
}

// carries is how many topics each slot can exchange before the next look: half of the messages that its subscribe rate
// allows in that time, two to a batch.
func (p *Pool) carries() []int {
	rate := p.settings.Conn.SubscribeRate
	messages := float64(rate.N) * float64(p.settings.turnEvery()) / float64(rate.Per)
	room := make([]int, len(p.slots))
	for i := range room {
		room[i] = max(1, int(messages/4)) * p.settings.Conn.SubscribeBatch
	}
	return room
}
