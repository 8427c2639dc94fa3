package asks

import (
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

const (
	answerWithin = 10 * time.Second // for an ask; then it is asked again
	askTries     = 3                // asks without an answer, after which the life ends
	againFirst   = 5 * time.Second  // after the upstream's own failure; doubles
	againMost    = 5 * time.Minute

	assumeAfter = 2 * time.Second // an upstream without answers: from an ask to taking it for accepted
	lookAgain   = time.Second     // … and how often to look whether anything came since
	objections  = 3               // … and how often an objection puts it off: it may be about something else
)

// Asks is what one life was asked for, and what is still to be written. It has one owner and no lock.
//
// What is to be asked is not queued but worked out whenever a message may be sent: the topics that are wanted and were
// not asked for. So an order that changes the wanted set leaves nothing stale behind.
type Asks struct {
	// Answers is what the upstream says to an ask. It must not change after the first call.
	Answers protocol.Answers

	batch  int
	blame  *Culprits
	window *limiter.Budget // messages of this connection
	list   []*ask          // most wanted first
	byName map[shard.Topic]*ask
	drops  []shard.Topic // asked for and not wanted any more

	outbox []Frame // said by the session, not written yet: what one Change, one Ping or one message leads to
	atOnce []protocol.Settlement
	out    protocol.Out // reused
	paused time.Time    // when the window opens for the outbox; zero: it is empty
	frozen bool         // nothing is asked for now
	stale  bool         // nor before the session has the credential that changed
	full   int          // topics that the upstream takes on this life, if it was found out just now
	lookAt time.Time    // Assumed: when to look again, since nothing had been read after an ask that was due
	heeds  bool         // Unasked: topics that the session was told of are confirmed
}

// Life is what Asks must be able to tell a life.
type Life interface {
	// Change lets the session end drop and then ask for add, and lets the events of the one go nowhere and of the other
	// to their topics. What is in add and was there before has other options now.
	Change(add []*topic.Topic, drop []shard.Topic, out *protocol.Out)
	// Ping lets the session say its ping.
	Ping(out *protocol.Out)
	// Rename lets a topic that was removed and wanted again, or has another form now, take the place of the one before. One
	// with other options does so in Change: until then the upstream sends what the old ones asked for.
	Rename(t *topic.Topic)
	// Listen lets the next event of a topic count as its first: it may confirm the topic again.
	Listen(name shard.Topic)
	// Forget ends a topic's route: the upstream will send nothing for it.
	Forget(name shard.Topic)
}

// ask is one wanted topic in one life.
type ask struct {
	topic     *topic.Topic
	state     topic.State // assigned, asked, confirmed, refused
	by        topic.By
	reason    string
	queued    bool      // its ask is in the outbox
	wrote     bool      // it was asked for: the upstream may send it, whatever it answered
	changed   bool      // it has other options than the session was told of, if it was
	anew      bool      // changed, and the ask in the outbox replaces the one that was confirmed
	outdated  bool      // its ask has a credential that changed since: a refusal means nothing
	alone     bool      // ask for it in a message of its own: it was in a batch that was refused
	since     time.Time // asked: when it was written
	assumeAt  time.Time // asked, Assumed: when it had time enough to object to
	objected  int       // … and how often that was put off
	notBefore time.Time // assigned: when it may be asked for
	tries     int       // asks without an answer
	failures  int       // answers that were the upstream's own failure
	confirmed time.Time // confirmed: since when
}

// elsewhere is the state of a topic that this life has no room for: its order is about to say so.
const elsewhere topic.State = -1

// Frame is a message that waits for its turn.
type Frame struct {
	protocol.Frame
	asks []*ask // by identity: a topic may be dropped and wanted again before its frame is written
	Ping bool
}

// New makes the asks of a life that has asked for nothing yet: at most batch topics in a message, and messages as rate
// allows. blame outlives the life.
func New(batch int, rate limiter.Window, blame *Culprits) *Asks {
	return &Asks{
		batch:  batch,
		blame:  blame,
		window: limiter.NewBudget(rate, rate.N),
		byName: make(map[shard.Topic]*ask),
	}
}

// Want takes the topics that are wanted now, whole. It returns all that is known of them already: the ledger may know
// nothing of it, because a topic lost its place and got it back, or was removed and wanted again, before this Conn saw
// it. A topic that was refused is asked for again: else it would have no place here. One that has other options now goes to
// the session again, and is as well off as before unless it must be asked for anew.
func (a *Asks) Want(topics []*topic.Topic, l Life) []topic.News {
	before := a.byName
	a.list = make([]*ask, 0, len(topics))
	a.byName = make(map[shard.Topic]*ask, len(topics))
	for _, t := range topics {
		k := before[t.Name]
		if k == nil || k.state == topic.Refused || k.state == elsewhere {
			k = &ask{topic: t, state: topic.Assigned}
		} else if k.topic != t {
			k.changed = k.changed || k.topic.Options != t.Options
			k.topic = t
			if !k.changed { // else what comes before the session is told is still the old form's
				l.Rename(t)
			}
		}
		a.list = append(a.list, k)
		a.byName[t.Name] = k
	}
	for t := range a.blame.most {
		if k := a.byName[t.Name]; k == nil || !k.topic.Is(t) {
			a.blame.clear(t)
		}
	}
	for name, k := range before {
		if a.byName[name] == nil && (k.queued || k.wrote && k.state != topic.Refused && k.state != elsewhere) {
			a.drops = append(a.drops, name)
		}
	}
	return a.Known()
}

// Known is all that is known of the wanted topics.
func (a *Asks) Known() (news []topic.News) {
	type said struct {
		state  topic.State
		by     topic.By
		reason string
	}
	known := make(map[said][]*topic.Topic)
	for _, k := range a.list {
		if k.state != topic.Assigned && k.state != elsewhere {
			word := said{k.state, k.by, k.reason}
			known[word] = append(known[word], k.topic)
		}
	}
	now := time.Now()
	for word, topics := range known {
		news = append(news, topic.News{Topics: topics, State: word.state, By: word.by, Reason: word.reason, At: now})
	}
	return news
}

// Inherited are the topics that are confirmed here; with the time since when, if before had them as well. The
// keys are those of Topic.Self.
func (a *Asks) Inherited(before *Asks) map[*topic.Topic]time.Time {
	since := make(map[*topic.Topic]time.Time, len(a.list))
	for _, k := range a.list {
		switch {
		case k.state != topic.Confirmed:
		case before.IsConfirmed(k.topic.Name):
			since[k.topic.Self()] = k.confirmed
		default:
			since[k.topic.Self()] = time.Time{}
		}
	}
	return since
}

func (a *Asks) countConfirmed() (n int) {
	for _, k := range a.list {
		if k.state == topic.Confirmed {
			n++
		}
	}
	return n
}

// IsConfirmed says whether the upstream sends a topic's events on this life.
func (a *Asks) IsConfirmed(name shard.Topic) bool {
	k := a.byName[name]
	return k != nil && k.state == topic.Confirmed
}

// Carried are the topics of which events may come on this life, now or once what is said already is written.
func (a *Asks) Carried() map[shard.Topic]bool {
	carried := make(map[shard.Topic]bool, len(a.list))
	for _, k := range a.list {
		if (k.wrote || k.queued) && k.state != topic.Refused && k.state != elsewhere {
			carried[k.topic.Name] = true
		}
	}
	return carried
}

// Freeze stops asking for topics, or goes on with it. Those that are not wanted any more are given up all the same.
func (a *Asks) Freeze(on bool) { a.frozen = on }

// Stale says that the session's credential is not the newest, or that it is again. Nothing is asked for with an old one, and
// a refusal of what was does not stand.
func (a *Asks) Stale(on bool) {
	a.stale = on
	for _, k := range a.list {
		k.outdated = k.outdated || on && (k.queued || k.state == topic.Asked)
	}
}

// Still are those of topics that were wanted on this life already.
func (a *Asks) Still(topics []*topic.Topic) (still []*topic.Topic) {
	for _, t := range topics {
		if a.byName[t.Name] != nil {
			still = append(still, t)
		}
	}
	return still
}

// Covers says whether all topics that before has confirmed are confirmed or refused here.
func (a *Asks) Covers(before *Asks) bool {
	for _, k := range before.list {
		if k.state != topic.Confirmed {
			continue
		}
		if here := a.byName[k.topic.Name]; here != nil && here.state != topic.Confirmed && here.state != topic.Refused {
			return false
		}
	}
	return true
}

// TakeFull is how many topics the upstream takes on this life, if that was found out since the last call; else 0.
func (a *Asks) TakeFull() (n int) {
	n, a.full = a.full, 0
	return n
}

// LifeEnded tells that the life ended, not by us. It returns the topic that makes the upstream end each life that asks for
// it, once that is found. heard says that the upstream speaks to us at all.
func (a *Asks) LifeEnded(now time.Time, heard bool) (guilty *topic.Topic) {
	var pending []*topic.Topic
	for _, k := range a.list {
		if k.state == topic.Asked && now.Sub(k.since) <= soonAfter {
			pending = append(pending, k.topic)
		}
	}
	return a.blame.lifeEnded(pending, a.batch, heard)
}

// Next gives the frame to write now, if there is one and the window allows it. sent is called once it is written.
func (a *Asks) Next(l Life, now time.Time) (f *Frame, sent func()) {
	for len(a.outbox) == 0 && a.fill(l, now) {
		// what was settled at once, or dropped without a word, left room for more
	}
	a.paused = time.Time{}
	if len(a.outbox) == 0 {
		return nil, nil
	}
	sent, wait := a.window.Try()
	if sent == nil {
		a.paused = now.Add(wait)
		return nil, nil
	}
	f = &a.outbox[0]
	a.outbox = a.outbox[1:]
	for _, k := range f.asks {
		if k.anew { // what comes from here on may be what it asks for
			l.Listen(k.topic.Name)
		}
	}
	return f, sent
}

// Reply takes what the session says, after what it said before.
func (a *Asks) Reply(frames []protocol.Frame) {
	for _, f := range frames {
		w := Frame{Frame: f}
		for _, name := range f.Asks {
			if k := a.byName[name]; k != nil {
				w.asks = append(w.asks, k)
			}
		}
		a.outbox = append(a.outbox, w)
	}
}

// Ping puts the session's ping before all else.
func (a *Asks) Ping(l Life) {
	a.out.Reset()
	l.Ping(&a.out)
	if len(a.outbox) > 0 && a.outbox[0].Ping {
		return // the window is so narrow that the one before still waits
	}
	var first []Frame
	for _, f := range a.out.Frames {
		first = append(first, Frame{Frame: f, Ping: true})
	}
	a.outbox = append(first, a.outbox...)
}

// Written notes that a frame was written and with it what it asks for.
func (a *Asks) Written(f *Frame, now time.Time) []topic.News {
	news := topic.News{State: topic.Asked, At: now}
	for _, k := range f.asks {
		anew := k.anew
		k.queued, k.wrote, k.anew = false, true, false
		if a.byName[k.topic.Name] == k && (k.state != topic.Confirmed || anew) {
			if anew {
				k.by, k.tries = "", 0
			}
			k.state, k.since = topic.Asked, now
			k.assumeAt, k.objected = now.Add(assumeAfter), 0
			k.tries++
			news.Topics = append(news.Topics, k.topic)
		}
	}
	if len(news.Topics) == 0 {
		return nil
	}
	return []topic.News{news}
}

// Unanswered says whether a topic was asked for as often as it makes sense, without an answer.
func (a *Asks) Unanswered(now time.Time) bool {
	if a.Answers != protocol.Answered {
		return false
	}
	for _, k := range a.list {
		if k.state == topic.Asked && k.tries >= askTries && now.Sub(k.since) >= answerWithin {
			return true
		}
	}
	return false
}

// Wake is when Next, Unanswered or Assume has something new to say; zero: never.
func (a *Asks) Wake() (wake time.Time) {
	if !a.paused.IsZero() {
		return a.paused // whatever else is due then
	}
	may := a.turn()
	for _, k := range a.list {
		at := k.dueAt()
		switch {
		case k.state == topic.Asked && a.Answers == protocol.Assumed:
			if at = k.assumeAt; at.Before(a.lookAt) {
				at = a.lookAt
			}
		case !a.pends(k) || !may(k) || (a.frozen || a.stale) && k.tries < askTries:
			continue // an answer comes first, or another life
		}
		if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	return wake
}
