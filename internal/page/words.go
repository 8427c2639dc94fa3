package page

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
	"unicode"

	"feedmux/internal/diagnosis"
)

// words are the functions of the templates: how figures are written for people.
var words = template.FuncMap{
	"num":     diagnosis.Count[int],
	"count":   diagnosis.Count[uint64],
	"bytes":   size,
	"visible": visible,
	"sign":    func(g diagnosis.Grade) string { return gradeSigns[g] },
	"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"clock":   func(t time.Time) string { return t.Local().Format("15:04:05") },
	"stamp":   func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") },
}

// rate writes events a second, with as many digits as say something.
func rate(perSecond float64) string {
	switch {
	case perSecond == 0:
		return "0"
	case perSecond < 0.01:
		return "< 0.01"
	case perSecond < 10:
		return fmt.Sprintf("%.2f", perSecond)
	case perSecond < 100:
		return fmt.Sprintf("%.1f", perSecond)
	}
	return diagnosis.Count(int(math.Round(perSecond)))
}

func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB"}
	v, i := float64(n), 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 || v >= 100 || v == math.Trunc(v) {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// brief writes a duration in its largest unit.
func brief(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(d, 0)/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// short writes a round-trip time.
func short(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", max(d.Seconds()*1000, 0.1))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// longest is how many characters of a word from outside are shown.
const longest = 300

// visible makes text from outside harmless to read: what would break lines, turn the direction of writing, hide, or pile
// up over its neighbours is written as its code, and what is too long is cut.
func visible(s string) string {
	var b strings.Builder
	n, marks := 0, 0
	for _, r := range s {
		if n++; n > longest {
			b.WriteRune('…')
			break
		}
		if marks++; !unicode.IsMark(r) {
			marks = 0
		}
		if marks > 3 || !unicode.IsGraphic(r) || r == unicode.ReplacementChar || r != ' ' && unicode.IsSpace(r) {
			fmt.Fprintf(&b, "\\u{%x}", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
