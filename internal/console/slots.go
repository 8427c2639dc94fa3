package console

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// slots is a table with a line for each slot that is in use.
func (p *page) slots(f *Feed) {
	closed := 0
	header := false
	for i := range f.Slots {
		s := &f.Slots[i]
		if s.State == "closed" && s.Topics == 0 && s.LastCause == "" {
			closed++
			continue
		}
		if !header {
			header = true
			p.row("  slot  state    for       life     topics  events/s     ping  last end")
		}
		p.slot(f, s)
	}
	if closed > 0 {
		p.item("slots", plain, "%d closed: no topic needs them", closed)
	}
}

func (p *page) slot(f *Feed, s *slot) {
	t := good
	state := s.State
	switch {
	case s.State == "parked":
		t = bad
	case !s.Starved.IsZero():
		t, state = bad, "starved"
	case s.State == "closed" || s.State == "leaving":
		t = plain
	case s.State != "live":
		t = wary
	}
	past, known := uint64(0), false
	if before := p.Before.feed(f.Feed); before != nil {
		if b := before.slot(s.Slot); b != nil {
			past, known = b.Events, true
		}
	}
	ping := "-"
	if s.PingRTT > 0 {
		ping = span(time.Duration(s.PingRTT))
	}
	since := "-"
	if !s.Since.IsZero() {
		since = span(p.at.Sub(s.Since))
	}
	row := fmt.Sprintf("  %s  %s %s %s  %s  %s  %s  ",
		pad(fmt.Sprint(s.Slot), -4), p.in(t, pad(Clean(state), 8)), pad(since, 8), pad(fmt.Sprint(s.Life), -5),
		pad(fmt.Sprintf("%d/%d", s.Confirmed, s.Topics), -9), pad(p.perSecond(s.Events, past, known), -8), pad(ping, -7))
	const before = 63 // columns
	p.row(row + cut(Clean(cmp.Or(s.LastCause, "-")), p.Width-before))
	if s.State == "live" || s.State == "closed" {
		return
	}
	var more []string
	if s.NextDial.After(p.at) {
		more = append(more, "dials again in "+span(s.NextDial.Sub(p.at)))
	}
	if s.LastError != "" && s.LastError != p.said {
		more = append(more, s.LastError)
	}
	p.said = s.LastError
	if len(more) == 0 {
		return
	}
	lines := wrap(Clean(strings.Join(more, "; ")), p.Width-9)
	if len(lines) > 2 {
		lines = append(lines[:1], lines[1]+"…")
	}
	for _, line := range lines {
		p.row("        " + line)
	}
}
