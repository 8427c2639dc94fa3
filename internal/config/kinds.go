package config

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of things in any window of time.
type Rate struct {
	N   int
	Per time.Duration
}

func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.N, formatDuration(r.Per)) }

// The functions below make a decodeFunc for each kind of value. They change *p only to a value that is right.

// text is a string that says what is wrong with it, or "".
func text(p *string, wrong func(string) string) decodeFunc {
	return func(d *decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.wrongType(at, "a string", v)
			return
		}
		if why := wrong(s); why != "" {
			d.report(at, "%s %s", d.quote(at, s), why)
			return
		}
		*p = s
	}
}

func anything(string) string { return "" }

func nonEmpty(s string) string {
	if s == "" {
		return "must not be empty"
	}
	return ""
}

// matching is for strings of a form that the words describe.
func matching(re *regexp.Regexp, words string) func(string) string {
	return func(s string) string {
		if !re.MatchString(s) {
			return "must be " + words
		}
		return ""
	}
}

// oneOf is for strings of which there are few.
func oneOf(words ...string) func(string) string {
	return func(s string) string {
		if !slices.Contains(words, s) {
			return "is not one of " + strings.Join(words, ", ")
		}
		return ""
	}
}

// listenAddress is host:port, or "" for none.
func listenAddress(s string) string {
	if s == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return `must be host:port, such as "127.0.0.1:4222", or "" for none`
	}
	return ""
}

// fileName is a name of a file: relative to the configuration's folder, or credential:NAME for one that systemd
// hands over. "" is none.
func fileName(p *string) decodeFunc {
	return func(d *decoder, at string, v any) {
		var s string
		text(&s, anything)(d, at, v)
		*p = d.resolve(s)
	}
}

func boolean(p *bool) decodeFunc {
	return func(d *decoder, at string, v any) {
		b, ok := v.(bool)
		if !ok {
			d.wrongType(at, "true or false", v)
			return
		}
		*p = b
	}
}

// number is a whole number from least to most, the ceiling that why gives the reason for.
func number(p *int, least, most int, why string) decodeFunc {
	return func(d *decoder, at string, v any) {
		n, ok := v.(int64)
		if !ok {
			d.wrongType(at, "a whole number", v)
			return
		}
		if within(d, at, n, int64(least), int64(most), why, func(n int64) string { return strconv.FormatInt(n, 10) }) {
			*p = int(n)
		}
	}
}

// share is a number from 0 to most.
func share(p *float64, most float64) decodeFunc {
	return func(d *decoder, at string, v any) {
		x, ok := v.(float64)
		if n, whole := v.(int64); whole {
			x, ok = float64(n), true
		}
		if !ok {
			d.wrongType(at, "a number", v)
			return
		}
		if math.IsNaN(x) {
			d.report(at, "nan is not a number")
			return
		}
		if within(d, at, x, 0, most, "", func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }) {
			*p = x
		}
	}
}

// duration is a string such as "45s".
func duration(p *time.Duration, least, most time.Duration) decodeFunc {
	return func(d *decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.wrongType(at, `a duration in quotes, such as "45s"`, v)
			return
		}
		x, err := time.ParseDuration(s)
		if err != nil {
			d.report(at, `%s must be a duration, such as "45s" or "1m30s"`, d.quote(at, s))
			return
		}
		if within(d, at, x, least, most, "", formatDuration) {
			*p = x
		}
	}
}

// size is a number of bytes, as a string such as "64MiB".
func size(p *int, least, most int) decodeFunc {
	return func(d *decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.wrongType(at, `a size in quotes, such as "64MiB"`, v)
			return
		}
		n, ok := parseSize(s)
		if !ok {
			d.report(at, `%s must be a size, such as "64MiB", "500kB" or "1024"`, d.quote(at, s))
			return
		}
		if within(d, at, n, least, most, "", formatSize) {
			*p = n
		}
	}
}

// rate is a string such as "1/2s": one in any window of two seconds.
func rate(p *Rate) decodeFunc {
	const mostN, leastPer, mostPer = 1000, time.Millisecond, 24 * time.Hour
	return func(d *decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.wrongType(at, `a rate in quotes, such as "1/2s"`, v)
			return
		}
		n, per, _ := strings.Cut(s, "/")
		count, err1 := strconv.ParseUint(n, 10, 31)
		window, err2 := time.ParseDuration(per)
		switch {
		case err1 != nil || err2 != nil:
			d.report(at, `%s must be a rate, such as "1/2s": one in any two seconds`, d.quote(at, s))
		case count < 1 || count > mostN || window < leastPer || window > mostPer:
			d.report(at, "%s must be 1 to %d in a time of %s to %s",
				d.quote(at, s), mostN, formatDuration(leastPer), formatDuration(mostPer))
		default:
			*p = Rate{int(count), window}
		}
	}
}

// within reports an x that is out of range.
func within[T cmp.Ordered](d *decoder, at string, x, least, most T, why string, format func(T) string) bool {
	if why != "" {
		why = ", " + why
	}
	switch {
	case x < least:
		d.report(at, "%s is less than %s", d.figure(at, format(x)), format(least))
	case x > most:
		d.report(at, "%s is more than %s%s", d.figure(at, format(x)), format(most), why)
	default:
		return true
	}
	return false
}

// figure shows a figure, unless it comes from a variable.
func (d *decoder) figure(at, formatted string) string {
	if raw, ok := d.written[at]; ok {
		return strconv.Quote(raw)
	}
	return formatted
}

func parseSize(s string) (int, bool) {
	digits := strings.TrimRight(s, "kKMGiB ")
	var unit int
	switch strings.TrimLeft(s[len(digits):], " ") {
	case "", "B":
		unit = 1
	case "kB", "KB":
		unit = 1e3
	case "MB":
		unit = 1e6
	case "GB":
		unit = 1e9
	case "KiB":
		unit = kib
	case "MiB":
		unit = mib
	case "GiB":
		unit = gib
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > uint64(math.MaxInt/unit) {
		return 0, false
	}
	return int(n) * unit, true
}

// formatSize writes n bytes with the largest unit that leaves a whole number.
func formatSize(n int) string {
	for _, u := range []struct {
		name  string
		bytes int
	}{{"GiB", gib}, {"MiB", mib}, {"KiB", kib}} {
		if n != 0 && n%u.bytes == 0 {
			return strconv.Itoa(n/u.bytes) + u.name
		}
	}
	return strconv.Itoa(n) + "B"
}

// formatDuration is x.String() without the zeros at its end: 2m, not 2m0s.
func formatDuration(x time.Duration) string {
	s := x.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
