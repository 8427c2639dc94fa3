package page

import (
	"fmt"
	"slices"
	"time"

	"feedmux/internal/diagnosis"
	"feedmux/pool"
)

// topicView answers for one topic: quiet or broken?
type topicView struct {
	Feed, Name string
	Unknown    bool // the feed does not want it: all else is empty
	Verdict    diagnosis.Verdict
	Line       lineView
	Slot       *slotView // that carries it; nil: none
	LastGap    string    // "": there was none
	Back       string
}

// lineIn is the line of the ledger for a topic; nil where the feed does not want it.
func lineIn(s pool.Status, name string) *pool.TopicStatus {
	i := slices.IndexFunc(s.Ledger, func(t pool.TopicStatus) bool { return string(t.Topic) == name })
	if i < 0 {
		return nil
	}
	return &s.Ledger[i]
}

// topicOf shows a line of feed f's ledger, nil for a topic that is not wanted. r has that line as the feed's only one.
func topicOf(q question, f feedView, t *pool.TopicStatus, r *diagnosis.Report, now time.Time) *topicView {
	feed := r.Feed(q.Feed)
	v := &topicView{Feed: q.Feed, Name: q.Topic, Back: question{Feed: q.Feed, State: q.State, Q: q.Q, Page: q.Page}.link() + "#ledger"}
	if t == nil {
		v.Unknown = true
		v.Verdict = feed.Unwanted()
		return v
	}
	v.Line, v.LastGap = lineOf(q.Feed, *t, now), lastGap(*t, now)
	if t.Slot != nil && int(*t.Slot) < len(f.Slots) {
		v.Slot = &f.Slots[*t.Slot]
	}
	v.Verdict = r.Judge(feed, &feed.Ledger[0])
	return v
}

// lastGap says when the topic was last dark, and why.
func lastGap(t pool.TopicStatus, now time.Time) string {
	g := t.LastGap
	if g == nil {
		return ""
	}
	if g.To.IsZero() {
		return fmt.Sprintf("goes on for %s: %s", diagnosis.Span(now.Sub(g.From)), g.Cause)
	}
	text := fmt.Sprintf("%s: %s, for %s", at(g.To, now).Ago, g.Cause, diagnosis.Span(g.To.Sub(g.From)))
	if g.Filled != "" {
		text += "; filled: " + string(g.Filled)
	}
	return text
}
