package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Overview is everything at a glance.
func Overview(r *Report, l Look) string {
	p := newPage(r, l)
	p.daemon()
	p.delivery()
	for i := range r.Feeds {
		p.blank()
		p.feed(&r.Feeds[i])
	}
	if len(r.Feeds) == 0 && len(r.Errors) == 0 {
		p.blank()
		p.item("feeds", wary, "none: add [[feed]] tables to the configuration")
	}
	return p.b.String()
}

// daemon says how ready it is, and which of its loops do not answer.
func (p *page) daemon() {
	ready := p.Readiness
	text, t := "ready", good
	if !ready.Ready {
		text, t = "NOT READY", bad
	}
	confirmed, placeable := 0, 0
	for i := range p.Feeds {
		confirmed += p.Feeds[i].Topics.Confirmed
		placeable += p.Feeds[i].placeable()
	}
	text += fmt.Sprintf(": %s of %s placeable topics confirmed", Count(confirmed), Count(placeable))
	if behind := p.behind(); len(behind) > 0 {
		text += fmt.Sprintf("; below %.0f %%: %s", 100*ready.Needed, strings.Join(behind, ", "))
	}
	p.title("feedmux "+cmp.Or(p.Version, "?"), plain, "up for "+span(time.Duration(p.Uptime)))
	p.item("readiness", t, "%s", text)
	for _, note := range p.Notes {
		p.item("note", wary, "%s", note)
	}
	for _, err := range p.Errors {
		p.item("stuck", bad, "%s", err)
	}
	if len(p.Errors) > 0 {
		p.advise(advice{"a loop stands still: see its log; under systemd the watchdog restarts it", aboutStuck})
	}
}

// behind names the feeds that are not ready, the first few.
func (p *page) behind() (names []string) {
	for _, f := range p.Readiness.Feeds {
		if !f.Ready {
			names = append(names, fmt.Sprintf("%s (%.0f %%)", cut(f.Feed, 32), 100*f.Share))
		}
	}
	const few = 4
	if len(names) > few {
		names = append(names[:few], fmt.Sprintf("and %d more", len(names)-few))
	}
	return names
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
		p.item("NATS", good, "%s", text)
	} else {
		p.item("NATS", bad, "AWAY: events wait in the buffer, and are dropped once it is full")
		p.advise(advice{"check that NATS runs, and nats.url; feedmux connects by itself", aboutNATS})
	}
	published, dropped := uint64(0), make(map[string]uint64)
	for _, n := range d.Published {
		published += n
	}
	for _, reasons := range d.Dropped {
		for reason, n := range reasons {
			if n > 0 {
				dropped[reason] += n
			}
		}
	}
	text := Count(published) + " published"
	if d.BufferBytes > 0 {
		text += fmt.Sprintf("; %s of %s wait, the oldest for %s", bytes(d.BufferBytes), bytes(d.BufferLimit), span(time.Duration(d.Oldest)))
	} else {
		text += "; nothing waits"
	}
	p.item("events", plain, "%s", text)
	if len(dropped) > 0 {
		p.item("dropped", bad, "%s since the start", sums(dropped))
		p.advise(advice{"NATS was away or too slow for longer than nats.buffer lasts, or refused them", aboutDrops})
	}
	if d.Refused > 0 {
		p.item("forbidden", bad, "%s: the server's permissions do not let feedmux publish there", Counted(d.Refused, "message"))
	}
	if d.NoticesWaiting > 0 || d.NoticesDropped > 0 {
		p.item("notices", wary, "%s wait, %s were dropped", Count(d.NoticesWaiting), Count(d.NoticesDropped))
	}
}

// sums lists counts by name, the largest first.
func sums(by map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b)) })
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %s", Count(by[name]), name))
	}
	return strings.Join(parts, ", ")
}

// advise says what to do, and where to read more.
func (p *page) advise(a advice) {
	p.item("", head, "→ %s (docs/troubleshooting.md: %s)", a.do, a.section)
}

// feed is one feed: a sentence, its slots, and what is not as it should be.
func (p *page) feed(f *Feed) {
	t, text := p.sentence(f)
	p.title(f.Feed, t, text)
	p.item("upstream", plain, "%s, account %s: %d of %s", f.Protocol, f.Account.Name, f.Account.Connections, Counted(f.Account.Limit, "connection"))
	if f.Account.Waits != "" {
		text := f.Account.Waits
		if at := f.Account.NextDial; at.After(p.at) {
			text += ", for " + span(at.Sub(p.at))
		}
		p.item("dials", wary, "wait: %s", text)
	}
	p.slots(f)
	p.outdated(f)
	p.item("events", plain, "%s", p.flow(f))
	p.gaps(f)
	p.places(f)
	p.token(f)
	for _, a := range p.advices(f) {
		p.advise(a)
	}
}

// sentence is the state of a feed.
func (p *page) sentence(f *Feed) (tone, string) {
	topics, placeable := f.Topics, f.placeable()
	parked, live := 0, 0
	for _, s := range f.Slots {
		switch s.State {
		case "parked":
			parked++
		case "live":
			live++
		}
	}
	of := fmt.Sprintf("%s of %s", Count(topics.Confirmed), Counted(topics.Wanted, "topic"))
	switch {
	case topics.Wanted == 0:
		return wary, "no topics are wanted"
	case parked > 0:
		return bad, fmt.Sprintf("PARKED: the upstream refused the credential; %s confirmed", of)
	case f.Account.Probing && f.Dark > 0:
		return bad, fmt.Sprintf("OUTAGE: no connection lives, one slot at a time dials; %s dark", Counted(f.Dark, "topic"))
	case f.Account.Probing:
		return wary, fmt.Sprintf("connecting: no connection lives yet, one slot at a time dials; %s confirmed", of)
	case f.Dark > 0:
		return wary, fmt.Sprintf("recovering: %s confirmed, %s dark", of, Count(f.Dark))
	case topics.Confirmed < placeable:
		return wary, fmt.Sprintf("on its way: %s confirmed", of)
	case topics.Unplaced > 0 && topics.Confirmed > 0:
		return wary, fmt.Sprintf("%s confirmed: all that have a place", of)
	case topics.Confirmed == 0:
		return bad, fmt.Sprintf("%s confirmed", of)
	case topics.Refused > 0:
		return wary, fmt.Sprintf("%s confirmed, the others were refused", of)
	}
	if topics.Wanted == 1 {
		return good, "its topic is confirmed"
	}
	return good, fmt.Sprintf("all %s confirmed", Counted(topics.Wanted, "topic"))
}

// outdated says which connections go on with what the configuration said before.
func (p *page) outdated(f *Feed) {
	n := 0
	for _, s := range f.Slots {
		if s.Outdated {
			n++
		}
	}
	if n > 0 {
		p.item("settings", wary, "%s still as before the reload; \"feedmux renew %s\" hands over", Counted(n, "connection"), f.Feed)
	}
}

// flow is what comes.
func (p *page) flow(f *Feed) string {
	before := p.Before.feed(f.Feed)
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
		text += "; the last one " + p.ago(at)
	}
	return text
}

// gaps says when nobody listened.
func (p *page) gaps(f *Feed) {
	total := uint64(0)
	for _, n := range f.Counters.Gaps {
		total += n
	}
	if total == 0 {
		p.item("gaps", plain, "none since the start")
		return
	}
	text := fmt.Sprintf("%s since the start (%s)", Count(total), sums(f.Counters.Gaps))
	if d := time.Duration(f.Counters.GapTime); d > 0 {
		text += "; closed ones lasted " + span(d) + " over all topics"
	}
	p.item("gaps", plain, "%s", text)
}

// places says which topics have none, and which were refused.
func (p *page) places(f *Feed) {
	where := ""
	if !p.lists {
		where = "; see \"feedmux status " + f.Feed + "\""
	}
	if n := f.Topics.Unplaced; n > 0 {
		p.item("unplaced", wary, "%s past the capacity of %s%s", Counted(n, "topic"), Count(f.Capacity), where)
	}
	if n := f.Topics.Refused; n > 0 {
		p.item("refused", bad, "%s%s", Counted(n, "topic"), where)
	}
}

// token says when the secret dies.
func (p *page) token(f *Feed) {
	switch at := p.TokensDie[f.Feed]; {
	case at.IsZero():
	case !at.After(p.at):
		p.item("token", bad, "died %s, at %s", p.ago(at), p.clock(at))
	case at.Sub(p.at) < 30*time.Minute:
		p.item("token", wary, "dies in %s, at %s", span(at.Sub(p.at)), p.clock(at))
	default:
		p.item("token", plain, "good for %s, until %s", span(at.Sub(p.at)), p.clock(at))
	}
}

// advices is what to do about a feed, most urgent first: at most three, each section once.
func (p *page) advices(f *Feed) (list []advice) {
	add := func(a advice) {
		if len(list) < 3 && !slices.ContainsFunc(list, func(b advice) bool { return a.section == b.section }) {
			list = append(list, a)
		}
	}
	if at := p.TokensDie[f.Feed]; !at.IsZero() && at.Sub(p.at) < 30*time.Minute {
		a, _ := about("token_expired")
		add(a)
	}
	for _, s := range f.Slots {
		if s.State == "parked" {
			a, _ := about("auth")
			add(a)
		}
	}
	for _, s := range f.Slots {
		why := s.LastCause
		if why == "auth" && s.State != "parked" { // there is no credential that could change
			why = "http_4xx"
		}
		if a, known := about(why); known && s.State != "live" && s.State != "closed" {
			add(a)
		}
		if !s.Starved.IsZero() {
			add(advice{"a slot is quiet while the others speak: try \"feedmux renew " + f.Feed + "\"", aboutSilence})
		}
	}
	switch {
	case f.Topics.Wanted == 0:
		add(advice{"list topics in the configuration, or: feedmux topics add " + f.Feed + " TOPIC", aboutQuiet})
	case f.Topics.Unplaced > 0:
		add(advice{"want fewer, give the important ones a priority, or let them take turns (overflow = \"turns\")", aboutMany})
	}
	if f.Topics.Refused > 0 {
		add(advice{"check how they are spelt and whether the credential may read them", aboutRefused})
	}
	return list
}
