package console

import (
	"cmp"
	"fmt"
	"time"

	"feedmux/internal/diagnosis"
)

// Overview is everything at a glance.
func Overview(r *Report, l Look) string {
	p := newPage(r, l)
	ready := r.Ready()
	p.title("feedmux "+cmp.Or(p.Version, "?"), diagnosis.Note, "up for "+diagnosis.Span(time.Duration(p.Uptime)))
	p.item("readiness", ready.Grade, "%s: %s", ready.Word, ready.Text)
	p.troubles(r.Own())
	p.delivery()
	for i := range r.Feeds {
		p.blank()
		p.feed(&r.Feeds[i])
	}
	return p.b.String()
}

// inProcess is the server of a Report that is the daemon's own.
const inProcess = "in this process"

// delivery says what becomes of events.
func (p *page) delivery() {
	d := p.Delivery
	if d == nil {
		return // an error above says why
	}
	if d.Connected {
		text := "connected"
		if d.Server == inProcess {
			text = "embedded, connected"
		} else if d.Server != "" {
			text += " to " + d.Server
		}
		if d.Reconnects > 0 {
			text += ", " + Counted(d.Reconnects, "reconnect")
		}
		p.item("NATS", diagnosis.Good, "%s", text)
	}
	p.troubles(p.Away())
	published := uint64(0)
	for _, n := range d.Published {
		published += n
	}
	text := Count(published) + " published"
	if d.BufferBytes > 0 {
		text += fmt.Sprintf("; %s of %s wait, the oldest for %s", bytes(d.BufferBytes), bytes(d.BufferLimit), diagnosis.Span(time.Duration(d.Oldest)))
	} else {
		text += "; nothing waits"
	}
	p.item("events", diagnosis.Note, "%s", text)
	p.troubles(p.Losses())
	if d.NoticesWaiting > 0 && d.NoticesDropped == 0 {
		p.item("notices", diagnosis.Note, "%s wait, 0 were dropped", Count(d.NoticesWaiting))
	}
}

// feed is one feed: a sentence, its slots, and what is not as it should be.
func (p *page) feed(f *diagnosis.Feed) {
	standing := f.Standing()
	p.title(f.Feed, standing.Grade, standing.Text)
	if p.lists { // else they are said above, with all others
		p.troubles(p.NotesOf(f))
	}
	p.item("upstream", diagnosis.Note, "%s, account %s: %d of %s", f.Protocol, f.Account.Name, f.Account.Connections, Counted(f.Account.Limit, "connection"))
	if f.Account.Waits != "" {
		text := f.Account.Waits
		if at := f.Account.NextDial; at.After(p.At) {
			text += ", for " + diagnosis.Span(at.Sub(p.At))
		}
		p.item("dials", diagnosis.Warn, "wait: %s", text)
	}
	p.slots(f.Feed, f.Slots)
	p.item("events", diagnosis.Note, "%s", p.flow(f))
	p.gaps(f)
	if grade, text := p.Token(f.Feed); grade == diagnosis.Note {
		p.item("token", grade, "%s", text)
	}
	troubles := p.Of(f)
	for _, t := range troubles {
		if t.Label == "" {
			continue // the title says it, or the table of slots
		}
		if t.Topics != "" && !p.lists {
			t.Text += "; see \"feedmux status " + f.Feed + "\""
		}
		p.item(t.Label, t.Grade, "%s", t.Text)
	}
	p.advices(troubles)
}

// advices is what to do about the most urgent troubles of a feed, each section once.
func (p *page) advices(troubles []diagnosis.Trouble) {
	const most = 3
	said := make(map[string]bool)
	for _, t := range troubles {
		if section := t.Advice.Section; section != "" && !said[section] && len(said) < most {
			said[section] = true
			p.advise(t.Advice)
		}
	}
}

// flow is what comes.
func (p *page) flow(f *diagnosis.Feed) string {
	before := p.Before.Feed(f.Feed)
	known := before != nil
	past := uint64(0)
	if known {
		past = before.Counters.Events
	}
	text := fmt.Sprintf("%s, %s/s", Count(f.Counters.Events), p.perSecond(f.Counters.Events, past, known))
	if p.Before == nil {
		text += " on average"
	}
	if at := f.Counters.LastEvent; !at.IsZero() {
		text += "; the last one " + p.Ago(at)
	}
	return text
}

// gaps says when nobody listened.
func (p *page) gaps(f *diagnosis.Feed) {
	total := uint64(0)
	for _, n := range f.Counters.Gaps {
		total += n
	}
	if total == 0 {
		p.item("gaps", diagnosis.Note, "none since the start")
		return
	}
	text := fmt.Sprintf("%s since the start (%s)", Count(total), diagnosis.Sums(f.Counters.Gaps))
	if d := time.Duration(f.Counters.GapTime); d > 0 {
		text += "; closed ones lasted " + diagnosis.Span(d) + " over all topics"
	}
	p.item("gaps", diagnosis.Note, "%s", text)
}
