package asks

import (
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/topic"
)

// SettledAtOnce is what the session decided without asking the upstream.
func (a *Asks) SettledAtOnce(l Life, now time.Time) (news []topic.News) {
	for _, s := range a.atOnce {
		news = append(news, a.Settle(s, l, now)...)
	}
	a.atOnce = nil
	return news
}

// Settle takes a verdict.
func (a *Asks) Settle(s protocol.Settlement, l Life, now time.Time) []topic.News {
	news := topic.News{State: topic.Assigned, Reason: s.Reason, At: now}
	var again []*topic.Topic // refused with another credential
	for _, name := range s.Topics {
		k := a.byName[name]
		if k == nil || !k.awaits(s.Verdict) {
			continue
		}
		if k.outdated && k.state == topic.Asked && (s.Verdict == protocol.Refused || s.Verdict == protocol.Split) {
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
			if k.state != topic.Confirmed {
				k.confirmed = now
			}
			k.state, k.by, k.failures = topic.Confirmed, topic.ByAck, 0
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
		return k.by == topic.ByEvent || v == protocol.Refused
	}
	return k.queued && v == protocol.Refused
}

// ByEvent confirms the topics that sent an event before the upstream answered.
func (a *Asks) ByEvent(topics []*topic.Topic, at time.Time) []topic.News {
	news := topic.News{State: topic.Confirmed, By: topic.ByEvent, At: at}
	for _, t := range topics {
		if k := a.byName[t.Name]; k != nil && k.topic == t && (k.state == topic.Asked || k.state == topic.Assigned && k.wrote) {
			k.state, k.by, k.tries, k.failures, k.confirmed = topic.Confirmed, topic.ByEvent, 0, 0, at
			a.blame.clear(k.topic)
			news.Topics = append(news.Topics, k.topic)
		}
	}
	if len(news.Topics) == 0 {
		return nil
	}
	return []topic.News{news}
}
