package resume

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/topic"
)

const (
	saveEvery = 500 * time.Millisecond // between two looks at what NATS has, and at what is to be saved
	roomEvery = 25 * time.Millisecond  // between two tries to hand over, while there is no room
	never     = 24 * time.Hour         // far enough for a timer
)

// Run fetches, hands over what waits, and saves the position, until ctx ends. It returns after its goroutines; the position
// is saved a last time with KeepPosition, once what was handed over has had its chance.
func (s *Stream) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan *fetch)
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer func() {
		cancel()
		if s.fetch != nil {
			<-answers
			s.fetch = nil
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		case f := <-answers:
			s.fetch = nil
			s.onAnswer(f)
		}
		now := time.Now()
		wake := s.work(now)
		if f := s.next(now, &wake); f != nil {
			s.fetch = f
			fctx, cancel := context.WithCancel(ctx)
			f.cancel = cancel
			go func() {
				defer cancel()
				s.ask(fctx, f)
				answers <- f // Run receives until it has come
			}()
		}
		timer.Reset(time.Until(wake))
	}
}

// work does all that can be done at once, and says when there may be more.
func (s *Stream) work(now time.Time) (wake time.Time) {
	if s.save(now) {
		s.retake(now)
	}
	wake = s.saveAt
	room := s.deliver() && s.drain()
	if !room {
		if s.retake(now) {
			s.kick()
		}
		wake = now.Add(roomEvery)
	}
	s.watch(now, room)
	return wake
}

// save writes the position down when it is time to, or when nothing may be handed over before. It says whether it looked.
func (s *Stream) save(now time.Time) bool {
	s.mu.Lock()
	first := !s.anchored && s.cursor != nil
	due := first || !now.Before(s.saveAt)
	s.mu.Unlock()
	if !due {
		return false
	}
	s.saveAt = now.Add(saveEvery)
	err := s.keep(false)
	switch {
	case err != nil && !s.unkept:
		s.log.Warn("the position of the stream could not be saved: after a crash, events since the last one that was come once more",
			"error", err)
	case err == nil && s.unkept:
		s.log.Info("the position of the stream is saved again")
	}
	s.unkept = err != nil
	if first {
		s.mu.Lock()
		s.anchored = true
		s.mu.Unlock()
	}
	return true
}

// KeepPosition saves the position up to which NATS is known to have everything. It is called after Run has returned and
// the sink has done what it could, and goes back where a late event did not get through: what came after that comes once more.
func (s *Stream) KeepPosition() error { return s.keep(true) }

// keep saves the position if it moved on, or at the end if it is another one. One goroutine at a time calls it.
func (s *Stream) keep(end bool) error {
	done, _ := s.opts.Taker.Progress()
	s.mu.Lock()
	s.trail.Settle(done)
	s.trail.Seal()
	position := s.trail.Safe()
	if position != nil && s.owed {
		position = s.lowerOf(position, s.after)
	}
	if position != nil && s.late != nil {
		position = s.lowerOf(position, s.late)
	}
	for i := range s.held {
		h := &s.held[i]
		if end && position != nil && h.position != nil && s.compare(h.position, position) <= 0 && !s.seen.Has(s.seen.Key(h.id, h.position)) {
			position = s.opts.Protocol.Before(h.position)
		}
	}
	// For a late event the stored position does not go back before the end.
	moved := position != nil && (s.saved == nil || s.unsaved || s.compare(position, s.saved) > 0 || end && s.compare(position, s.saved) < 0)
	position = slices.Clone(position)
	rewinds := s.rewinds
	s.mu.Unlock()
	if !moved {
		return nil
	}
	if err := s.opts.Positions.Save(position); err != nil {
		return fmt.Errorf("saving the stream's position: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = position
	if rewinds == s.rewinds {
		s.unsaved = false
	}
	return nil
}

// retake begins to fetch once more what the Taker lost. It says whether that lost anything.
func (s *Stream) retake(now time.Time) bool {
	if _, lost := s.opts.Taker.Progress(); !lost {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.taken
	s.taken = s.opts.Taker.Restart()
	s.seen.Forget(s.taken)
	s.trail.Settle(s.taken)
	safe, from := s.trail.Clear()
	if s.taken == before {
		return true // nothing that was taken was lost
	}
	s.sayLocked(slog.LevelWarn, "the connection to NATS broke: events that it may not have are fetched once more",
		"cause", cause.NATSBroke, "events", before-s.taken)
	if s.lost.From.IsZero() {
		s.spoilt = false
		s.lost = Gap{From: from, Cause: cause.NATSBroke}
	}
	s.lost.To = now
	if safe == nil {
		s.addGapLocked(s.lost) // no event had a position
		s.lost = Gap{}
		return true
	}
	s.page, s.owed = nil, false
	s.rewinds++
	s.demand++
	s.cursor = slices.Clone(safe)
	if s.saved != nil && !s.unsaved && s.compare(safe, s.saved) < 0 { // a late event is lost
		s.cursor, s.owed, s.after = slices.Clone(s.saved), true, safe
	}
	return true
}

// deliver hands over what was fetched. It says false if the Taker has no room now.
func (s *Stream) deliver() bool {
	for s.page != nil {
		s.mu.Lock()
		room := s.deliverLocked()
		s.mu.Unlock()
		if !room {
			return false
		}
	}
	return true
}

func (s *Stream) deliverLocked() (room bool) {
	events := s.reading.Events
	for range batch {
		if s.pageAt == len(events) {
			s.onPageLocked()
			return true
		}
		e := &events[s.pageAt]
		switch t, skip := s.routes.find(e); {
		case e.Position == nil || s.compare(e.Position, s.page.after) <= 0: // it was not asked for
		case t == nil:
			s.opts.Tally.Skip(skip)
			s.advanceLocked(e.Position)
		case !s.takeLocked(&held{
			topic: t, id: e.ID, payload: e.Payload, position: e.Position,
			life: s.life, slot: s.slot, received: s.page.received,
		}, false):
			return false
		}
		if e.Sent.After(s.sent) {
			s.sent = e.Sent
		}
		s.pageAt++
	}
	return true
}

// onPageLocked ends a page.
func (s *Stream) onPageLocked() {
	f := s.page
	s.page = nil
	end := s.endOf(&s.reading, f.after)
	if s.compare(end, f.after) > 0 && f.wait > 0 && len(s.reading.Events) > 0 {
		s.pollAt = time.Time{}
	}
	s.owed = s.owed && s.compare(end, s.cursor) < 0
	if s.owed {
		s.after = slices.Clone(end)
	}
	s.advanceLocked(end)
	more := s.reading.More
	clear(s.reading.Events) // the body is not kept
	s.reading = protocol.Page{Events: s.reading.Events[:0]}
	if !more {
		s.most = pageEvents
	}
	if more || f.demand != s.demand || s.met == s.demand {
		return
	}
	s.owed = false
	if s.leaving { // from here on events are held again, and what came until now is fetched
		s.leaving = false
		s.owed, s.after, s.late = s.late != nil, s.late, nil
		s.demand++
		return
	}
	s.metLocked()
}

func (s *Stream) lowerOf(a, b []byte) []byte {
	if s.compare(b, a) < 0 {
		return b
	}
	return a
}

// endOf is where the stream is after a page.
func (s *Stream) endOf(p *protocol.Page, after []byte) []byte {
	end := after
	if n := len(p.Events); n > 0 && p.Events[n-1].Position != nil && s.compare(p.Events[n-1].Position, end) > 0 {
		end = p.Events[n-1].Position
	}
	if p.Next != nil && s.compare(p.Next, after) > 0 {
		end = p.Next
	}
	return end
}

func (s *Stream) metLocked() {
	s.met = s.demand
	s.sortLocked()
	s.kick()
}

// giveUpLocked goes on without what the upstream will not give.
func (s *Stream) giveUpLocked(now time.Time) {
	if !s.failed {
		s.failed, s.had = true, s.sent
	}
	s.above = false
	filled := topic.Filled{To: s.had}
	if !s.lost.From.IsZero() {
		s.lost.Filled = filled
		s.addGapLocked(s.lost)
		s.lost = Gap{}
	}
	if !s.left.IsZero() {
		s.addGapLocked(Gap{From: s.left, To: now, Cause: cause.NATSOverflow, Filled: filled})
		s.left = time.Time{}
	}
	s.owed, s.late, s.leaving = false, nil, false
	s.metLocked()
}

// onSuspectLocked decides what to make of a live event that came after s.suspect, and whose position we had passed: now that
// it is known whether the upstream has anything where we were.
func (s *Stream) onSuspectLocked(same bool) {
	base := s.suspect
	s.suspect = nil
	s.above = true // once in a life
	s.kick()
	if same {
		return // it is only late
	}
	s.sayLocked(slog.LevelError, "the upstream's positions begin anew, below where we were: it was rebuilt, and what it may have "+
		"had is not fetched", "cause", cause.Rebuilt)
	if s.late != nil {
		base = s.lowerOf(base, s.late)
	}
	s.cursor, s.owed, s.late = slices.Clone(base), false, nil
	s.trail.Reset(base)
	s.seen.ForgetPositions()
	s.unsaved, s.saveAt = true, time.Time{}
	s.rewinds++
	s.demand++
	s.rebuilt, s.filled = true, topic.Filled{}
	s.addGapLocked(Gap{From: s.sure, To: time.Now(), Cause: cause.Rebuilt})
}
