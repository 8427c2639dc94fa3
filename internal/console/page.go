package console

import (
	"fmt"
	"strings"
	"time"
)

// Look says how pages are written.
type Look struct {
	Width int  // columns; 0: 80
	Color bool // for terminals

	// Before is the report of a moment ago: rates are then those of the time in between. nil: averages of the whole run.
	Before *Report
}

// least is the narrowest page; what is narrower wraps in the terminal.
const least = 72

// tone is how much something matters, as a colour.
type tone string

const (
	plain tone = ""
	good  tone = "\x1b[32m"
	wary  tone = "\x1b[33m"
	bad   tone = "\x1b[31m"
	head  tone = "\x1b[1m"
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
func (p *page) in(t tone, text string) string {
	if !p.Color || t == plain {
		return text
	}
	return string(t) + text + "\x1b[0m"
}

func (p *page) blank() { p.b.WriteByte('\n') }

// title writes a heading and, after it, what there is to say at once.
func (p *page) title(name string, t tone, text string) {
	name = cut(Clean(name), p.Width/2)
	lines := wrap(Clean(text), p.Width-width(name)-2)
	for i, line := range lines {
		if i == 0 {
			fmt.Fprintf(&p.b, "%s  %s\n", p.in(head, name), p.in(t, line))
			continue
		}
		fmt.Fprintf(&p.b, "%*s%s\n", width(name)+2, "", p.in(t, line))
	}
}

const labels = 11 // columns of a label, with its indent

// most is how many lines a text may take.
const most = 4

// item writes a label and a text that may take several lines.
func (p *page) item(label string, t tone, format string, args ...any) {
	lines := wrap(Clean(fmt.Sprintf(format, args...)), p.Width-labels-2)
	if len(lines) > most {
		lines = append(lines[:most-1], lines[most-1]+"…")
	}
	for i, line := range lines {
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(&p.b, "  %s %s\n", pad(label, labels-2), p.in(t, line))
	}
}

// row writes a line of a table that was padded already.
func (p *page) row(text string) {
	p.b.WriteString(strings.TrimRight(text, " "))
	p.b.WriteByte('\n')
}

// ago is how long ago a moment was.
func (p *page) ago(t time.Time) string { return span(p.at.Sub(t)) + " ago" }

// clock is a moment as people say it, in their own time zone: that of the time the report was asked at.
func (p *page) clock(t time.Time) string {
	t = t.In(p.at.Location())
	if t.YearDay() == p.at.YearDay() && t.Year() == p.at.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// perSecond is the rate at which a counter grew: since the report before, or on average since the start.
func (p *page) perSecond(now, before uint64, known bool) string {
	if p.Before != nil {
		past := p.at.Sub(p.Before.at).Seconds()
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
