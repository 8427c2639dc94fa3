package console

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean writes out whatever a terminal would obey, or show as something else than it is: control characters, escape
// sequences, changes of writing direction, bytes that are no text.
func Clean(s string) string {
	if strings.IndexFunc(s, hostile) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case hostile(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		s = s[size:]
	}
	return b.String()
}

func hostile(r rune) bool { return !unicode.IsGraphic(r) }

// CleanJSON does the same to JSON, which stays the same to whoever reads it as such. Line breaks stay too.
func CleanJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r == '\n' || !hostile(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// width is how many columns s takes, rather too many than too few: all of East Asia and everything after it counts as wide.
func width(s string) (n int) {
	for _, r := range s {
		n++
		if r >= 0x1100 && r < 0x1160 || r >= 0x2e80 {
			n++
		}
	}
	return n
}

// cut shortens s to n columns.
func cut(s string, n int) string {
	if width(s) <= n {
		return s
	}
	head, _ := split(s, n-1)
	return head + "…"
}

// split divides s after as much as n columns take, and at least one character.
func split(s string, n int) (head, tail string) {
	used := 0
	for i, r := range s {
		if used += width(string(r)); used > n && i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// pad fills s up to n columns, or cuts it; to the right of them where n is negative.
func pad(s string, n int) string {
	right := n < 0
	n = max(n, -n)
	s = cut(s, n)
	space := strings.Repeat(" ", max(0, n-width(s)))
	if right {
		return space + s
	}
	return s + space
}

// wrap breaks text between words into lines of n columns; longer words are broken too.
func wrap(text string, n int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
		for width(line) > n {
			var head string
			head, line = split(line, n)
			lines = append(lines, head)
		}
	}
	return append(lines, line)
}

// bytes is a size in the largest unit that it has one of.
func bytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// rate is events in a second.
func rate(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 0.1:
		return "<0.1"
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	}
	return Count(int64(f))
}
