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
	lastGap  *gap      // the newest that is over
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
		switch {
		case r == nil:
			r = l.open(w, now)
		case r.wanted: // listed twice: the highest priority wins, and the options of the first
			r.Priority = max(r.Priority, w.Priority)
			continue
		case r.Options != w.Options:
			l.reform(r, w, now)
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

// open begins a topic's record.
func (l *Ledger) open(w shard.Wanted, now time.Time) *Record {
	l.queue++
	r := &Record{Topic: &topic.Topic{Name: w.Topic, Options: w.Options}, State: topic.Unplaced, Since: now, Queued: l.queue}
	l.records[w.Topic] = r
	l.counts[topic.Unplaced]++
	l.admit(r, r.Topic, w, nil, now)
	return r
}

// reform gives a topic other options. All that is known of it stays, but that it was refused.
func (l *Ledger) reform(r *Record, w shard.Wanted, now time.Time) {
	old := r.Options
	if r.State == topic.Refused {
		l.setState(r, topic.Unplaced, "", now)
	}
	l.admit(r, r.Form(w.Options, r.Subject), w, old, now)
}

// admit makes t the form of r's topic that is wanted. One that cannot be asked for as it is, is refused.
func (l *Ledger) admit(r *Record, t *topic.Topic, w shard.Wanted, old any, now time.Time) {
	r.Topic = t
	subject, err := "", l.opts.Check(w)
	if err == nil {
		subject, err = l.opts.Subject(w)
	}
	if err != nil {
		if r.State == topic.Confirmed { // it is a file's doing, and not our wish that nobody listens
			l.darken(r, now, cause.Moved, now)
		}
		l.refuse(r, err.Error(), now)
		return
	}
	t.Subject = subject
	l.opts.Sink.Topic(t)
	l.note(r, old)
}

func (l *Ledger) remove(r *Record, now time.Time) {
	l.lighten(r, topic.Filled{}, now) // a gap does not outlive the wish to listen
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
	}
	if planned {
		l.lighten(r, topic.Filled{}, now)
	}
	l.closeGap(r, topic.Filled{}, now) // nor does a gap go on
	r.CarryNowhere()
	l.setState(r, topic.Unplaced, reason, now)
	r.known = false
	l.notifyTopic(r, topic.Unplaced.String(), reason)
}

// refuse says that a topic will not come, until somebody changes something.
func (l *Ledger) refuse(r *Record, reason string, now time.Time) {
	l.setState(r, topic.Refused, reason, now)
	r.CarryNowhere()
	r.known = false
	l.notifyTopic(r, topic.Refused.String(), reason)
}

// RefuseForNow is refuse for a topic that the upstream refused: it is asked again after RefusedFor.
func (l *Ledger) RefuseForNow(r *Record, reason string, now time.Time) {
	if r.State == topic.Confirmed {
		l.darken(r, now, cause.Auth, now)
	}
	l.refuse(r, reason, now)
	l.refusals = append(l.refusals, refusal{r, now})
}

// Asked says that an ask for r was written. If it was confirmed, its options have changed so that the upstream sends another
// stream now: for a moment nobody listened.
func (l *Ledger) Asked(r *Record, now time.Time) {
	if r.State == topic.Confirmed {
		l.darken(r, now, cause.Moved, now)
	}
	l.setState(r, topic.Asked, "", now)
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

// Confirm says that the upstream sends r, how that is known, and what became of what it sent while r was dark.
func (l *Ledger) Confirm(r *Record, by topic.By, filled topic.Filled, now time.Time) {
	if r.State == topic.Confirmed {
		if r.By == topic.ByAssumed {
			r.By = by // now it is known
		}
		return
	}
	l.setState(r, topic.Confirmed, "", now)
	r.By = by
	if r.Heard.IsZero() {
		r.Heard = now
	}
	l.lighten(r, filled, now)
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
		since, inherited := n.Heir[r.Self()]
		if inherited && n.LastFrame.Before(since) {
			l.wasDark(r, slots.GapNews{From: n.LastFrame, To: since, Cause: n.Cause, At: AtUpstream})
		}
		if inherited || n.Replaced && !n.Alone[r.Self()] || r.Slot != n.Slot {
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
		if l.stands(f) {
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
		if l.stands(f) {
			l.setState(f.record, topic.Unplaced, "", now)
		}
	}
	l.refusals = nil
}

// stands says whether it is still this refusal because of which a wanted topic is refused.
func (l *Ledger) stands(f refusal) bool {
	return f.record.State == topic.Refused && f.record.Since.Equal(f.at) && l.records[f.record.Name] == f.record
}

// End says that what becomes of topics from now on is no news: the pool ends, and the next one tells.
func (l *Ledger) End() { l.silent = true }
