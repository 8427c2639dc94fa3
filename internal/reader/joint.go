package reader

import (
	"errors"
	"iter"
	"slices"
	"time"

	"feedmux/internal/overlap"
	"feedmux/internal/protocol"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// What a life does in a hand-over. Which of the two serves, and until when, is its owner's to say.

// errTooFarAhead ends a new life: more was to be held back than there is room for. The old life goes on, so nothing is
// lost but the time.
var errTooFarAhead = errors.New("more events than can be held back came before the hand-over was done")

// Join begins or ends a life's part in a hand-over: as the new one, or the old one.
func (r *Reader) Join(j *Joint, newer bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joint, r.newer = j, newer
}

// Closing says that the old one of the two is being closed.
func (r *Reader) Closing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.joint != nil {
		r.joint.Closing()
	}
}

// Cede lets what is held back of topics go on: they are the new life's alone. Of a hand-over that is over there is nothing.
func (r *Reader) Cede(topics []*topic.Topic) {
	if len(topics) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.joint == nil {
		return
	}
	b := r.Publisher.Batch() // the life's own is its reader's
	for _, t := range topics {
		r.goOnLocked(b, slices.Values(r.joint.Cede(t.Name)))
	}
	b.Flush() // nothing may come before these
}

// Release lets a life's held events go on, before those that it reads from now on.
func (r *Reader) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.joint == nil || !r.newer {
		return
	}
	b := r.Publisher.Batch() // the life's own is its reader's
	r.goOnLocked(b, r.joint.Release(time.Now()))
	b.Flush()
}

// goOnLocked keeps away from what is the reader's own: its owner may call it.
func (r *Reader) goOnLocked(b topic.Batch, held iter.Seq[overlap.Event[shard.Topic]]) {
	var event topic.Event
	n := 0
	for e := range held {
		to := r.routes[e.Topic]
		if to == nil || !to.topic.CarriedBy(r.Slot) {
			continue // it is not wanted any more
		}
		event = r.event(to.topic, e.ID, e.Payload, e.Received)
		b.Add(&event)
		n++
	}
	if n > 0 {
		r.Tally.Add(n, event.Received)
	}
}

// joinLocked says whether an event goes on at once; if not, whether there was room to hold it back, where it must be.
func (r *Reader) joinLocked(t *topic.Topic, e *protocol.Event, received time.Time) (on, room bool) {
	event := overlap.Event[shard.Topic]{Topic: t.Name, ID: e.ID, Payload: e.Payload, Received: received}
	if !r.newer {
		if on = r.joint.Old(event); !on {
			r.Tally.Skip("late")
		}
		return on, true
	}
	v, over := r.joint.New(event)
	if over {
		r.joint = nil
	}
	if v == overlap.Overdue {
		r.goOnLocked(r.batch, r.joint.Release(time.Now()))
	}
	return v == overlap.Pass || v == overlap.Overdue, v != overlap.NoRoom
}
