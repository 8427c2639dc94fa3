package console

import (
	"fmt"
	"time"
)

// quietFor is the shortest silence that a topic is called quiet for.
const quietFor = time.Minute

// TopicPage is one topic of a feed: whether it is quiet or broken, and why that is thought. It says no where the report
// does not have the topic.
func TopicPage(r *Report, feed, name string, l Look) (string, bool) {
	f := r.feed(feed)
	if f == nil {
		return "", false
	}
	t := f.topic(name)
	if t == nil {
		return "", false
	}
	p := newPage(r, l)
	verdict := p.judge(f, t)
	p.title(name, plain, "of feed "+feed)
	p.item("", verdict.tone, "%s", verdict.text)
	if d := p.Delivery; d != nil && !d.Connected {
		p.item("", bad, "NATS is away: what comes waits in the buffer, and is dropped once it is full")
		p.advise(advice{"check that NATS runs, and nats.url; feedmux connects by itself", aboutNATS})
	}
	if verdict.advice.section != "" {
		p.advise(verdict.advice)
	}
	p.blank()

	state := t.State
	if t.By != "" {
		state += " by " + t.By
	}
	if !t.Since.IsZero() {
		state += fmt.Sprintf(", since %s (%s)", p.clock(t.Since), p.ago(t.Since))
	}
	p.item("state", plain, "%s", state)
	if t.Reason != "" {
		p.item("reason", plain, "%s", t.Reason)
	}
	if s := t.where(f); s != nil {
		p.slots(&Feed{Feed: f.Feed, Slots: []slot{*s}})
		if !s.LastFrame.IsZero() {
			p.item("heard", plain, "anything on the connection %s", p.ago(s.LastFrame))
		}
	}
	past, known := uint64(0), false
	if before := p.Before.feed(feed); before != nil {
		if b := before.topic(name); b != nil {
			past, known = b.Events, true
		}
	}
	text := fmt.Sprintf("%s, %s/s", Count(t.Events), p.perSecond(t.Events, past, known))
	if !t.LastEvent.IsZero() {
		text += fmt.Sprintf("; the last one %s, at %s", p.ago(t.LastEvent), p.clock(t.LastEvent))
	}
	p.item("events", plain, "%s", text)
	p.item("gaps", plain, "%s", p.gapsOf(t))
	p.item("subject", plain, "%s", t.Subject)
	if t.Priority != 0 {
		p.item("priority", plain, "%d", t.Priority)
	}
	return p.b.String(), true
}

// gapsOf is how many gaps a topic had, and what is known of the last one.
func (p *page) gapsOf(t *topic) string {
	text := Count(t.Gaps)
	g := t.LastGap
	if g == nil {
		return text
	}
	if g.To.IsZero() {
		return fmt.Sprintf("%s; one is open since %s (%s): %s", text, p.clock(g.From), p.ago(g.From), g.Cause)
	}
	text += fmt.Sprintf("; the last one ended %s and lasted %s: %s", p.ago(g.To), span(g.To.Sub(g.From)), g.Cause)
	if g.Filled == "all" || g.Filled == "part" {
		text += fmt.Sprintf(" (%s of it was had afterwards)", g.Filled)
	}
	return text
}

// topic is the line of the ledger for a topic; nil where there is none.
func (f *Feed) topic(name string) *topic {
	for i := range f.Ledger {
		if f.Ledger[i].Topic == name {
			return &f.Ledger[i]
		}
	}
	return nil
}

// where is the slot that the topic has its place in; nil where it has none.
func (t *topic) where(f *Feed) *slot {
	if t.Slot == nil {
		return nil
	}
	return f.slot(*t.Slot)
}

// verdict says whether a topic is quiet or broken, and what to do.
type verdict struct {
	tone   tone
	text   string
	advice advice
}

func (p *page) judge(f *Feed, t *topic) verdict {
	switch t.State {
	case "unplaced":
		text := fmt.Sprintf("unplaced: it has no place. %s of %s are past the capacity of %s",
			Count(f.Topics.Unplaced), Counted(f.Topics.Wanted, "topic"), Count(f.Capacity))
		return verdict{wary, text, advice{"give it a priority, or want fewer topics", aboutMany}}
	case "refused":
		return verdict{bad, "refused: the upstream says no. It is asked again when the secret changes, on reload, and hourly",
			advice{"check how it is spelt and whether the credential may read it", aboutRefused}}
	case "confirmed":
		return p.judgeConfirmed(f, t)
	}
	s := t.where(f)
	if s == nil {
		return verdict{wary, t.State + ": on its way", advice{}}
	}
	doing := fmt.Sprintf("slot %d is %s", s.Slot, p.doing(s))
	a, _ := about(s.LastCause)
	switch {
	case s.State == "parked":
		a, _ = about("auth")
	case s.State == "live":
		a = advice{}
	}
	if t.DarkSince.IsZero() {
		return verdict{wary, fmt.Sprintf("not heard yet: %s", doing), a}
	}
	return verdict{bad, fmt.Sprintf("dark since %s (%s): %s", p.clock(t.DarkSince), span(p.at.Sub(t.DarkSince)), doing), a}
}

// judgeConfirmed tells a topic that is quiet from one that works and from one that is suspect.
func (p *page) judgeConfirmed(f *Feed, t *topic) verdict {
	begin := fmt.Sprintf("confirmed %s by %s", p.ago(t.Since), t.By)
	s := t.where(f)
	if s != nil && !s.Starved.IsZero() {
		return verdict{bad, fmt.Sprintf("%s, but slot %d brings nothing since %s, though it should: suspect", begin, s.Slot, p.clock(s.Starved)),
			advice{"try \"feedmux renew " + f.Feed + "\"", aboutQuiet}}
	}
	silence := p.at.Sub(t.LastEvent)
	if t.LastEvent.IsZero() {
		silence = p.at.Sub(t.Since)
	}
	if !t.LastEvent.IsZero() && silence < p.usual(t) {
		return verdict{good, fmt.Sprintf("%s; last event %s: it works", begin, p.ago(t.LastEvent)), advice{}}
	}
	nothing := "nothing came for " + span(silence)
	if t.LastEvent.IsZero() {
		nothing = "nothing came yet"
	}
	switch {
	case s == nil:
		return verdict{wary, fmt.Sprintf("%s; %s", begin, nothing), advice{}}
	case s.Confirmed > 1 && p.otherwise(f, t, s):
		return verdict{good, fmt.Sprintf("%s, but %s while the connection hears others: quiet upstream", begin, nothing), advice{}}
	case p.at.Sub(s.LastFrame) < 2*time.Minute:
		return verdict{good, fmt.Sprintf("%s, but %s; the connection is alive (heard %s): quiet upstream", begin, nothing, p.ago(s.LastFrame)), advice{}}
	}
	return verdict{wary, fmt.Sprintf("%s, but %s, and the connection heard nothing either: if the next ping is not answered, it is replaced", begin, nothing),
		advice{"wait for the ping; then \"feedmux renew " + f.Feed + "\"", aboutQuiet}}
}

// usual is how long a topic may be silent without anybody wondering: some times as long as it is on average.
func (p *page) usual(t *topic) time.Duration {
	return max(quietFor, 5*time.Duration(p.Uptime)/time.Duration(max(t.Events, 1)))
}

// otherwise says whether the slot brings events of other topics: as far as the report tells, when its feed heard one
// lately, later than the topic, and the slot brought more than this topic did.
func (p *page) otherwise(f *Feed, t *topic, s *slot) bool {
	return s.Events > t.Events && f.Counters.LastEvent.After(t.LastEvent) && p.at.Sub(s.LastFrame) < quietFor
}

// doing is what a slot is about, in words.
func (p *page) doing(s *slot) string {
	text := map[string]string{
		"closed": "closed", "waiting": "waiting to redial", "dialing": "redialling", "opening": "opening its connection",
		"live": "live, and asks for it", "leaving": "closing its connection", "parked": "parked: the upstream refused the credential",
	}[s.State]
	if text == "" {
		text = s.State
	}
	if s.State == "dialing" && s.Life == 0 {
		text = "dialling"
	}
	if s.LastCause != "" && s.State != "live" && s.State != "parked" {
		text += " (" + s.LastCause + ")"
	}
	if s.NextDial.After(p.at) {
		text += ", in " + span(s.NextDial.Sub(p.at))
	}
	return text
}
