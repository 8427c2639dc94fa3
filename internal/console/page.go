package console

import (
	"fmt"
	"strings"
	"time"

	"feedmux/internal/diagnosis"
)

// Look says how pages are written.
type Look struct {
	Width  int  // columns; 0: 80
	Height int  // rows of the terminal, of which only Redraw makes use; 0: any number
	Color  bool // for terminals

	// Before is the report of a moment ago: rates are then those of the time in between. nil: averages of the whole run.
	Before *Report
}

// least is the narrowest page; what is narrower wraps in the terminal.
const least = 72

// colours of grades. What is neither good nor bad has none.
var colours = map[diagnosis.Grade]string{diagnosis.Good: "\x1b[32m", diagnosis.Warn: "\x1b[33m", diagnosis.Bad: "\x1b[31m"}

const (
	bold  = "\x1b[1m"
	reset = "\x1b[0m"
)

// page gathers lines of at most its width.
type page struct {
	Look
	*Report
	b     strings.Builder
	said  string // the error of the slot before: the same one is not said twice
	lists bool   // the topics in trouble follow
}

func newPage(r *Report, l Look) *page {
	if l.Width == 0 {
		l.Width = 80
	}
	l.Width = max(l.Width, least)
	return &page{Look: l, Report: r}
}

// in colours text, which must be measured before.
func (p *page) in(colour, text string) string {
	if !p.Color || colour == "" {
		return text
	}
	return colour + text + reset
}

func (p *page) blank() { p.b.WriteByte('\n') }

// title writes a heading and, after it, what there is to say at once.
func (p *page) title(name string, g diagnosis.Grade, text string) {
	name = cut(Clean(name), p.Width/2)
	lines := wrap(Clean(text), p.Width-width(name)-2)
	for i, line := range lines {
		if i == 0 {
			fmt.Fprintf(&p.b, "%s  %s\n", p.in(bold, name), p.in(colours[g], line))
			continue
		}
		fmt.Fprintf(&p.b, "%*s%s\n", width(name)+2, "", p.in(colours[g], line))
	}
}

const labels = 11 // columns of a label, with its indent

// most is how many lines a text may take.
const most = 4

// item writes a label and a text that may take several lines.
func (p *page) item(label string, g diagnosis.Grade, format string, args ...any) {
	p.lines(label, colours[g], fmt.Sprintf(format, args...))
}

// advise says what to do, and where to read more.
func (p *page) advise(a diagnosis.Advice) { p.lines("", bold, "→ "+a.String()) }

// troubles writes an item for each, and what to do: once where it is the same for all that follow each other.
func (p *page) troubles(list []diagnosis.Trouble) {
	for i, t := range list {
		p.item(t.Label, t.Grade, "%s", t.Text)
		if none := (diagnosis.Advice{}); t.Advice != none && (i+1 == len(list) || list[i+1].Advice != t.Advice) {
			p.advise(t.Advice)
		}
	}
}

func (p *page) lines(label, colour, text string) {
	lines := wrap(Clean(text), p.Width-labels-2)
	if len(lines) > most {
		lines = append(lines[:most-1], lines[most-1]+"…")
	}
	for i, line := range lines {
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(&p.b, "  %s %s\n", pad(label, labels-2), p.in(colour, line))
	}
}

// row writes a line of a table that was padded already.
func (p *page) row(text string) {
	p.b.WriteString(strings.TrimRight(text, " "))
	p.b.WriteByte('\n')
}

// perSecond is the rate at which a counter grew: since the report before, or on average since the start.
func (p *page) perSecond(now, before uint64, known bool) string {
	if p.Before != nil {
		past := p.At.Sub(p.Before.At).Seconds()
		if !known || past <= 0 || now < before {
			return "-"
		}
		return rate(float64(now-before) / past)
	}
	up := time.Duration(p.Uptime).Seconds()
	if up <= 0 {
		return "-"
	}
	return rate(float64(now) / up)
}
