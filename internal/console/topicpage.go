package console

import (
	"fmt"

	"feedmux/internal/diagnosis"
)

// TopicPage is one topic of a feed: whether it is quiet or broken, and why that is thought. It says no where the report
// does not have the topic.
func TopicPage(r *Report, feed, name string, l Look) (string, bool) {
	f := r.Feed(feed)
	if f == nil {
		return "", false
	}
	t := f.Topic(name)
	if t == nil {
		return "", false
	}
	p := newPage(r, l)
	verdict := p.Judge(f, t)
	p.title(name, diagnosis.Note, "of feed "+feed)
	p.troubles([]diagnosis.Trouble{{Grade: verdict.Grade, Text: verdict.Text, Advice: verdict.Advice}})
	p.blank()

	state := t.State
	if t.By != "" {
		state += " by " + t.By
	}
	if !t.Since.IsZero() {
		state += fmt.Sprintf(", since %s (%s)", p.Clock(t.Since), p.Ago(t.Since))
	}
	p.item("state", diagnosis.Note, "%s", state)
	if t.Reason != "" {
		p.item("reason", diagnosis.Note, "%s", t.Reason)
	}
	if s := f.Carrier(t); s != nil {
		p.slots(feed, []diagnosis.Slot{*s})
		if !s.LastFrame.IsZero() {
			p.item("heard", diagnosis.Note, "anything on the connection %s", p.Ago(s.LastFrame))
		}
	}
	past, known := uint64(0), false
	if before := p.Before.Feed(feed); before != nil {
		if b := before.Topic(name); b != nil {
			past, known = b.Events, true
		}
	}
	text := fmt.Sprintf("%s, %s/s", Count(t.Events), p.perSecond(t.Events, past, known))
	if !t.LastEvent.IsZero() {
		text += fmt.Sprintf("; the last one %s, at %s", p.Ago(t.LastEvent), p.Clock(t.LastEvent))
	}
	p.item("events", diagnosis.Note, "%s", text)
	p.item("gaps", diagnosis.Note, "%s", p.gapsOf(t))
	p.item("subject", diagnosis.Note, "%s", t.Subject)
	if t.Priority != 0 {
		p.item("priority", diagnosis.Note, "%d", t.Priority)
	}
	return p.b.String(), true
}

// gapsOf is how many gaps a topic had, and what is known of the last one.
func (p *page) gapsOf(t *diagnosis.Topic) string {
	text := Count(t.Gaps)
	g := t.LastGap
	if g == nil {
		return text
	}
	if g.To.IsZero() {
		return fmt.Sprintf("%s; one is open since %s (%s): %s", text, p.Clock(g.From), p.Ago(g.From), g.Cause)
	}
	text += fmt.Sprintf("; the last one ended %s and lasted %s: %s", p.Ago(g.To), diagnosis.Span(g.To.Sub(g.From)), g.Cause)
	if g.Filled == "all" || g.Filled == "part" {
		text += fmt.Sprintf(" (%s of it was had afterwards)", g.Filled)
	}
	return text
}
