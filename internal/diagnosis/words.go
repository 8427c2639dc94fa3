package diagnosis

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Count writes n with a comma at each thousand.
func Count[T int | int64 | uint64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Counted is n things.
func Counted[T int | uint64](n T, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(n) + " " + thing + "s"
}

// are is n connections, and what they are.
func are(n int, what string) string {
	if n == 1 {
		return "1 connection is " + what
	}
	return Count(n) + " connections are " + what
}

// Span is a duration in its two largest units.
func Span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Millisecond:
		return "0 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Ago is how long ago a moment was.
func (r *Report) Ago(t time.Time) string { return Span(r.At.Sub(t)) + " ago" }

// Clock is a moment as people say it, in the time zone of whoever reads the report.
func (r *Report) Clock(t time.Time) string {
	t = t.In(r.At.Location())
	if t.YearDay() == r.At.YearDay() && t.Year() == r.At.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// Sums lists counts by name, the largest first.
func Sums(by map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b)) })
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %s", Count(by[name]), name))
	}
	return strings.Join(parts, ", ")
}
