package pool

import (
	"time"

	"feedmux/internal/topic"
	"feedmux/shard"
)

// steadyFor is how long a feed must be ready, or not, before the log says so: but that it is for the first time, which is
// said at once. So a reconnect that goes well, topics that come and go, and a feed that is ready every few seconds make no
// lines, and whatever the upstream does makes one in steadyFor at most.
const steadyFor = 10 * time.Second

// readiness is whether all topics that have a place, and were not refused, are confirmed.
type readiness struct {
	ready   bool      // as it was said last; nothing was said yet: false
	since   time.Time // when that began
	changed time.Time // since when it is otherwise, without a break; zero: it is not
	once    bool      // it was said that the feed is ready
}

// sayReady logs that the feed became ready, or is not any more, and says when to ask again; zero: once something changes.
func (p *Pool) sayReady(now time.Time) (next time.Time) {
	r, confirmed := &p.readiness, p.ledger.Count(topic.Confirmed)
	topics := confirmed + p.ledger.Count(topic.Assigned) + p.ledger.Count(topic.Asked)
	ready := confirmed == topics
	if ready == r.ready || topics == 0 { // then there is nothing to be said
		r.changed = time.Time{}
		return next
	}
	if r.changed.IsZero() {
		r.changed = now
	}
	if at := r.changed.Add(steadyFor); r.once && now.Before(at) {
		return at
	}
	after := r.changed.Sub(r.since).Round(time.Millisecond)
	if ready {
		p.opts.Log.Info("feed is ready", "feed", p.opts.Conn.Feed, "topics", topics, "after", after)
	} else {
		p.opts.Log.Warn("feed is not ready any more", "feed", p.opts.Conn.Feed, "topics", topics, "confirmed", confirmed,
			"since", r.changed, "after", after)
	}
	*r = readiness{ready: ready, since: r.changed, once: true}
	return next
}

// PutOff are topics that an upstream puts off: it gave another answer than yes or no to an ask, and they are asked for again.
type PutOff struct {
	Topics int         `json:"topics"`
	First  shard.Topic `json:"first,omitempty"`  // one of them
	Reason string      `json:"reason,omitempty"` // its
}

func (p *Pool) putOff() (o PutOff) {
	for _, r := range p.ledger.Records() {
		if r.State != topic.Assigned || r.Reason == "" {
			continue
		}
		if o.Topics++; o.Topics == 1 {
			o.First, o.Reason = r.Name, r.Reason
		}
	}
	return o
}

// sayPutOff logs them as long as there are any.
func (p *Pool) sayPutOff() {
	if o := p.putOff(); o.Topics > 0 {
		p.opts.Log.Warn("topics are put off: the upstream's answer is neither yes nor no", "feed", p.opts.Conn.Feed,
			"topics", o.Topics, "first", o.First, "reason", o.Reason)
	}
}
