package asks

import (
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/topic"
)

// SettledAtOnce is what the session decided without asking the upstream; where nothing is asked, that it had nothing against
// a topic is enough.
func (a *Asks) SettledAtOnce(l Life, now time.Time) (news []topic.News) {
	for _, s := range a.atOnce {
		news = append(news, a.Settle(s, l, now)...)
	}
	a.atOnce = nil
	if a.Answers == protocol.Unasked {
		for _, k := range a.list {
			if k.queued {
				k.queued, k.wrote = false, true
			}
		}
		if a.heeds {
			news = append(news, a.heed(now, topic.Filled{})...)
		}
	}
	return news
}

// Listening says, where nothing is asked, that what comes on this life is whole from now on, and what became of what came
// before. It confirms every topic that the session was told of; others are confirmed as soon as it is.
func (a *Asks) Listening(now time.Time, filled topic.Filled) []topic.News {
	a.heeds = true
	return a.heed(now, filled)
}

// Unheed takes back what Listening said, until it is said again.
func (a *Asks) Unheed() {
	a.heeds = false
	for _, k := range a.list {
		if k.state == topic.Confirmed {
			k.state = topic.Assigned
		}
	}
}

func (a *Asks) heed(now time.Time, filled topic.Filled) []topic.News {
	return a.confirm(topic.News{By: topic.ByAck, At: now, Filled: filled}, func(k *ask) bool {
		return k.state == topic.Assigned && k.wrote || k.state == topic.Asked
	})
}

// Assume confirms, where the upstream says nothing to an ask, those that it had time to object to: something must have been
// read since the ask was written. lastRead is when anything last was. It is called when Wake says so.
func (a *Asks) Assume(now, lastRead time.Time) []topic.News {
	if a.Answers != protocol.Assumed {
		return nil
	}
	return a.confirm(topic.News{By: topic.ByAssumed, At: now}, func(k *ask) bool {
		if k.state != topic.Asked || now.Before(k.assumeAt) {
			return false
		}
		if !lastRead.After(k.since) {
			a.lookAt = now.Add(lookAgain)
			return false
		}
		return true
	})
}

// Objected says, where the upstream says nothing to an ask, that it spoke of an error. It does not say what that is about, so
// what is asked for must go without another one for as long as before. That is put off a few times at most: an upstream
// that complains of something else without end must not keep topics from being confirmed.
func (a *Asks) Objected(now time.Time) {
	for _, k := range a.list {
		if k.state == topic.Asked && k.objected < objections {
			k.assumeAt = now.Add(assumeAfter)
			k.objected++
		}
	}
}

// confirm confirms the asks that may be, and completes the news of it.
func (a *Asks) confirm(news topic.News, may func(*ask) bool) []topic.News {
	news.State = topic.Confirmed
	for _, k := range a.list {
		if may(k) {
			k.confirm(news.By, news.At)
			a.blame.clear(k.topic)
			news.Topics = append(news.Topics, k.topic)
		}
	}
	if len(news.Topics) == 0 {
		return nil
	}
	return []topic.News{news}
}

func (k *ask) confirm(by topic.By, at time.Time) {
	if k.state != topic.Confirmed {
		k.confirmed = at
	}
	k.state, k.by, k.tries, k.failures = topic.Confirmed, by, 0, 0
}

// Settle takes a verdict.
func (a *Asks) Settle(s protocol.Settlement, l Life, now time.Time) []topic.News {
	news := topic.News{State: topic.Assigned, Reason: s.Reason, At: now}
	var again []*topic.Topic // refused with another credential, or other options
	for _, name := range s.Topics {
		k := a.byName[name]
		if k == nil || !k.awaits(s.Verdict) {
			continue
		}
		if (k.outdated || k.changed) && k.state == topic.Asked && (s.Verdict == protocol.Refused || s.Verdict == protocol.Split) {
			a.blame.clear(k.topic)
			k.queued, k.tries, k.state, k.notBefore = false, 0, topic.Assigned, now
			l.Listen(name)
			again = append(again, k.topic)
			continue
		}
		k.queued, k.tries, k.reason, k.by = false, 0, s.Reason, ""
		a.blame.clear(k.topic)
		switch s.Verdict {
		case protocol.Confirmed:
			k.confirm(topic.ByAck, now)
		case protocol.Refused:
			k.state = topic.Refused
			l.Forget(name)
		case protocol.Split:
			k.state, k.alone, k.notBefore = topic.Assigned, true, now
			l.Listen(name)
		case protocol.Again:
			k.state, k.notBefore = topic.Assigned, now.Add(min(againFirst<<min(k.failures, 10), againMost))
			k.failures++
			l.Listen(name)
		case protocol.Full:
			k.state = elsewhere
			l.Forget(name)
			a.full = max(1, a.countConfirmed())
			continue
		}
		news.State, news.By = k.state, k.by
		news.Topics = append(news.Topics, k.topic)
	}
	var list []topic.News
	if len(news.Topics) > 0 {
		list = append(list, news)
	}
	if len(again) > 0 {
		list = append(list, topic.News{Topics: again, State: topic.Assigned, Reason: s.Reason, At: now})
	}
	return list
}

// awaits says whether a verdict can be one on this ask. One on an ask from before the topic was removed and wanted again
// cannot. An event may have confirmed the topic before the answer came: it may have been on its way since before. An
// upstream may refuse what it confirmed, and a session what it was about to ask for.
func (k *ask) awaits(v protocol.Verdict) bool {
	switch k.state {
	case topic.Asked:
		return true
	case topic.Confirmed:
		return k.by != topic.ByAck || v == protocol.Refused
	}
	return k.queued && v == protocol.Refused
}

// ByEvent confirms the topics that sent an event before the upstream answered, or without an answer.
func (a *Asks) ByEvent(topics []*topic.Topic, at time.Time) []topic.News {
	news := topic.News{State: topic.Confirmed, By: topic.ByEvent, At: at}
	for _, t := range topics {
		if k := a.byName[t.Name]; k != nil && k.topic.Is(t) && k.awaitsEvent() {
			k.confirm(topic.ByEvent, at)
			a.blame.clear(k.topic)
			news.Topics = append(news.Topics, k.topic)
		}
	}
	if len(news.Topics) == 0 {
		return nil
	}
	return []topic.News{news}
}

// awaitsEvent says whether an event tells more of k than is known.
func (k *ask) awaitsEvent() bool {
	switch k.state {
	case topic.Assigned:
		return k.wrote
	case topic.Asked:
		return true
	case topic.Confirmed:
		return k.by == topic.ByAssumed
	}
	return false
}
