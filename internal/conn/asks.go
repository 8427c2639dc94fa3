package conn

import (
	"time"

	"feedmux/internal/protocol"
	"feedmux/limiter"
	"feedmux/shard"
)

const (
	answerWithin = 10 * time.Second // for an ask; then it is asked again
	askTries     = 3                // asks without an answer, after which the life ends
	againFirst   = 5 * time.Second  // after the upstream's own failure; doubles
	againMost    = 5 * time.Minute
)

// asks is what one life was asked for, and what is still to be written. It belongs to the conn.
//
// What is to be asked is not queued but worked out whenever a message may be sent: the topics that are wanted and were
// not asked for. So an order that changes the wanted set leaves nothing stale behind.
type asks struct {
	batch  int
	window *limiter.Budget // messages of this connection
	list   []*ask          // most wanted first
	byName map[shard.Topic]*ask
	drops  []shard.Topic // asked for and not wanted any more

	outbox []frame // said by the session, not written yet: what one Change, one Ping or one message leads to
	atOnce []protocol.Settlement
	out    protocol.Out // reused
	paused time.Time    // when the window opens for the outbox; zero: it is empty
}

// ask is one wanted topic in one life.
type ask struct {
	topic     *Topic
	state     TopicState // assigned, asked, confirmed, refused
	by        By
	reason    string
	queued    bool      // its ask is in the outbox
	wrote     bool      // it was asked for: the upstream may send it, whatever it answered
	alone     bool      // ask for it in a message of its own: it was in a batch that was refused
	since     time.Time // asked: when it was written
	notBefore time.Time // assigned: when it may be asked for
	tries     int       // asks without an answer
	failures  int       // answers that were the upstream's own failure
}

// frame is a message that waits for its turn.
type frame struct {
	protocol.Frame
	asks []*ask // by identity: a topic may be dropped and wanted again before its frame is written
	ping bool
}

func newAsks(o *Options) asks {
	return asks{
		batch:  o.SubscribeBatch,
		window: limiter.NewBudget(o.SubscribeRate, o.SubscribeRate.N),
		byName: make(map[shard.Topic]*ask),
	}
}

// want takes the topics that are wanted now, whole. It returns all that is known of them already: the ledger may know
// nothing of it, because a topic lost its place and got it back, or was removed and wanted again, before this Conn saw
// it. A topic that was refused is asked for again: else it would have no place here.
func (a *asks) want(topics []*Topic, l *life) (news []TopicNews) {
	before := a.byName
	type said struct {
		state  TopicState
		by     By
		reason string
	}
	known := make(map[said][]*Topic)
	now := time.Now()
	a.list = make([]*ask, 0, len(topics))
	a.byName = make(map[shard.Topic]*ask, len(topics))
	for _, t := range topics {
		k := before[t.Name]
		if k == nil || k.state == Refused {
			k = &ask{topic: t, state: Assigned}
		} else if k.topic != t {
			k.topic = t
			l.rename(t)
		}
		if k.state != Assigned {
			word := said{k.state, k.by, k.reason}
			known[word] = append(known[word], t)
		}
		a.list = append(a.list, k)
		a.byName[t.Name] = k
	}
	for name, k := range before {
		if a.byName[name] == nil && (k.queued || k.wrote && k.state != Refused) {
			a.drops = append(a.drops, name)
		}
	}
	for word, topics := range known {
		news = append(news, TopicNews{Topics: topics, State: word.state, By: word.by, Reason: word.reason, At: now})
	}
	return news
}

// next gives the frame to write now, if there is one and the window allows it. sent is called once it is written.
func (a *asks) next(l *life, now time.Time) (f *frame, sent func()) {
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
	return f, sent
}

// fill lets the session say the next change: at most a batch of new topics, or one that must be asked for alone. It
// reports whether there was anything to change.
func (a *asks) fill(l *life, now time.Time) bool {
	a.outbox = nil
	drop := a.drops[:min(len(a.drops), a.batch)]
	a.drops = a.drops[len(drop):]
	var add []*Topic
	for _, k := range a.list {
		if len(add) == a.batch || len(a.drops) > 0 { // a topic that is dropped and wanted again is dropped first
			break
		}
		if !k.due(now) || (k.alone && len(add) > 0) {
			continue
		}
		add = append(add, k.topic)
		k.queued = true
		k.notBefore = now.Add(answerWithin) // should the session say nothing of it
		if k.alone {
			break
		}
	}
	if len(add) == 0 && len(drop) == 0 {
		return false
	}
	a.out.Reset()
	l.change(add, drop, &a.out)
	a.reply(a.out.Frames)
	a.atOnce = append(a.atOnce, a.out.Settled...)
	return true
}

// due says whether k is to be asked for.
func (k *ask) due(now time.Time) bool {
	return (k.state == Assigned || k.state == Asked && k.tries < askTries) && !now.Before(k.dueAt())
}

// dueAt is when k is to be asked for, the first time or again; or, once it was asked for often enough, when the patience
// with its life ends.
func (k *ask) dueAt() time.Time {
	if again := k.since.Add(answerWithin); k.state == Asked && again.After(k.notBefore) {
		return again
	}
	return k.notBefore
}

// reply takes what the session says, after what it said before.
func (a *asks) reply(frames []protocol.Frame) {
	for _, f := range frames {
		w := frame{Frame: f}
		for _, name := range f.Asks {
			if k := a.byName[name]; k != nil {
				w.asks = append(w.asks, k)
			}
		}
		a.outbox = append(a.outbox, w)
	}
}

// ping puts the session's ping before all else.
func (a *asks) ping(l *life) {
	a.out.Reset()
	l.ping(&a.out)
	if len(a.outbox) > 0 && a.outbox[0].ping {
		return // the window is so narrow that the one before still waits
	}
	var first []frame
	for _, f := range a.out.Frames {
		first = append(first, frame{Frame: f, ping: true})
	}
	a.outbox = append(first, a.outbox...)
}

// written notes that a frame was written and with it what it asks for.
func (a *asks) written(f *frame, now time.Time) []TopicNews {
	news := TopicNews{State: Asked, At: now}
	for _, k := range f.asks {
		k.queued, k.wrote = false, true
		if a.byName[k.topic.Name] == k && k.state != Confirmed {
			k.state, k.since = Asked, now
			k.tries++
			news.Topics = append(news.Topics, k.topic)
		}
	}
	if len(news.Topics) == 0 {
		return nil
	}
	return []TopicNews{news}
}

// settledAtOnce is what the session decided without asking the upstream.
func (a *asks) settledAtOnce(l *life, now time.Time) (news []TopicNews) {
	for _, s := range a.atOnce {
		news = append(news, a.settle(s, l, now)...)
	}
	a.atOnce = nil
	return news
}

// settle takes a verdict.
func (a *asks) settle(s protocol.Settlement, l *life, now time.Time) []TopicNews {
	news := TopicNews{State: Assigned, Reason: s.Reason, At: now}
	for _, name := range s.Topics {
		k := a.byName[name]
		if k == nil || !k.awaits(s.Verdict) {
			continue
		}
		k.queued, k.tries, k.reason, k.by = false, 0, s.Reason, ""
		switch s.Verdict {
		case protocol.Confirmed:
			k.state, k.by, k.failures = Confirmed, ByAck, 0
		case protocol.Refused:
			k.state = Refused
			l.forget(name)
		case protocol.Split:
			k.state, k.alone, k.notBefore = Assigned, true, now
		case protocol.Again:
			k.state, k.notBefore = Assigned, now.Add(min(againFirst<<min(k.failures, 10), againMost))
			k.failures++
		}
		news.State, news.By = k.state, k.by
		news.Topics = append(news.Topics, k.topic)
	}
	if len(news.Topics) == 0 {
		return nil
	}
	return []TopicNews{news}
}

// awaits says whether a verdict can be one on this ask. One on an ask from before the topic was removed and wanted again
// cannot. An event may have confirmed the topic before the answer came: it may have been on its way since before. An
// upstream may refuse what it confirmed, and a session what it was about to ask for.
func (k *ask) awaits(v protocol.Verdict) bool {
	switch k.state {
	case Asked:
		return true
	case Confirmed:
		return k.by == ByEvent || v == protocol.Refused
	}
	return k.queued && v == protocol.Refused
}

// byEvent confirms the topics that sent an event before the upstream answered.
func (a *asks) byEvent(topics []*Topic, at time.Time) []TopicNews {
	news := TopicNews{State: Confirmed, By: ByEvent, At: at}
	for _, t := range topics {
		if k := a.byName[t.Name]; k != nil && k.topic == t && k.state == Asked {
			k.state, k.by, k.tries, k.failures = Confirmed, ByEvent, 0, 0
			news.Topics = append(news.Topics, k.topic)
		}
	}
	if len(news.Topics) == 0 {
		return nil
	}
	return []TopicNews{news}
}

// unanswered says whether a topic was asked for as often as it makes sense, without an answer.
func (a *asks) unanswered(now time.Time) bool {
	for _, k := range a.list {
		if k.state == Asked && k.tries >= askTries && now.Sub(k.since) >= answerWithin {
			return true
		}
	}
	return false
}

// wake is when next or unanswered has something new to say; zero: never.
func (a *asks) wake() (wake time.Time) {
	if !a.paused.IsZero() {
		return a.paused // whatever else is due then
	}
	for _, k := range a.list {
		if k.state != Assigned && k.state != Asked {
			continue
		}
		if at := k.dueAt(); wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	return wake
}
