package resume

import (
	"slices"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Bounds of what is held back.
const (
	maxHeld   = 4 << 20 // bytes; past them all is forgotten, left out, and fetched instead
	eventSize = 128     // what a held event costs beside its bytes; maxHeld / eventSize is below brought.MaxSeen
)

// held is a live event that waits.
type held struct {
	topic                 *topic.Topic
	id, payload, position []byte
	life                  int
	slot                  shard.Slot
	received              time.Time
}

func (h *held) size() int { return len(h.id) + len(h.payload) + len(h.position) + eventSize }

// Heard says what the life brought, in the order in which it came. The life's reader calls it. What is kept is copied; it
// never waits for the network, NATS or a file.
func (s *Stream) Heard(events []protocol.Event, received time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		s.hearLocked(&events[i], received)
	}
}

func (s *Stream) hearLocked(e *protocol.Event, received time.Time) {
	if e.Position != nil {
		if s.cursor == nil {
			s.begin(s.opts.Protocol.Before(e.Position)) // the very first: it is saved before anything is handed over
			s.known, s.above = false, true
			s.kick()
		}
		if !s.above && s.compare(e.Position, s.cursor) > 0 {
			s.above = true
		}
	}
	t, skip := s.routes.find(e)
	if t == nil {
		s.opts.Tally.Skip(skip)
		if s.straightLocked(e) {
			s.advanceLocked(e.Position)
		}
		return
	}
	h := held{
		topic: t, id: e.ID, payload: e.Payload, position: e.Position,
		life: s.life, slot: s.slot, received: received,
	}
	if s.straightLocked(e) && s.takeLocked(&h, true) {
		return
	}
	s.holdLocked(&h)
}

// straightLocked says that a live event may go straight on: all that came before it was brought.
func (s *Stream) straightLocked(e *protocol.Event) bool {
	if len(s.held) > 0 || s.suspect != nil || !s.live || s.leaving {
		return false
	}
	if s.cursor == nil {
		return e.Position == nil
	}
	return s.met == s.demand && s.anchored
}

// holdLocked keeps a copy of a live event, or leaves it out where there is no room.
func (s *Stream) holdLocked(h *held) {
	if s.leaving {
		s.leaveOutLocked(h)
		return
	}
	if s.heldBytes+h.size() > s.maxHeld {
		s.leaving, s.top = true, nil
		if s.left.IsZero() {
			s.left = time.Now()
		}
		s.demand++
		s.kick()
		for i := range s.held {
			s.leaveOutLocked(&s.held[i])
		}
		s.held, s.heldBytes = nil, 0
		s.leaveOutLocked(h)
		return
	}
	if len(s.held) == 0 {
		s.kick() // else run knows
	}
	kept := *h
	kept.id, kept.payload, kept.position = slices.Clone(h.id), slices.Clone(h.payload), slices.Clone(h.position)
	s.held = append(s.held, kept)
	s.heldBytes += kept.size()
}

// leaveOutLocked sees to it that a live event will be fetched.
func (s *Stream) leaveOutLocked(h *held) {
	if h.position == nil {
		s.opts.Tally.Skip(skipLeftOut)
		return
	}
	if s.top == nil || s.compare(h.position, s.top) > 0 {
		s.top = append(s.top[:0], h.position...)
		if s.compare(h.position, s.cursor) > 0 {
			return // it is still to come
		}
	} // else a page that is under way may pass it, and not have it
	if s.seen.Has(s.seen.Key(h.id, h.position)) {
		return
	}
	if p := s.opts.Protocol.Before(h.position); len(h.id) > 0 && (s.late == nil || s.compare(p, s.late) < 0) {
		s.late = slices.Clone(p) // it would not be asked for
	}
}

// fromLocked is after which position there is something to fetch.
func (s *Stream) fromLocked() []byte {
	if s.owed {
		return s.after
	}
	return s.cursor
}

func (s *Stream) compare(a, b []byte) int { return s.opts.Protocol.Compare(a, b) }

// advanceLocked notes that all up to a position was brought, or need not be.
func (s *Stream) advanceLocked(position []byte) {
	if position == nil || s.compare(position, s.cursor) <= 0 {
		return
	}
	s.above = true
	s.cursor = append(s.cursor[:0], position...)
	s.trail.Reach(s.cursor)
}

// takeLocked hands an event over, unless it came before. False: not now; it is as if it had not been called.
func (s *Stream) takeLocked(h *held, live bool) bool {
	k := s.seen.Key(h.id, h.position)
	passed := h.position != nil && s.compare(h.position, s.cursor) <= 0
	unsure := passed && live && !s.above // the position may be another history's
	if s.seen.Has(k) && (!unsure || len(h.id) > 0) {
		s.opts.Tally.Skip(skipRepeated)
		s.advanceLocked(h.position)
		return true
	}
	switch {
	case unsure:
		s.suspect = slices.Clone(s.opts.Protocol.Before(h.position))
		s.suspectAt = s.suspect
		s.kick()
		return false
	case passed && len(h.id) == 0:
		s.opts.Tally.Skip(skipRepeated)
		return true
	}
	s.event = topic.Event{
		Topic: h.topic, ID: h.id, Payload: h.payload,
		Slot: int(h.slot), Life: h.life, Seq: h.topic.Events() + 1, Received: h.received,
	}
	if !s.opts.Taker.Take(&s.event) {
		return false
	}
	h.topic.Count(h.received) // nobody else counts here: it is Seq
	s.taken++
	s.seen.Add(k, s.taken)
	s.trail.Took(s.taken, h.position, h.received)
	s.advanceLocked(h.position)
	if h.position != nil {
		s.sure = h.received
	}
	s.opts.Tally.Add(1, h.received)
	return true
}

// settledLocked says that nothing has to be fetched before what is held may go on.
func (s *Stream) settledLocked() bool {
	return s.met == s.demand && (s.live || !s.open) && !s.leaving && s.suspect == nil && s.page == nil &&
		(s.anchored || s.cursor == nil)
}

// batch is how many events are handed over before others may have the lock.
const batch = 256

// drain hands over what is held. It says false if the Taker has no room now.
func (s *Stream) drain() bool {
	for {
		s.mu.Lock()
		done, room := s.drainLocked()
		s.mu.Unlock()
		if done {
			return room
		}
	}
}

func (s *Stream) drainLocked() (done, room bool) {
	for range batch {
		if !s.settledLocked() {
			return true, true
		}
		if len(s.held) == 0 {
			s.held = nil
			s.onCaughtUpLocked()
			return true, true
		}
		h := &s.held[0]
		if !s.routes.wanted(h.topic) {
			s.opts.Tally.Skip(skipUnwanted)
		} else if !s.takeLocked(h, true) {
			return true, s.suspect != nil
		}
		s.heldBytes -= h.size()
		s.held[0] = held{}
		s.held = s.held[1:]
	}
	return false, true
}

// sortLocked puts what is held into the order of positions, now that all of it is there. What has none stays behind what it
// came after.
func (s *Stream) sortLocked() {
	var place []byte
	places := make(map[*held][]byte)
	order := make([]*held, len(s.held))
	for i := range s.held {
		h := &s.held[i]
		if h.position != nil {
			place = h.position
		}
		order[i], places[h] = h, place
	}
	slices.SortStableFunc(order, func(a, b *held) int {
		switch pa, pb := places[a], places[b]; {
		case pa == nil || pb == nil:
			return len(pa) - len(pb)
		default:
			return s.compare(pa, pb)
		}
	})
	sorted := make([]held, len(order))
	for i, h := range order {
		sorted[i] = *h
	}
	s.held = sorted
}

// onCaughtUpLocked notes that nothing is held or owed.
func (s *Stream) onCaughtUpLocked() {
	s.left = time.Time{}
	if !s.lost.From.IsZero() {
		s.lost.Filled = topic.Filled{All: !s.spoilt}
		s.addGapLocked(s.lost)
		s.lost = Gap{}
	}
	if !s.live || s.caughtUp {
		return
	}
	s.caughtUp, s.behind = true, time.Time{}
	switch {
	case s.rebuilt || !s.known:
		s.filled = topic.Filled{}
	case s.failed:
		s.filled = topic.Filled{To: s.had}
	default:
		s.filled = topic.Filled{All: true}
	}
	s.tell()
}
