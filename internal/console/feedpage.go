package console

import (
	"cmp"
	"fmt"
	"slices"

	"feedmux/internal/diagnosis"
)

// shown is how many topics in each kind of trouble a page lists.
const shown = 8

// kind is a kind of topics that are not as they should be.
type kind struct {
	name  string
	grade diagnosis.Grade
	is    func(*diagnosis.Topic) bool
	about func(*page, *diagnosis.Topic) string
}

// in is the kind of topics in a state.
func in(state string, about func(*page, *diagnosis.Topic) string) kind {
	return kind{state, diagnosis.GradeOf(state), func(t *diagnosis.Topic) bool { return t.State == state }, about}
}

// kinds are in the order in which they matter. A topic is in the first that fits.
var kinds = [...]kind{
	{diagnosis.Dark, diagnosis.Bad, func(t *diagnosis.Topic) bool { return !t.DarkSince.IsZero() && t.Slot != nil }, func(p *page, t *diagnosis.Topic) string {
		return because(fmt.Sprintf("slot %d, since %s", *t.Slot, p.Clock(t.DarkSince)), t)
	}},
	in("refused", func(_ *page, t *diagnosis.Topic) string { return t.Reason }),
	in("unplaced", func(_ *page, t *diagnosis.Topic) string {
		if t.Priority != 0 {
			return fmt.Sprintf("priority %d; %s", t.Priority, t.Reason)
		}
		return t.Reason
	}),
	{"on its way", diagnosis.Warn, func(t *diagnosis.Topic) bool { return t.State != "confirmed" }, func(_ *page, t *diagnosis.Topic) string { return because(t.State, t) }},
}

// because is text with the reason that was given for a topic's state, if any was.
func because(text string, t *diagnosis.Topic) string {
	if t.Reason == "" {
		return text
	}
	return text + "; " + t.Reason
}

// FeedPage is one feed, whose ledger must have been asked for too: its topics in trouble first, then those that were heard
// last. It says no where the report has no such feed.
func FeedPage(r *Report, feed string, l Look) (string, bool) {
	f := r.Feed(feed)
	if f == nil {
		return "", false
	}
	p := newPage(r, l)
	p.lists = true
	p.feed(f)
	left := make([]*diagnosis.Topic, 0, len(f.Ledger))
	for i := range f.Ledger {
		left = append(left, &f.Ledger[i])
	}
	sick := 0
	for _, kind := range kinds {
		var in, others []*diagnosis.Topic
		for _, t := range left {
			if kind.is(t) {
				in = append(in, t)
			} else {
				others = append(others, t)
			}
		}
		left = others
		sick += len(in)
		p.list(fmt.Sprintf("%s: %s", kind.name, Count(len(in))), kind.grade, in, kind.about)
	}
	slices.SortStableFunc(left, func(a, b *diagnosis.Topic) int {
		return cmp.Or(b.LastEvent.Compare(a.LastEvent), cmp.Compare(a.Topic, b.Topic))
	})
	p.list(fmt.Sprintf("confirmed: %s", Count(len(left))), diagnosis.Good, left, func(p *page, t *diagnosis.Topic) string {
		if t.LastEvent.IsZero() {
			return "by " + t.By + ", no event yet"
		}
		return fmt.Sprintf("by %s, last event %s, %s in all", t.By, p.Ago(t.LastEvent), Count(t.Events))
	})
	if len(f.Ledger) > shown {
		p.blank()
		p.row(cut(Clean(fmt.Sprintf("every topic: feedmux topics list %s; one: feedmux status %s TOPIC", feed, feed)), p.Width))
	}
	return p.b.String(), true
}

// list is a headed list of the first few topics.
func (p *page) list(heading string, g diagnosis.Grade, topics []*diagnosis.Topic, about func(*page, *diagnosis.Topic) string) {
	if len(topics) == 0 {
		return
	}
	p.blank()
	p.row(p.in(colours[g], cut(heading, p.Width)))
	const widest = 36
	name := 0
	for _, t := range topics[:min(len(topics), shown)] {
		name = min(max(name, width(Clean(t.Topic))), widest)
	}
	for _, t := range topics[:min(len(topics), shown)] {
		p.row("  " + pad(Clean(t.Topic), name) + "  " + cut(Clean(about(p, t)), p.Width-name-4))
	}
	if more := len(topics) - shown; more > 0 {
		p.row("  … and " + Count(more) + " more")
	}
}
