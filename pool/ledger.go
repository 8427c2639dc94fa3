package pool

import (
	"fmt"
	"slices"
	"time"

	"feedmux/internal/conn"
	"feedmux/shard"
)

const (
	// announceAfter is how long a topic must have left confirmed before that is announced; a gap's end always is.
	announceAfter = 2 * time.Second
	// refusedFor is how long a refusal stands before the topic is asked for again.
	refusedFor = time.Hour
)

// ledger says of every wanted topic what is known of it: each is in exactly one state at any moment. It belongs to
// Pool.Run, and whoever changes it says what time it is.
type ledger struct {
	opts    *Options
	records map[shard.Topic]*record
	order   []*record // as wanted: the order of listing
	counts  [conn.Refused + 1]int
	dark    int

	fading   []fading  // topics that left confirmed, oldest first, until that is announced or undone
	refusals []refusal // oldest first, until the topic is asked for again

	silent  bool   // what happens now is no news to anyone: the pool ends
	start   uint64 // random for this start: a part of each gap's id
	gapID   uint64
	gaps    map[conn.Cause]uint64
	gapTime time.Duration
}

// record is what is known of one wanted topic.
type record struct {
	*conn.Topic
	priority int
	state    conn.TopicState
	since    time.Time
	by       conn.By
	reason   string
	slot     shard.Slot // assigned, asked, confirmed
	gaps     int
	known    bool      // it was announced as confirmed
	dark     time.Time // it was confirmed and is not since then; zero otherwise
	gap      *gap      // the gap that it is in
	wanted   bool      // scratch of want
}

// gap is a time in which a confirmed topic is dark.
type gap struct {
	id    string
	from  time.Time // the last frame of the life that died
	cause conn.Cause
}

// fading is a topic that left confirmed, with the gap that began then.
type fading struct {
	record *record
	gap    *gap
	at     time.Time
}

// refusal is a topic that was refused at a time.
type refusal struct {
	record *record
	at     time.Time
}

func newLedger(o *Options, start uint64) *ledger {
	return &ledger{opts: o, start: start, records: make(map[shard.Topic]*record), gaps: make(map[conn.Cause]uint64)}
}

// want takes the wanted topics, whole, in the order of listing.
func (l *ledger) want(topics []shard.Wanted, now time.Time) {
	for _, r := range l.records {
		r.wanted = false
	}
	l.order = make([]*record, 0, len(topics))
	for _, w := range topics {
		r := l.records[w.Topic]
		if r == nil {
			r = l.open(w.Topic, now)
		}
		if r.wanted { // listed twice: the highest priority wins
			r.priority = max(r.priority, w.Priority)
			continue
		}
		r.wanted, r.priority = true, w.Priority
		l.order = append(l.order, r)
	}
	for _, r := range l.records {
		if !r.wanted {
			l.remove(r, now)
		}
	}
}

// open begins a topic's record. A topic that can never be asked for is refused at once.
func (l *ledger) open(name shard.Topic, now time.Time) *record {
	r := &record{Topic: &conn.Topic{Name: name}, state: conn.Unplaced, since: now}
	l.records[name] = r
	l.counts[conn.Unplaced]++
	err := l.opts.Conn.Protocol.Check(name)
	if err == nil {
		r.Subject, err = l.opts.Subject(name)
	}
	if err != nil {
		l.refuse(r, err.Error(), now)
	}
	return r
}

func (l *ledger) remove(r *record, now time.Time) {
	l.lighten(r, now) // a gap does not outlive the wish to listen
	l.counts[r.state]--
	delete(l.records, r.Name)
	r.since = now
	l.notifyTopic(r, "removed", "")
}

// placeable is what the assignment may choose from.
func (l *ledger) placeable() []shard.Wanted {
	topics := make([]shard.Wanted, 0, len(l.order))
	for _, r := range l.order {
		if r.state != conn.Refused {
			topics = append(topics, shard.Wanted{Topic: r.Name, Priority: r.priority})
		}
	}
	return topics
}

// setState is the one place where a record's state changes.
func (l *ledger) setState(r *record, s conn.TopicState, reason string, now time.Time) {
	if s != conn.Confirmed {
		r.by = ""
	}
	r.reason = reason
	if s == r.state {
		return
	}
	l.counts[r.state]--
	l.counts[s]++
	r.state, r.since = s, now
}

// place says that a topic has its place in a slot. One that was there already keeps its state.
func (l *ledger) place(r *record, s shard.Slot, now time.Time) {
	if r.state != conn.Unplaced && r.state != conn.Refused && r.slot == s {
		return
	}
	if r.state == conn.Confirmed {
		l.darken(r, now, conn.CauseMoved, now)
	}
	r.slot = s
	l.setState(r, conn.Assigned, "", now)
}

// unplace says that there is no room for a topic.
func (l *ledger) unplace(r *record, now time.Time) {
	if r.state == conn.Unplaced && r.reason != "" {
		return
	}
	evicted := r.state != conn.Unplaced
	if r.state == conn.Confirmed {
		r.dark = now // dark, but no gap: that it lost its place is announced, and why
		l.dark++
	}
	l.closeGap(r, now) // nor does a gap go on
	reason := "no slot has room"
	if evicted {
		reason = "a topic of higher priority took its place"
	}
	l.setState(r, conn.Unplaced, reason, now)
	r.known = false
	l.notifyTopic(r, conn.Unplaced.String(), reason)
}

// refuse says that a topic will not come, until somebody changes something.
func (l *ledger) refuse(r *record, reason string, now time.Time) {
	if r.state == conn.Confirmed {
		l.darken(r, now, conn.CauseAuth, now)
	}
	l.setState(r, conn.Refused, reason, now)
	r.known = false
	l.notifyTopic(r, conn.Refused.String(), reason)
}

// refuseForNow is refuse for a topic that the upstream refused: it is asked again after refusedFor.
func (l *ledger) refuseForNow(r *record, reason string, now time.Time) {
	l.refuse(r, reason, now)
	l.refusals = append(l.refusals, refusal{r, now})
}

func (l *ledger) asked(r *record, now time.Time) {
	if r.state != conn.Confirmed {
		l.setState(r, conn.Asked, "", now)
	}
}

// unasked says that the answer to an ask was none. The topic may be confirmed by an event that had been on its way since
// an earlier ask: then nobody listened since.
func (l *ledger) unasked(r *record, reason string, now time.Time) {
	switch r.state {
	case conn.Confirmed:
		l.darken(r, r.since, conn.CauseProtocolError, now)
	case conn.Asked:
	default:
		return
	}
	l.setState(r, conn.Assigned, reason, now)
}

func (l *ledger) confirm(r *record, by conn.By, now time.Time) {
	if r.state == conn.Confirmed {
		return
	}
	l.setState(r, conn.Confirmed, "", now)
	r.by = by
	l.lighten(r, now)
	if !r.known {
		r.known = true
		l.notifyTopic(r, conn.Confirmed.String(), "")
	}
}

// lifeEnded takes back what was asked or confirmed in a slot. lastFrame is when the life last received anything.
func (l *ledger) lifeEnded(s shard.Slot, lastFrame time.Time, cause conn.Cause, now time.Time) {
	for _, r := range l.order {
		if r.slot != s {
			continue
		}
		switch r.state {
		case conn.Confirmed:
			l.darken(r, lastFrame, cause, now)
			l.setState(r, conn.Assigned, "", now)
		case conn.Asked:
			l.setState(r, conn.Assigned, "", now)
		}
	}
}

// darken begins a gap.
func (l *ledger) darken(r *record, from time.Time, cause conn.Cause, now time.Time) {
	l.gapID++
	r.gap = &gap{id: fmt.Sprintf("%s:%016x:%d", l.opts.Conn.Feed, l.start, l.gapID), from: from, cause: cause}
	r.gaps++
	l.gaps[cause]++
	r.dark = from
	l.dark++
	l.fading = append(l.fading, fading{r, r.gap, now})
}

// lighten says that a topic is not dark any more.
func (l *ledger) lighten(r *record, now time.Time) {
	if !r.dark.IsZero() {
		r.dark = time.Time{}
		l.dark--
	}
	l.closeGap(r, now)
}

func (l *ledger) closeGap(r *record, now time.Time) {
	if r.gap == nil {
		return
	}
	l.gapTime += now.Sub(r.gap.from)
	l.notifyGap(r, "closed", now)
	r.gap = nil
}

// announce tells of the topics that have been out of confirmed for long enough. It returns when it is next needed;
// zero: not before something changes.
func (l *ledger) announce(now time.Time) (next time.Time) {
	for len(l.fading) > 0 {
		f := l.fading[0]
		if f.record.gap == f.gap { // else it ended before anyone was told that it began
			if at := f.at.Add(announceAfter); now.Before(at) {
				return at
			}
			l.notifyGap(f.record, "open", time.Time{})
			if f.record.state != conn.Refused { // that was announced by itself
				f.record.known = false
				l.notifyTopic(f.record, f.record.state.String(), string(f.gap.cause))
			}
		}
		l.fading = l.fading[1:]
	}
	l.fading = nil
	return time.Time{}
}

// pardon makes the topics placeable again whose refusal is old. It says whether there were any, and when it is next
// needed; zero: not before something changes.
func (l *ledger) pardon(now time.Time) (any bool, next time.Time) {
	for len(l.refusals) > 0 {
		f := l.refusals[0]
		if f.record.state == conn.Refused && f.record.since.Equal(f.at) && l.records[f.record.Name] == f.record {
			if at := f.at.Add(refusedFor); now.Before(at) {
				return any, at
			}
			l.setState(f.record, conn.Unplaced, "", now)
			any = true
		}
		l.refusals = l.refusals[1:]
	}
	l.refusals = nil
	return any, time.Time{}
}

// status lists every record, most wanted first.
func (l *ledger) status() []TopicStatus {
	list := make([]TopicStatus, 0, len(l.order))
	for _, r := range l.order {
		t := TopicStatus{
			Topic: r.Name, Subject: r.Subject, Priority: r.priority, State: r.state, Since: r.since,
			By: r.by, Reason: r.reason, DarkSince: r.dark,
			Events: r.Events(), LastEvent: r.LastEvent(), Gaps: r.gaps,
		}
		if r.state == conn.Assigned || r.state == conn.Asked || r.state == conn.Confirmed {
			slot := r.slot
			t.Slot = &slot
		}
		list = append(list, t)
	}
	slices.SortStableFunc(list, func(a, b TopicStatus) int { return b.Priority - a.Priority })
	return list
}
