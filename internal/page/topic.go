package page

import (
	"fmt"
	"time"

	"feedmux/internal/control"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/pool"
)

// topicView answers for one topic: quiet or broken?
type topicView struct {
	Feed, Name string
	Unknown    bool // the feed does not want it: all else is empty
	Verdict    verdict
	Line       lineView
	Slot       *slotView // that carries it; nil: none
	LastGap    string    // "": there was none
	Back       string
}

func topicOf(q question, s pool.Status, d *control.Delivery, now time.Time) *topicView {
	v := &topicView{Feed: s.Feed, Name: q.Topic, Back: question{Feed: s.Feed, State: q.State, Q: q.Q, Page: q.Page}.link() + "#ledger"}
	for _, t := range s.Ledger {
		if string(t.Topic) != q.Topic {
			continue
		}
		v.Line = lineOf(s.Feed, t, now)
		v.LastGap = lastGap(t, now)
		var carrier pool.SlotStatus
		if t.Slot != nil && int(*t.Slot) < len(s.Slots) {
			carrier = s.Slots[*t.Slot]
			slot := slotOf(carrier, roomOf(s, carrier), now)
			v.Slot = &slot
		}
		v.Verdict = quietOrBroken(t, carrier, v.Slot != nil, d, now)
		return v
	}
	v.Unknown = true
	v.Verdict = verdict{warn, "Not wanted", "This feed does not want such a topic, so nobody listens to it."}
	return v
}

// lively is how new the last event of a topic is that needs no explanation.
const lively = time.Minute

// quietOrBroken says in a word and a sentence or two how a topic is.
func quietOrBroken(t pool.TopicStatus, carrier pool.SlotStatus, placed bool, d *control.Delivery, now time.Time) verdict {
	switch t.State {
	case topic.Unplaced:
		return verdict{bad, "Not listened to", "It has no place on a connection: " + why(t.Reason)}
	case topic.Refused:
		return verdict{bad, "Refused", "The upstream does not want to send it: " + why(t.Reason) +
			" It is asked for again when the token changes, on reload, and else once an hour."}
	}
	where := fmt.Sprintf("slot %d, which is %s since %s", carrier.Slot, carrier.State, span(now.Sub(carrier.Since)))
	if !placed {
		where = "no slot"
	}
	if t.State != topic.Confirmed {
		text := "It has its place on " + where + ", and has not been asked for there yet."
		if t.State == topic.Asked {
			text = "It was asked for on " + where + ", and the upstream has not answered."
		}
		if !t.DarkSince.IsZero() {
			return verdict{bad, "Broken", fmt.Sprintf("Dark for %s. %s%s", span(now.Sub(t.DarkSince)), text, lastFailure(carrier))}
		}
		return verdict{warn, "Not yet", text + lastFailure(carrier)}
	}

	v := verdict{Grade: good, Word: "Quiet, not broken"}
	switch {
	case t.LastEvent.IsZero():
		v.Text = "No event of it has come since this daemon began."
	case now.Sub(t.LastEvent) < lively:
		v.Word, v.Text = "Alive", fmt.Sprintf("Its last event came %s.", at(t.LastEvent, now).Ago)
	default:
		v.Text = fmt.Sprintf("Its last event came %s.", at(t.LastEvent, now).Ago)
	}
	v.Text += fmt.Sprintf(" It was confirmed %s (%s) on slot %d,", at(t.Since, now).Ago, byWhat[t.By], carrier.Slot)
	switch {
	case !carrier.Starved.IsZero():
		v.Grade, v.Word = warn, "Doubtful"
		v.Text += fmt.Sprintf(" on which nothing comes since %s while the others speak.", span(now.Sub(carrier.Starved)))
	case carrier.State != slots.Live:
		v.Grade, v.Word = warn, "Changing"
		v.Text += fmt.Sprintf(" which is %s since %s.", carrier.State, span(now.Sub(carrier.Since)))
	case carrier.LastFrame.IsZero():
		v.Text += " which is live."
	default:
		v.Text += fmt.Sprintf(" which is live: something last came on it %s.", at(carrier.LastFrame, now).Ago)
	}
	if d != nil && !d.Connected {
		v.Grade, v.Word = bad, "Heard, not delivered"
		v.Text += " But NATS is not connected: what comes waits in the buffer, and is dropped once that is full."
	}
	return v
}

// lastGap says when the topic was last dark, and why.
func lastGap(t pool.TopicStatus, now time.Time) string {
	g := t.LastGap
	if g == nil {
		return ""
	}
	if g.To.IsZero() {
		return fmt.Sprintf("goes on for %s: %s", span(now.Sub(g.From)), g.Cause)
	}
	text := fmt.Sprintf("%s: %s, for %s", at(g.To, now).Ago, g.Cause, span(g.To.Sub(g.From)))
	if g.Filled != "" {
		text += "; filled: " + g.Filled
	}
	return text
}

var byWhat = map[topic.By]string{
	topic.ByAck: "the upstream said so", topic.ByEvent: "an event of it came",
	topic.ByAssumed: "assumed: this upstream answers no subscription, and reported no error", "": "by what is not known",
}

func why(reason string) string {
	if reason == "" {
		return "no reason is known."
	}
	return visible(reason) + "."
}

func lastFailure(s pool.SlotStatus) string {
	if s.LastError == "" || s.State == slots.Live {
		return ""
	}
	return " The connection failed last with: " + visible(s.LastError) + "."
}
