package console

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"feedmux/internal/diagnosis"
)

// slots is a table with a line for each slot of a feed that is in use.
func (p *page) slots(feed string, slots []diagnosis.Slot) {
	closed := 0
	header := false
	for i := range slots {
		s := &slots[i]
		if s.State == "closed" && s.Topics == 0 && s.LastCause == "" {
			closed++
			continue
		}
		if !header {
			header = true
			p.row("  slot  state    for       life     topics  events/s     ping  last end")
		}
		p.slot(feed, s)
	}
	if closed > 0 {
		p.item("slots", diagnosis.Note, "%d closed: no topic needs them", closed)
	}
}

func (p *page) slot(feed string, s *diagnosis.Slot) {
	state, grade := s.Shown()
	past, known := uint64(0), false
	if before := p.Before.Feed(feed); before != nil {
		if b := before.Slot(s.Slot); b != nil {
			past, known = b.Events, true
		}
	}
	ping := "-"
	if s.PingRTT > 0 {
		ping = diagnosis.Span(time.Duration(s.PingRTT))
	}
	since := "-"
	if !s.Since.IsZero() {
		since = diagnosis.Span(p.At.Sub(s.Since))
	}
	row := fmt.Sprintf("  %s  %s %s %s  %s  %s  %s  ",
		pad(fmt.Sprint(s.Slot), -4), p.in(colours[grade], pad(Clean(state), 8)), pad(since, 8), pad(fmt.Sprint(s.Life), -5),
		pad(fmt.Sprintf("%d/%d", s.Confirmed, s.Topics), -9), pad(p.perSecond(s.Events, past, known), -8), pad(ping, -7))
	const before = 63 // columns
	p.row(row + cut(Clean(cmp.Or(s.LastCause, "-")), p.Width-before))
	if s.State == "live" || s.State == "closed" {
		return
	}
	var more []string
	if s.NextDial.After(p.At) {
		more = append(more, "dials again in "+diagnosis.Span(s.NextDial.Sub(p.At)))
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
