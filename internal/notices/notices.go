// Package notices keeps what is to be announced until NATS has it. What waits is merged, so that an outage leaves a handful
// of notices for each topic, however long it was.
package notices

import (
	"cmp"
	"container/list"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"feedmux/internal/cause"
	"feedmux/pool"
)

// Max bounds the notices that wait. Merged as they are, only a great many topics get so far. When there are more,
// the oldest goes: what a topic became counts more than what it was.
const Max = 64 << 10

// Queue is the notices that wait for NATS, oldest first. Any goroutine may call its methods.
//
// Those with the same key are one: the newest of a topic, of a slot and of what the upstream says on it; of a topic's gaps
// one that reaches from the first to the last.
type Queue struct {
	mu      sync.Mutex
	queue   list.List // of *Notice
	byKey   map[key]*list.Element
	told    map[string]struct{} // ids of gaps that were announced as open, and whose end is still to come
	taken   map[*Notice]uint64  // and the how-manieth that was
	takes   uint64
	sent    uint64
	dropped uint64
}

// maxTries is how often a notice is sent of which NATS confirms nothing: it may be what the connection breaks over.
const maxTries = 4

// Notice is what is to be announced, and where.
type Notice struct {
	Subject string
	Body    pool.Notice
	key     key
	tries   int // connections that broke with it
}

// Instead of a slot.
const (
	noSlot     = -1
	noSlotLost = -2
)

// key says which notices can be merged.
type key struct {
	subject string
	slot    int         // of a slot; below zero: of a feed as a whole
	about   about       // of a slot
	id      string      // of a gap that stays by itself
	at      pool.GapAt  // of a whole gap
	cause   cause.Cause // of a whole gap at delivery: a number of events belongs to its cause
	events  string      // of a whole gap at delivery: the subject that its events would have had
}

// about is what a notice of a slot is about: each is another matter.
type about int

const (
	itsState about = iota
	starving
	words
)

// New makes an empty Queue.
func New() *Queue {
	return &Queue{byKey: make(map[key]*list.Element), told: make(map[string]struct{}), taken: make(map[*Notice]uint64)}
}

// Add queues a notice, or merges it into one that waits.
func (q *Queue) Add(subject string, body pool.Notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := &Notice{Subject: subject, Body: body, key: key{subject: subject}}
	switch b := body.(type) {
	case *pool.FeedNotice:
		n.key.slot = int(b.Slot)
		if b.Cause == cause.Starved {
			n.key.about = starving
		}
	case *pool.UpstreamNotice:
		n.key.slot, n.key.about = int(b.Slot), words
	case *pool.CapacityNotice:
		n.key.slot = noSlot
	case *pool.LossNotice:
		n.key.slot = noSlotLost
	case *pool.GapNotice:
		n.key.id = b.ID
		if _, told := q.told[b.ID]; (told || b.Before) && b.Phase == pool.GapClosed {
			delete(q.told, b.ID)
		} else if b.Phase == pool.GapClosed { // its beginning is news to everybody
			q.closeLocked(n, b)
			return
		}
	}
	q.pushLocked(n)
}

// closeLocked queues a whole gap, in the place of its beginning if that waits.
func (q *Queue) closeLocked(n *Notice, b *pool.GapNotice) {
	begun := q.byKey[n.key]
	n.key = wholeGap(n.Subject, b)
	if begun == nil {
		q.pushLocked(n)
		return
	}
	if q.byKey[n.key] != nil {
		q.removeLocked(begun)
		q.pushLocked(n)
		return
	}
	delete(q.byKey, begun.Value.(*Notice).key)
	begun.Value = n
	q.byKey[n.key] = begun
}

func wholeGap(subject string, b *pool.GapNotice) key {
	k := key{subject: subject, at: b.At}
	if b.At == pool.AtDelivery {
		k.cause, k.events = b.Cause, b.Subject
	}
	return k
}

func (q *Queue) pushLocked(n *Notice) {
	if waits := q.byKey[n.key]; waits != nil {
		merge(waits.Value.(*Notice).Body, n.Body)
		waits.Value = n
		return
	}
	q.byKey[n.key] = q.queue.PushBack(n)
	if q.queue.Len() > Max {
		q.removeLocked(q.queue.Front())
		q.dropped++
	}
}

func (q *Queue) removeLocked(e *list.Element) *Notice {
	n := q.queue.Remove(e).(*Notice)
	delete(q.byKey, n.key)
	return n
}

// merge makes newer say what older says as well. Of a topic's state or a slot's it does already.
func merge(older, newer pool.Notice) {
	switch to := newer.(type) {
	case *pool.GapNotice:
		mergeGaps(older.(*pool.GapNotice), to)
	case *pool.UpstreamNotice:
		to.Withheld += older.(*pool.UpstreamNotice).Withheld + 1
	case *pool.TopicNotice:
		if from := older.(*pool.TopicNotice); from.Note != "" && to.Note == "" {
			to.Note, to.Reason = from.Note, strings.TrimPrefix(to.Reason+"; "+from.Note, "; ")
		}
	}
}

func mergeGaps(from, to *pool.GapNotice) {
	if from.Phase == pool.GapClosed {
		to.Filled, to.FilledTo = filled(from, to)
	}
	to.Cause = from.Cause
	to.Dropped += from.Dropped
	if from.From.Before(to.From) {
		to.From = from.From
	}
	if from.To.After(to.To) {
		to.To = from.To
	}
}

// filled says what was had of all that two gaps miss: up to when all of it was, if it was not all.
func filled(a, b *pool.GapNotice) (how string, to time.Time) {
	if b.From.Before(a.From) {
		a, b = b, a
	}
	switch {
	case a.Filled != pool.AllFilled:
		return a.Filled, a.FilledTo
	case b.Filled != pool.NotFilled:
		return b.Filled, b.FilledTo
	case b.From.After(a.From):
		return pool.PartlyFilled, b.From
	}
	return pool.NotFilled, time.Time{}
}

// Empty says that nothing waits.
func (q *Queue) Empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queue.Len() == 0
}

// Take removes the oldest notice, to be sent. From here on nothing is merged into it. It is to be Done or put back.
func (q *Queue) Take() *Notice {
	q.mu.Lock()
	defer q.mu.Unlock()
	front := q.queue.Front()
	if front == nil {
		return nil
	}
	n := q.removeLocked(front)
	q.takes++
	q.taken[n] = q.takes
	if b, ok := n.Body.(*pool.GapNotice); ok && b.Phase == pool.GapOpen {
		q.told[b.ID] = struct{}{}
	}
	return n
}

// Untake puts notices back, in their order, before all others. sent says that they may have arrived: they will come
// twice then, so the number of events in one of them is not merged into another.
func (q *Queue) Untake(sent bool, taken ...*Notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := len(taken) - 1; i >= 0; i-- {
		n := taken[i]
		delete(q.taken, n)
		if sent {
			n.tries++
		}
		if n.tries == maxTries {
			q.dropped++
			continue
		}
		if b, ok := n.Body.(*pool.GapNotice); ok {
			if b.Phase == pool.GapOpen && !sent {
				if _, open := q.told[b.ID]; !open {
					continue // it was closed meanwhile, and the notice of that says all
				}
				delete(q.told, b.ID)
			}
			if sent && b.Dropped > 0 {
				n.key = key{subject: n.Subject, id: b.ID}
			}
		}
		if waits := q.byKey[n.key]; waits != nil {
			merge(n.Body, waits.Value.(*Notice).Body)
			continue
		}
		if q.queue.Len() == Max {
			q.dropped++
			continue
		}
		q.byKey[n.key] = q.queue.PushFront(n)
	}
}

// Count counts a notice that was taken: it reached NATS, or never will.
func (q *Queue) Count(sent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if sent {
		q.sent++
	} else {
		q.dropped++
	}
}

// Stats is what became of all notices.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{Waiting: q.queue.Len(), Sent: q.sent, Dropped: q.dropped}
}

// Left is a notice of a gap that NATS is not known to have, as it is kept for the next run.
type Left struct {
	Subject string         `json:"subject"`
	Before  bool           `json:"before,omitempty"` // its beginning was announced
	Gap     pool.GapNotice `json:"gap"`
}

// Unsent are the notices of gaps that NATS is not known to have: those that wait, and those that were taken and are not
// Done.
func (q *Queue) Unsent() (list []Left) {
	q.mu.Lock()
	defer q.mu.Unlock()
	add := func(n *Notice) {
		if b, ok := n.Body.(*pool.GapNotice); ok {
			_, told := q.told[b.ID]
			list = append(list, Left{n.Subject, b.Before || told || n.key.id == b.ID, *b})
		}
	}
	taken := slices.SortedFunc(maps.Keys(q.taken), func(a, b *Notice) int { return cmp.Compare(q.taken[a], q.taken[b]) })
	for _, n := range taken { // in their order, because those of one topic are merged when they are restored
		add(n)
	}
	for e := q.queue.Front(); e != nil; e = e.Next() {
		add(e.Value.(*Notice))
	}
	slices.SortStableFunc(list, func(a, b Left) int { return strings.Compare(string(b.Gap.Phase), string(a.Gap.Phase)) }) // open first
	return list
}

// Restore queues what an earlier run left.
func (q *Queue) Restore(list []Left) {
	for _, l := range list {
		b := l.Gap
		b.Before = l.Before
		q.Add(l.Subject, &b)
	}
}

// Done says that notices that were taken are NATS's, or nobody's.
func (q *Queue) Done(taken ...*Notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, n := range taken {
		delete(q.taken, n)
	}
}

// Stats is what became of the notices.
type Stats struct {
	Waiting int    `json:"waiting"`
	Sent    uint64 `json:"sent"`
	Dropped uint64 `json:"dropped"`
}
