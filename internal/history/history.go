package history

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"feedmux/internal/control"
	"feedmux/pool"
)

const (
	// Length is how far the memory reaches back.
	Length = time.Hour
	// Every is how far two samples lie apart.
	Every = 5 * time.Second

	room = int(Length / Every) // samples of one feed
)

// Kind says what an Incident is.
type Kind string

// What can be said of an incident: each with the words of the metric that counts the same, and Dropped without what nobody
// misses.
const (
	Disconnect  Kind = "disconnect"   // What: the cause
	Gap         Kind = "gap"          // of a topic, at the upstream. What: the cause
	DeliveryGap Kind = "delivery gap" // of a topic, between us and NATS. What: the cause
	Dropped     Kind = "dropped"      // a message or an event, as in control.Report.Lost. What: the reason
)

// Incident is something that went wrong N times between two samples.
type Incident struct {
	Kind Kind
	What string
	N    uint64
}

// Sample is what was counted after From, up to To. As a rule they lie Every apart, and further where a loop did not
// answer in between. Its list must not be changed.
type Sample struct {
	From, To  time.Time
	Events    uint64 // received
	Published uint64 // handed to NATS
	Incidents []Incident
}

// Sampler remembers. Any goroutine may ask it; one runs it.
type Sampler struct {
	ask func(context.Context) (control.Report, error)

	mu    sync.Mutex
	feeds map[string]*feed
}

// feed is what is remembered of one.
type feed struct {
	ring []Sample // at most room
	next int      // where the next one goes once the ring is full

	// What the counters were when they were last seen, and when that was; nothing is known before the first time.
	seen      time.Time
	events    uint64
	published uint64
	incidents map[key]uint64
}

type key struct {
	kind Kind
	what string
}

// New makes a Sampler that asks for the figures of all feeds, without their ledgers.
func New(ask func(context.Context) (control.Report, error)) *Sampler {
	return &Sampler{ask: ask, feeds: make(map[string]*feed)}
}

// Run samples until ctx ends.
func (s *Sampler) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		if r, err := s.ask(ctx); err == nil {
			s.take(r, time.Now())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Feed returns the samples of a feed, oldest first; none where nothing is known of it.
func (s *Sampler) Feed(name string) []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.feeds[name]
	if f == nil {
		return nil
	}
	return slices.Concat(f.ring[f.next:], f.ring[:f.next])
}

// take adds what r says to what is known. Readiness names every feed that there is, answering or not.
func (s *Sampler) take(r control.Report, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.feeds {
		if !slices.ContainsFunc(r.Readiness.Feeds, func(f control.FeedReadiness) bool { return f.Feed == name }) {
			delete(s.feeds, name)
		}
	}
	for _, status := range r.Feeds {
		f := s.feeds[status.Feed]
		if f == nil {
			f = &feed{ring: make([]Sample, 0, room), incidents: make(map[key]uint64)}
			s.feeds[status.Feed] = f
		}
		f.take(status, r.Delivery, r.Lost[status.Feed], now)
	}
}

// take adds a sample, but for the first time: then there is nothing to take the difference with. Where delivery did not
// answer (nil), its counters are those of the time before, and the next difference holds what is missing.
func (f *feed) take(s pool.Status, d *control.Delivery, lost map[string]uint64, now time.Time) {
	sample := Sample{From: f.seen, To: now, Events: since(&f.events, s.Counters.Events)}
	for cause, n := range s.Counters.Disconnects {
		f.count(&sample, Disconnect, string(cause), n)
	}
	for cause, n := range s.Counters.Gaps {
		f.count(&sample, Gap, string(cause), n)
	}
	if d != nil {
		sample.Published = since(&f.published, d.Published[s.Feed])
		for cause, n := range d.Gaps[s.Feed] {
			f.count(&sample, DeliveryGap, cause, n)
		}
		for reason, n := range lost {
			f.count(&sample, Dropped, reason, n)
		}
	}
	first := f.seen.IsZero()
	f.seen = now
	if first {
		return
	}
	slices.SortFunc(sample.Incidents, func(a, b Incident) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.What, b.What))
	})
	if len(f.ring) < room {
		f.ring = append(f.ring, sample)
		return
	}
	f.ring[f.next] = sample
	f.next = (f.next + 1) % room
}

// count notes what was added to a counter. Causes and reasons are short lists, so the map stays small.
func (f *feed) count(s *Sample, kind Kind, what string, now uint64) {
	k := key{kind, what}
	before := f.incidents[k]
	n := since(&before, now)
	f.incidents[k] = before
	if n > 0 {
		s.Incidents = append(s.Incidents, Incident{kind, what, n})
	}
}

// since returns what was added to a counter, and remembers it. A counter that went back began anew.
func since(before *uint64, now uint64) uint64 {
	n := now - *before
	if now < *before {
		n = now
	}
	*before = now
	return n
}
