package ledger

import (
	"cmp"
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// RefusedFor is how long a refusal stands before the topic is asked for again.
const RefusedFor = time.Hour

// Ledger says of every wanted topic what is known of it: each is in exactly one state at any moment.
type Ledger struct {
	opts    Options
	records map[shard.Topic]*Record
	order   []*Record // as wanted: the order of listing
	counts  [topic.Refused + 1]int
	dark    int

	fading   []fading  // topics that left confirmed, oldest first, until that is announced or undone
	refusals []refusal // oldest first, until the topic is asked for again

	silent  bool // what becomes of topics now is no news to anyone: the pool ends
	gapID   uint64
	gaps    map[cause.Cause]uint64
	gapTime time.Duration
	queue   uint64 // the back of the queue of those who take turns

	last    *Snapshot // of the run before, until topics are wanted for the first time
	version uint64    // of what a Snapshot holds
	saved   Snapshot  // the newest that was taken
}

// Record is what is known of one wanted topic. Only the ledger changes it, but for TurnOver.
type Record struct {
	*topic.Topic
	Priority int
	State    topic.State
	Since    time.Time
	By       topic.By
	Reason   string
	Slot     shard.Slot // assigned, asked, confirmed
	gaps     int
	known    bool      // it was announced as confirmed
	dark     time.Time // it was confirmed and is not since then; zero otherwise
	gap      *gap      // the gap that it is in
	wanted   bool      // scratch of want

	// Where topics take turns.
	Queued   uint64    // its place in the queue: the lowest is the next
	Placed   time.Time // since when it has its place
	Heard    time.Time // when it was first confirmed there; zero: not yet
	TurnOver bool      // it has to go, if others wait: until the topics are placed again
}

// refusal is a topic that was refused at a time.
type refusal struct {
	record *Record
	at     time.Time
}

// New makes a ledger in which nothing is wanted.
func New(o Options) *Ledger {
	return &Ledger{
		opts: o, last: o.Last, version: 1,
		records: make(map[shard.Topic]*Record), gaps: make(map[cause.Cause]uint64),
	}
}

// Want takes the wanted topics, whole, in the order of listing.
func (l *Ledger) Want(topics []shard.Wanted, now time.Time) {
	for _, r := range l.records {
		r.wanted = false
	}
	l.order = make([]*Record, 0, len(topics))
	for _, w := range topics {
		r := l.records[w.Topic]
		if r == nil {
			r = l.open(w.Topic, now)
		}
		if r.wanted { // listed twice: the highest priority wins
			r.Priority = max(r.Priority, w.Priority)
			continue
		}
		r.wanted, r.Priority = true, w.Priority
		l.order = append(l.order, r)
	}
	for _, r := range l.records {
		if !r.wanted {
			l.remove(r, now)
		}
	}
	if last := l.last; last != nil {
		l.last = nil
		l.version++
		l.resume(last, now)
	}
}

// open begins a topic's record. A topic that can never be asked for is refused at once.
func (l *Ledger) open(name shard.Topic, now time.Time) *Record {
	l.queue++
	r := &Record{Topic: &topic.Topic{Name: name}, State: topic.Unplaced, Since: now, Queued: l.queue}
	l.records[name] = r
	l.counts[topic.Unplaced]++
	err := l.opts.Check(name)
	if err == nil {
		r.Subject, err = l.opts.Subject(name)
	}
	if err != nil {
		l.refuse(r, err.Error(), now)
		return r
	}
	l.opts.Sink.Topic(r.Topic)
	return r
}

func (l *Ledger) remove(r *Record, now time.Time) {
	l.lighten(r, now) // a gap does not outlive the wish to listen
	if r.State == topic.Confirmed {
		l.version++
	}
	l.counts[r.State]--
	delete(l.records, r.Name)
	r.CarryNowhere()
	r.Since = now
	l.notifyTopic(r, "removed", "")
}

// Placeable is what the assignment may choose from, in the order of listing; where topics take turns, in that of their
// queue.
func (l *Ledger) Placeable() []shard.Wanted {
	order := l.order
	if l.opts.Queue {
		order = slices.Clone(order)
		slices.SortFunc(order, func(a, b *Record) int { return cmp.Compare(a.Queued, b.Queued) })
	}
	topics := make([]shard.Wanted, 0, len(order))
	for _, r := range order {
		if r.State != topic.Refused {
			topics = append(topics, shard.Wanted{Topic: r.Name, Priority: r.Priority})
		}
	}
	return topics
}

// setState is the one place where a record's state changes.
func (l *Ledger) setState(r *Record, s topic.State, reason string, now time.Time) {
	if s != topic.Confirmed {
		r.By = ""
	}
	r.Reason = reason
	if s == r.State {
		return
	}
	if s == topic.Confirmed || r.State == topic.Confirmed {
		l.version++
	}
	l.counts[r.State]--
	l.counts[s]++
	r.State, r.Since = s, now
}

// Place says that a topic has its place in a slot. One that was there already keeps its state.
func (l *Ledger) Place(r *Record, s shard.Slot, now time.Time) {
	if r.HasPlace() && r.Slot == s {
		return
	}
	if r.State == topic.Confirmed {
		l.darken(r, now, cause.Moved, now)
	}
	r.Slot, r.Placed, r.Heard = s, now, time.Time{}
	r.CarryBy(s)
	l.setState(r, topic.Assigned, "", now)
}

// HasPlace says whether r has its place in a slot.
func (r *Record) HasPlace() bool {
	return r.State == topic.Assigned || r.State == topic.Asked || r.State == topic.Confirmed
}

// EndTurn sends a topic to the back of the queue. It keeps its place until Unplace.
func (l *Ledger) EndTurn(r *Record) {
	l.queue++
	r.Queued, r.TurnOver = l.queue, true
}

// Unplace says that there is no room for a topic. Its absence is planned if its turn is over: then it is not dark.
func (l *Ledger) Unplace(r *Record, reason string, planned bool, now time.Time) {
	if r.State == topic.Confirmed && !planned {
		r.dark = now // dark, but no gap: that it lost its place is announced, and why
		l.dark++
	}
	if planned {
		l.lighten(r, now)
	}
	l.closeGap(r, now) // nor does a gap go on
	r.CarryNowhere()
	l.setState(r, topic.Unplaced, reason, now)
	r.known = false
	l.notifyTopic(r, topic.Unplaced.String(), reason)
}

// refuse says that a topic will not come, until somebody changes something.
func (l *Ledger) refuse(r *Record, reason string, now time.Time) {
	if r.State == topic.Confirmed {
		l.darken(r, now, cause.Auth, now)
	}
	l.setState(r, topic.Refused, reason, now)
	r.CarryNowhere()
	r.known = false
	l.notifyTopic(r, topic.Refused.String(), reason)
}

// RefuseForNow is refuse for a topic that the upstream refused: it is asked again after RefusedFor.
func (l *Ledger) RefuseForNow(r *Record, reason string, now time.Time) {
	l.refuse(r, reason, now)
	l.refusals = append(l.refusals, refusal{r, now})
}

// Asked says that an ask for r was written.
func (l *Ledger) Asked(r *Record, now time.Time) {
	if r.State != topic.Confirmed {
		l.setState(r, topic.Asked, "", now)
	}
}

// Unasked says that the answer to an ask was none. The topic may be confirmed by an event that had been on its way since
// an earlier ask: then nobody listened since.
func (l *Ledger) Unasked(r *Record, reason string, now time.Time) {
	switch r.State {
	case topic.Confirmed:
		l.darken(r, r.Since, cause.ProtocolError, now)
	case topic.Asked:
	default:
		return
	}
	l.setState(r, topic.Assigned, reason, now)
}

// Confirm says that the upstream sends r, and how that is known.
func (l *Ledger) Confirm(r *Record, by topic.By, now time.Time) {
	if r.State == topic.Confirmed {
		return
	}
	l.setState(r, topic.Confirmed, "", now)
	r.By = by
	if r.Heard.IsZero() {
		r.Heard = now
	}
	l.lighten(r, now)
	if !r.known {
		r.known = true
		l.notifyTopic(r, topic.Confirmed.String(), "")
	}
}

// LifeEnded takes back what was asked or confirmed in a slot, but for what another life had confirmed by then.
func (l *Ledger) LifeEnded(n slots.LifeEnded, now time.Time) {
	if n.Replaced && len(n.Heir) == 0 && len(n.Alone) == 0 {
		return
	}
	for _, r := range l.order {
		since, inherited := n.Heir[r.Topic]
		if inherited && n.LastFrame.Before(since) {
			l.wasDark(r, n.LastFrame, since, n.Cause)
		}
		if inherited || n.Replaced && !n.Alone[r.Topic] || r.Slot != n.Slot {
			continue
		}
		switch r.State {
		case topic.Confirmed:
			l.darken(r, n.LastFrame, n.Cause, now)
			l.setState(r, topic.Assigned, "", now)
		case topic.Asked:
			l.setState(r, topic.Assigned, "", now)
		}
	}
}

// Pardon makes the topics placeable again whose refusal is old. It says whether there were any, and when it is next
// needed; zero: not before something changes.
func (l *Ledger) Pardon(now time.Time) (any bool, next time.Time) {
	for len(l.refusals) > 0 {
		f := l.refusals[0]
		if f.record.State == topic.Refused && f.record.Since.Equal(f.at) && l.records[f.record.Name] == f.record {
			if at := f.at.Add(RefusedFor); now.Before(at) {
				return any, at
			}
			l.setState(f.record, topic.Unplaced, "", now)
			any = true
		}
		l.refusals = l.refusals[1:]
	}
	l.refusals = nil
	return any, time.Time{}
}

// PardonAll makes every topic placeable again that the upstream refused.
func (l *Ledger) PardonAll(now time.Time) {
	for _, f := range l.refusals {
		if f.record.State == topic.Refused && l.records[f.record.Name] == f.record {
			l.setState(f.record, topic.Unplaced, "", now)
		}
	}
	l.refusals = nil
}

// End says that what becomes of topics from now on is no news: the pool ends, and the next one tells.
func (l *Ledger) End() { l.silent = true }
