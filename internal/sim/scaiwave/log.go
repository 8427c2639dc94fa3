package scaiwave

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Event is an event with a position.
type Event struct {
	Position int64 // rises strictly, but for Late
	ID       string
	Room     string
	Type     string
	Sender   string
	Content  json.RawMessage // as sync has it
	OriginTS int64           // Unix seconds
	At       time.Time       // when it was published
	Late     bool            // it was published after one with a higher position
	Build    int             // how often the server had been rebuilt
	Kept     bool            // sync still has it
}

// maxRecord bounds what Published returns: tests do not need more, and nobody else asks for a record.
const maxRecord = 1 << 20

// eventLog is what the server has stored, and the record of what it ever had. Guarded by the server's lock.
type eventLog struct {
	kept     []Event // by position
	position int64   // the newest that was given away
	reserved int64   // given away to nobody: the next event gets it, and is late; 0: none
	late     int     // events that are still to be made late
	build    int
	count    int           // of events, over all builds
	rand     *rand.Rand    // of positions and ids
	news     chan struct{} // closed and replaced with each event

	record []Event // in the order of publishing
	whole  bool    // false: some are missing
}

func newEventLog(seed uint64) eventLog {
	return eventLog{rand: rand.New(rand.NewPCG(seed, 2)), news: make(chan struct{}), whole: true}
}

// next gives a position away.
func (l *eventLog) next(holes float64) int64 {
	hole, size := l.rand.Float64() < holes, 1+l.rand.Int64N(20)
	l.position++
	given := l.position
	if hole {
		l.position += size
	}
	return given
}

// add stores an event: it gives it a position and an id.
func (l *eventLog) add(e Event, o *Options) Event {
	if l.reserved != 0 {
		e.Position, l.reserved, e.Late = l.reserved, 0, true
	} else {
		e.Position = l.next(o.Holes)
		if l.late > 0 {
			l.late--
			l.reserved, e.Position = e.Position, l.next(o.Holes)
		}
	}
	l.count++
	e.ID, e.Build = fmt.Sprintf("evt-%016x", l.rand.Uint64()), l.build
	at := len(l.kept)
	if e.Late {
		at = l.after(e.Position)
	}
	l.kept = slices.Insert(l.kept, at, e)
	for o.Keep > 0 && len(l.kept) > o.Keep {
		l.kept[0] = Event{} // its memory is free at once
		l.kept = l.kept[1:]
	}
	if o.Record {
		if len(l.record) < maxRecord {
			l.record = append(l.record, e)
		} else {
			l.whole = false
		}
	}
	close(l.news)
	l.news = make(chan struct{})
	return e
}

// after is the index of the first event that is kept with a position above since.
func (l *eventLog) after(since int64) int {
	i, found := slices.BinarySearchFunc(l.kept, since, func(e Event, since int64) int {
		switch {
		case e.Position < since:
			return -1
		case e.Position > since:
			return 1
		}
		return 0
	})
	if found {
		i++
	}
	return i
}

// page is what sync answers: the events after since, limit at most, and where to go on.
func (l *eventLog) page(since int64, limit int) (events []Event, next int64, more bool) {
	rest := l.kept[l.after(since):]
	events = slices.Clone(rest[:min(limit, len(rest))])
	if len(events) == 0 {
		return nil, since, false
	}
	next = events[len(events)-1].Position
	more = len(rest) > len(events)
	if hole := rest[len(events)-1:]; more && l.reserved == 0 { // anywhere in the hole that follows
		next += l.rand.Int64N(hole[1].Position - next)
	}
	return events, next, more
}

func (l *eventLog) rebuild() {
	l.kept, l.position, l.reserved = nil, 0, 0
	l.build++
}

func (l *eventLog) published() (events []Event, whole bool) {
	if l.record == nil {
		events = slices.Clone(l.kept)
	} else {
		events = slices.Clone(l.record)
	}
	for i := range events {
		e := &events[i]
		n := l.after(e.Position)
		e.Kept = e.Build == l.build && n > 0 && l.kept[n-1].Position == e.Position
	}
	return events, l.whole
}
