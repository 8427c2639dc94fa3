package pool

import (
	"fmt"
	"slices"
	"time"

	"feedmux/internal/ledger"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// gatherRefusals is how long the place that a refusal frees stays empty: many come together, and each change of places
// looks at every wanted topic.
const gatherRefusals = 200 * time.Millisecond

// assignSoon lets the topics be placed again once what comes together has come.
func (p *Pool) assignSoon(now time.Time) {
	if p.assignAt.IsZero() {
		p.assignAt = now.Add(gatherRefusals)
	}
}

// assign places the wanted topics and gives every conn whose topics changed its new order.
func (p *Pool) assign(now time.Time) {
	p.assignAt = time.Time{}
	if p.refusals > 0 {
		p.opts.Log.Warn("topics refused", append([]any{"feed", p.opts.Conn.Feed, "topics", p.refusals}, p.refusal...)...)
		p.refusals = 0
	}
	room := p.room()
	p.makeRoom(room)
	next, unplaced := shard.Assign(p.assignment, p.ledger.Placeable(), room, p.settings.Placement)
	p.assignment = next
	p.unplace(unplaced, room, now)
	orders := make([][]*ledger.Record, len(room))
	for _, r := range p.ledger.Records() {
		if slot, ok := next[r.Name]; ok {
			r.TurnOver = false
			p.ledger.Place(r, slot, now)
			orders[slot] = append(orders[slot], r)
		}
	}
	for slot, records := range orders {
		slices.SortStableFunc(records, func(a, b *ledger.Record) int { return b.Priority - a.Priority })
		topics := make([]*topic.Topic, len(records))
		for i, r := range records {
			topics[i] = r.Topic
		}
		if !slices.Equal(topics, p.sent[slot]) {
			p.sent[slot] = topics
			p.slots[slot].Topics = len(topics)
			p.order(slot)
		}
	}
	p.sayCapacity(room.Total(), now)
	if p.opts.Overflow == Turns && p.short && p.turnAt.IsZero() {
		p.turnAt = now.Add(p.settings.turnEvery())
	}
}

// reduced says that the upstream takes fewer topics on a life than usual.
type reduced struct {
	capacity int       // 0: as many as usual
	life     int       // which; it may be the next one of its slot
	guess    time.Time // when it was guessed, for a life that was to come; zero: the upstream said so
}

// gainSoon lets slots have as many topics as usual again that were guessed to take fewer, for as long as a refusal stands: what
// made the upstream count as it did may be over. It returns when it is next needed; zero: not before something changes.
func (p *Pool) gainSoon(now time.Time) (next time.Time) {
	for i := range p.full {
		f := &p.full[i]
		if f.guess.IsZero() {
			continue
		}
		if at := f.guess.Add(ledger.RefusedFor); now.Before(at) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		p.forgetFull(f, now)
	}
	return next
}

func (p *Pool) forgetFull(f *reduced, now time.Time) {
	if f.capacity > 0 {
		*f = reduced{}
		p.assignSoon(now)
	}
}

// fullNext says whether the next life of a slot takes fewer topics than usual. What the one before confirmed does not count.
func (p *Pool) fullNext(slot int) bool {
	return p.full[slot].capacity > 0 && p.full[slot].life > p.slots[slot].Life
}

// room is how many topics each slot can take.
func (p *Pool) room() shard.Room {
	room := make(shard.Room, p.opts.Conn.Connections)
	confirmed := make([]int, len(room))
	for _, r := range p.ledger.Records() {
		if r.State == topic.Confirmed && !p.fullNext(int(r.Slot)) {
			confirmed[r.Slot]++
		}
	}
	for i := range room {
		if room[i] = p.settings.TopicsPerConnection; p.full[i].capacity > 0 {
			room[i] = min(room[i], max(p.full[i].capacity, confirmed[i]))
		}
	}
	return room
}

// makeRoom lets the topics leave a life that takes fewer than usual which it did not confirm. Where it is not known which
// the life takes, the least wanted have to go, as always.
func (p *Pool) makeRoom(room shard.Room) {
	placed := make([]int, len(room))
	for _, r := range p.ledger.Records() {
		if r.HasPlace() && !r.TurnOver {
			placed[r.Slot]++
		}
	}
	for _, r := range slices.Backward(p.ledger.Records()) {
		if !r.HasPlace() || r.TurnOver || r.State == topic.Confirmed || p.fullNext(int(r.Slot)) {
			continue
		}
		if full := p.full[r.Slot].capacity; full > 0 && placed[r.Slot] > max(room[r.Slot], full) {
			placed[r.Slot]--
			p.assignment[r.Name] = -1 // no slot: it had a place, and needs another
		}
	}
}

// unplace takes the topics for which there is no room, most wanted first. Where they take turns it works out when each
// one's comes: as many come at a time as there are places, and each batch of them stays for Dwell.
func (p *Pool) unplace(topics []shard.Topic, room shard.Room, now time.Time) {
	turning, places := 0, 0
	if p.opts.Overflow == Turns && len(topics) > 0 {
		turning = p.ledger.Record(topics[0]).Priority
		for name := range p.assignment {
			if p.ledger.Record(name).Priority == turning {
				places++
			}
		}
	}
	for i, name := range topics {
		r := p.ledger.Record(name)
		over := r.TurnOver
		r.TurnOver = false
		if r.State == topic.Unplaced && r.Reason != "" {
			continue
		}
		var reason string
		switch {
		case over:
			reason = "its turn is over"
		case !r.HasPlace():
			reason = "no slot has room"
		case p.full[r.Slot].capacity > 0 && (r.State != topic.Confirmed || p.fullNext(int(r.Slot))):
			reason = "the upstream takes no more topics on its connection, and no other has room"
		case len(p.sent[r.Slot]) > room[r.Slot]:
			reason = "there is room for fewer topics than before"
		default:
			reason = "a topic of higher priority took its place"
		}
		if places > 0 && r.Priority == turning {
			next := now.Add(time.Duration(i/places+1) * p.settings.Dwell)
			reason = fmt.Sprintf("%s; its next turn comes at about %s", reason, next.UTC().Format(time.RFC3339))
		}
		p.ledger.Unplace(r, reason, over, now)
	}
}

// sayCapacity announces that topics have no place any more, or that all have one again.
func (p *Pool) sayCapacity(capacity int, now time.Time) {
	unplaced := p.ledger.Count(topic.Unplaced)
	if p.short == (unplaced > 0) {
		return
	}
	p.short = !p.short
	if p.short {
		p.opts.Log.Warn("topics have no place", "feed", p.opts.Conn.Feed, "topics", unplaced, "capacity", capacity)
	} else {
		p.opts.Log.Info("every topic has a place", "feed", p.opts.Conn.Feed, "capacity", capacity)
	}
	p.ledger.NotifyFeed(&ledger.CapacityNotice{
		Feed: p.opts.Conn.Feed, Unplaced: unplaced, Capacity: capacity, At: now.UTC(),
	})
}
