package sink

import (
	"feedmux/internal/subject"
	"feedmux/pool"
)

// mark is what the sink has to know of a topic: its pool.Topic.Mark. So nothing is looked up for an event.
type mark struct {
	feed  *feed
	topic *pool.Topic

	handed   [2]span // what the client took and NATS has not confirmed, by window; the publisher's
	overflow span    // what found no room lately; guarded by the buffer's lock
}

// markOf is the mark of a topic that the sink was told of.
func markOf(t *pool.Topic) *mark { return t.Mark.(*mark) }

// publishable says whether the topic's events have a subject to be published on.
func (m *mark) publishable() bool { return len(m.topic.Subject) <= subject.MaxLength }

// span is how many events were meant, and when the first and the last of them were received: Unix nanoseconds.
type span struct {
	first, last int64
	events      uint64
}

// add is on the way of each event.
func (s *span) add(received int64) {
	if s.events == 0 {
		s.first, s.last = received, received
	} else if received > s.last {
		s.last = received
	} else if received < s.first {
		s.first = received
	}
	s.events++
}

func (s *span) join(o span) {
	switch {
	case o.events == 0:
	case s.events == 0:
		*s = o
	default:
		s.first, s.last, s.events = min(s.first, o.first), max(s.last, o.last), s.events+o.events
	}
}
