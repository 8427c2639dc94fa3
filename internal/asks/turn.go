package asks

import (
	"slices"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/topic"
)

// fill lets the session say the next change: at most a batch of new topics, or one that must be asked for alone. It
// reports whether there was anything to change.
func (a *Asks) fill(l Life, now time.Time) bool {
	a.outbox = nil
	drop := a.drops[:min(len(a.drops), a.batch)]
	a.drops = a.drops[len(drop):]
	var add, changed []*topic.Topic
	if len(a.drops) == 0 && !a.frozen && !a.stale { // a topic that is dropped and wanted again is dropped first
		if add = a.gather(now); len(add) == 0 {
			changed = a.gatherChanged()
			add = changed
		}
	}
	if len(add) == 0 && len(drop) == 0 {
		return false
	}
	a.out.Reset()
	l.Change(add, drop, &a.out)
	a.Reply(a.out.Frames)
	for _, t := range changed {
		a.byName[t.Name].anew = slices.ContainsFunc(a.out.Frames, func(f protocol.Frame) bool { return slices.Contains(f.Asks, t.Name) })
	}
	a.atOnce = append(a.atOnce, a.out.Settled...)
	return true
}

// gather takes topics that are due to be asked for: a batch of them at most, or one that must be asked for alone. Suspects
// come last, those together that may share a message with as many others, and first those that may with most.
func (a *Asks) gather(now time.Time) (add []*topic.Topic) {
	may, most := a.turn(), 0
	for _, k := range a.list {
		if !a.due(k, now) || !may(k) {
			continue
		}
		m := a.blame.mostWith(k.topic)
		if most = max(most, m); m == 0 {
			most = 0
			break
		}
	}
	n := a.batch
	if most > 0 {
		n = min(n, most)
	}
	for _, k := range a.list {
		if len(add) == n {
			break
		}
		if !a.due(k, now) || !may(k) || a.blame.mostWith(k.topic) != most || k.alone && len(add) > 0 {
			continue
		}
		add = append(add, k.topic)
		k.queued, k.outdated, k.changed = true, false, false
		k.notBefore = now.Add(answerWithin) // should the session say nothing of it
		if k.alone {
			break
		}
	}
	return add
}

// turn says whose turn it is: a suspect is asked for while no other answer is awaited, and nobody else while one on a
// suspect is. What was asked for may be asked again.
func (a *Asks) turn() func(*ask) bool {
	suspect, other := false, false
	for _, k := range a.list {
		if k.state == topic.Asked && k.tries < askTries {
			isSuspect := a.blame.mostWith(k.topic) > 0
			suspect, other = suspect || isSuspect, other || !isSuspect
		}
	}
	return func(k *ask) bool {
		return k.state == topic.Asked || !suspect && (!other || a.blame.mostWith(k.topic) == 0)
	}
}

// gatherChanged takes topics whose options the session does not know yet: a batch of them at most. Those that are to be
// asked for, now or again, go with that.
func (a *Asks) gatherChanged() (add []*topic.Topic) {
	for _, k := range a.list {
		if len(add) == a.batch {
			break
		}
		if k.changed && (k.state == topic.Asked || k.state == topic.Confirmed) && a.blame.mostWith(k.topic) == 0 {
			k.changed = false
			add = append(add, k.topic)
		}
	}
	return add
}

// pends says whether k is to be asked for some time, or waits for an answer the lack of which means something.
func (a *Asks) pends(k *ask) bool {
	switch k.state {
	case topic.Assigned:
		return a.Answers != protocol.Unasked || !k.wrote
	case topic.Asked:
		return a.Answers == protocol.Answered
	}
	return false
}

// due says whether k is to be asked for.
func (a *Asks) due(k *ask, now time.Time) bool {
	return a.pends(k) && (k.state == topic.Assigned || k.tries < askTries) && !now.Before(k.dueAt())
}

// dueAt is when k is to be asked for, the first time or again; or, once it was asked for often enough, when the patience
// with its life ends.
func (k *ask) dueAt() time.Time {
	if again := k.since.Add(answerWithin); k.state == topic.Asked && again.After(k.notBefore) {
		return again
	}
	return k.notBefore
}
