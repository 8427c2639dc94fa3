// Package overlap joins the two connections of a hand-over: what the new one brings is held back while the old one is
// still read, and what both bring is let through once.
//
// An event is known by the upstream's own id where it has one, else by its topic and its bytes. Each match is used once: an
// event that the old connection brought twice takes away two of the new one's. It does not matter which of the two
// is ahead.
//
// Where connections begin with what was last on each topic, that may be older than all that the old one brings meanwhile, and
// the old one never brings it again. See Snapshots.
package overlap

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"time"
)

// Bounds of what an Overlap remembers.
const (
	// MaxHeld is how many bytes of events may be held back, with a share for each event itself.
	MaxHeld = 16 << 20

	// maxDelivered is how many events of the old connection are remembered until the new one brings them too. Past it
	// the oldest is forgotten, so an event that the new one brings that much later comes through twice.
	maxDelivered = 64 << 10

	eventSize = 128 // what a held event costs beside its bytes
)

// Event is one event. T is what the caller knows a topic by.
type Event[T comparable] struct {
	Topic       T
	ID, Payload []byte
	Received    time.Time
}

// Overlap is what the two connections share. Its methods may be called by any goroutine.
type Overlap[T comparable] struct {
	// Snapshots says that a connection may begin with what was last on each topic, and that both bring a topic's events in
	// one order. Then what is held of a topic from before an event that both brought is not released; nor what is held
	// when the old one brings an event that the new one has not, or is closed: that is newer, unless the old one is behind.
	// What it may still have to bring, as far behind as it has shown to be, stays: nobody else has it should the old one end
	// before. It must not change after the first event.
	Snapshots bool

	seed maphash.Seed
	old  map[T]bool // topics that the old connection has

	mu        sync.Mutex
	limit     int
	bytes     int
	held      []Event[T] // in the order in which they came
	gone      []bool     // of held: the old connection brought it too, or what is newer
	waiting   map[key][]int
	byTopic   map[T][]int     // Snapshots: of held, what may still be released
	delivered map[key]int     // by the old connection and not by the new one yet
	order     []key           // of delivered, oldest first; may hold keys that were matched since
	ceded     map[T]bool      // topics that are the new connection's alone
	newest    map[T]time.Time // Snapshots: when the old one last brought something of a topic
	lag       time.Duration   // by how much later than the new one the old one has brought an event, at most
	closing   bool            // the new connection may go on alone
	closingAt time.Time       // since when
	released  time.Time       // when; zero: things are held back
}

// Verdict is what becomes of an event of the new connection.
type Verdict uint8

const (
	Pass     Verdict = iota // it goes on
	Withheld                // it was taken in, or the old connection brought it
	NoRoom                  // it cannot be held back, and the old connection still serves
	Overdue                 // it cannot be held back: release what is, then it goes on
)

// LateFor is how far behind the old connection the new one may be when all is released.
const LateFor = 5 * time.Second

// behindFor is how far behind the new connection an old one may be that has it all, where there are snapshots.
const behindFor = 400 * time.Millisecond

// key tells events apart. 128 bits of a keyed hash do not meet by chance or by the upstream's design.
type key [2]uint64

// New makes an Overlap that holds back at most limit bytes. old are the topics that the old connection has or may have:
// those of which nobody else brings events are not held back. It must not change afterwards.
func New[T comparable](limit int, old map[T]bool) *Overlap[T] {
	return &Overlap[T]{
		seed: maphash.MakeSeed(), old: old, limit: limit, waiting: make(map[key][]int), byTopic: make(map[T][]int),
		delivered: make(map[key]int), newest: make(map[T]time.Time), ceded: make(map[T]bool),
	}
}

func (o *Overlap[T]) key(topic T, id, payload []byte) key {
	var k key
	for i := range k {
		var h maphash.Hash
		h.SetSeed(o.seed)
		h.WriteByte(byte(i))
		if len(id) > 0 {
			h.Write(id)
		} else {
			maphash.WriteComparable(&h, topic)
			h.Write(payload)
		}
		k[i] = h.Sum64()
	}
	return k
}

// Old notes an event of the old connection, and keeps no memory of e's. It says whether the event may go on: not once the held
// ones were released, since it would come after what is newer.
func (o *Overlap[T]) Old(e Event[T]) bool {
	k := o.key(e.Topic, e.ID, e.Payload)
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.released.IsZero() || o.ceded[e.Topic] {
		return false
	}
	if o.Snapshots {
		o.newest[e.Topic] = e.Received
	}
	if list := o.waiting[k]; len(list) > 0 {
		o.supersede(e.Topic, list[0])
		if h := &o.held[list[0]]; !o.gone[list[0]] {
			o.lag = max(o.lag, e.Received.Sub(h.Received))
		}
		o.discard(list[0])
		o.unlist(k, list)
		return true
	}
	before, pending := 0, min(2*o.lag, behindFor) // twice: it varies
	for _, i := range o.byTopic[e.Topic] {
		if !o.gone[i] && e.Received.Sub(o.held[i].Received) < pending {
			break
		}
		before = i + 1
	}
	o.supersede(e.Topic, before)
	o.delivered[k]++
	o.order = append(o.order, k)
	if len(o.order) > maxDelivered {
		o.forget(o.order[0])
		o.order = o.order[1:]
	}
	return true
}

// New decides on an event of the new connection. It keeps no memory of e's. over says that there is nothing left to
// decide: this and all further events go on.
func (o *Overlap[T]) New(e Event[T]) (v Verdict, over bool) {
	if !o.old[e.Topic] {
		return Pass, false
	}
	k := o.key(e.Topic, e.ID, e.Payload)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.delivered[k] > 0 {
		o.forget(k)
		o.supersede(e.Topic, len(o.held))
		return Withheld, false
	}
	switch {
	case !o.released.IsZero():
		return Pass, e.Received.Sub(o.released) > LateFor
	case o.ceded[e.Topic]:
		return Pass, false
	case o.bytes+e.size() <= o.limit:
	case o.closing:
		return Overdue, false
	default:
		return NoRoom, false
	}
	e.ID, e.Payload = slices.Clone(e.ID), slices.Clone(e.Payload)
	o.bytes += e.size()
	o.waiting[k] = append(o.waiting[k], len(o.held))
	if o.Snapshots {
		o.byTopic[e.Topic] = append(o.byTopic[e.Topic], len(o.held))
	}
	o.held, o.gone = append(o.held, e), append(o.gone, false)
	o.compact()
	return Withheld, false
}

// Cede gives a topic to the new connection alone, and returns what is held of it, in order: from then on nothing of it is
// held, and nothing that the old connection brings of it goes on.
func (o *Overlap[T]) Cede(topic T) (held []Event[T]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ceded[topic] || !o.released.IsZero() {
		return nil
	}
	o.ceded[topic] = true
	for i, e := range o.held {
		if o.gone[i] || e.Topic != topic {
			continue
		}
		held = append(held, e)
		o.discard(i)
		k := o.key(e.Topic, e.ID, e.Payload)
		o.waiting[k] = slices.DeleteFunc(o.waiting[k], func(j int) bool { return j == i })
		if len(o.waiting[k]) == 0 {
			delete(o.waiting, k)
		}
	}
	return held
}

// Closing says that the old connection is being closed.
func (o *Overlap[T]) Closing() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing, o.closingAt = true, time.Now()
}

// Release gives what is still held, in order; now is the time. With Snapshots, what came well before the old connection was
// closed is left out if that one brought something of the topic at that time or since: the same in other bytes, or what is
// newer. If it did not, it may have lost it. From then on nothing is held and nothing of the old connection goes on; of the
// new one goes on what the old one had not brought. Only the first call gives anything.
func (o *Overlap[T]) Release(now time.Time) iter.Seq[Event[T]] {
	o.mu.Lock()
	defer o.mu.Unlock()
	held, gone, newest := o.held, o.gone, o.newest
	if o.released.IsZero() {
		o.released = now
	}
	var since time.Time
	if o.Snapshots && o.closing {
		since = o.closingAt.Add(-behindFor)
	}
	o.held, o.gone, o.waiting, o.byTopic, o.newest, o.order, o.bytes = nil, nil, nil, nil, nil, nil, 0
	return func(yield func(Event[T]) bool) {
		for i, e := range held {
			had := e.Received.Before(since) && !newest[e.Topic].Before(e.Received.Add(-behindFor/4))
			if !gone[i] && !had && !yield(e) {
				return
			}
		}
	}
}

func (e *Event[T]) size() int { return len(e.ID) + len(e.Payload) + eventSize }

// discard lets a held event never be released. If it waits for the old connection to bring it, it does so still.
func (o *Overlap[T]) discard(i int) {
	if !o.gone[i] {
		o.bytes -= o.held[i].size()
		o.held[i], o.gone[i] = Event[T]{}, true
	}
}

// supersede discards what is held of a topic and came before the how-manieth held event.
func (o *Overlap[T]) supersede(topic T, before int) {
	list := o.byTopic[topic]
	n := 0
	for n < len(list) && list[n] < before {
		o.discard(list[n])
		n++
	}
	if n == len(list) {
		delete(o.byTopic, topic)
	} else {
		o.byTopic[topic] = list[n:]
	}
}

func (o *Overlap[T]) unlist(k key, list []int) {
	if len(list) == 1 {
		delete(o.waiting, k)
	} else {
		o.waiting[k] = list[1:]
	}
}

// forget takes one event with the key k out of what the old connection brought.
func (o *Overlap[T]) forget(k key) {
	switch n := o.delivered[k]; {
	case n > 1:
		o.delivered[k] = n - 1
	case n == 1:
		delete(o.delivered, k)
	}
}

// compact takes out what the old connection brought too, once it is more than half.
func (o *Overlap[T]) compact() {
	const few = 1024
	if len(o.held) < few || o.bytes/eventSize > len(o.held)/2 {
		return
	}
	held, gone := o.held, o.gone
	o.held, o.gone = nil, nil
	moved := make(map[int]int, len(o.waiting))
	for i, e := range held {
		if !gone[i] {
			moved[i] = len(o.held)
			o.held, o.gone = append(o.held, e), append(o.gone, false)
		}
	}
	move := func(list []int) (kept []int) {
		for _, i := range list {
			if to, ok := moved[i]; ok {
				kept = append(kept, to)
			}
		}
		return kept
	}
	for k, list := range o.waiting {
		if o.waiting[k] = move(list); len(o.waiting[k]) == 0 {
			delete(o.waiting, k)
		}
	}
	for topic, list := range o.byTopic {
		if o.byTopic[topic] = move(list); len(o.byTopic[topic]) == 0 {
			delete(o.byTopic, topic)
		}
	}
}
