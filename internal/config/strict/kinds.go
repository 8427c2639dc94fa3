package strict

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what a value must look like, where it goes, and how the one that is there is shown.
type Kind struct {
	Decode DecodeFunc
	Show   func() string       // nil: it is not shown by itself
	Redact func(string) string // what Show said, fit for people; nil: as it is
}

// The functions below make one for each kind of value. What is pointed to is changed only to a value that is right.

// Text is a string that says what is wrong with it, or "".
func Text(p *string, wrong func(string) string) Kind {
	return Kind{Show: func() string { return *p }, Decode: func(d *Decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.WrongType(at, "a string", v)
			return
		}
		if why := wrong(s); why != "" {
			d.Report(at, "%s %s", d.Quote(at, s), why)
			return
		}
		*p = s
	}}
}

// NonEmpty is for strings that must not be empty.
func NonEmpty(s string) string {
	if s == "" {
		return "must not be empty"
	}
	return ""
}

// Matching is for strings of a form that the words describe.
func Matching(re *regexp.Regexp, words string) func(string) string {
	return func(s string) string {
		if !re.MatchString(s) {
			return "must be " + words
		}
		return ""
	}
}

// OneOf is for strings of which there are few.
func OneOf(words ...string) func(string) string {
	return func(s string) string {
		if !slices.Contains(words, s) {
			return "is not one of " + strings.Join(words, ", ")
		}
		return ""
	}
}

// Boolean is true or false.
func Boolean(p *bool) Kind {
	return Kind{Show: func() string { return strconv.FormatBool(*p) }, Decode: func(d *Decoder, at string, v any) {
		b, ok := v.(bool)
		if !ok {
			d.WrongType(at, "true or false", v)
			return
		}
		*p = b
	}}
}

// Number is a whole number from least to most, the ceiling that why gives the reason for.
func Number(p *int, least, most int, why string) Kind {
	return Kind{Show: func() string { return strconv.Itoa(*p) }, Decode: func(d *Decoder, at string, v any) {
		n, ok := v.(int64)
		if !ok {
			d.WrongType(at, "a whole number", v)
			return
		}
		if within(d, at, n, int64(least), int64(most), why, func(n int64) string { return strconv.FormatInt(n, 10) }) {
			*p = int(n)
		}
	}}
}

// Share is a number from 0 to most.
func Share(p *float64, most float64) Kind {
	return Kind{Show: func() string { return strconv.FormatFloat(*p, 'g', -1, 64) }, Decode: func(d *Decoder, at string, v any) {
		x, ok := v.(float64)
		if n, whole := v.(int64); whole {
			x, ok = float64(n), true
		}
		if !ok {
			d.WrongType(at, "a number", v)
			return
		}
		if math.IsNaN(x) {
			d.Report(at, "nan is not a number")
			return
		}
		if within(d, at, x, 0, most, "", func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }) {
			*p = x
		}
	}}
}

// Duration is a string such as "45s".
func Duration(p *time.Duration, least, most time.Duration) Kind {
	return Kind{Show: func() string { return FormatDuration(*p) }, Decode: func(d *Decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.WrongType(at, `a duration in quotes, such as "45s"`, v)
			return
		}
		x, err := time.ParseDuration(s)
		if err != nil {
			d.Report(at, `%s must be a duration, such as "45s" or "1m30s"%s`, d.Quote(at, s), largest(s))
			return
		}
		if within(d, at, x, least, most, "", FormatDuration) {
			*p = x
		}
	}}
}

// days matches what some take for a duration.
var days = regexp.MustCompile(`^[0-9.]+ *[dwDW]`)

// largest says what to write instead of days or weeks.
func largest(s string) string {
	if days.MatchString(s) {
		return "; hours are the largest unit"
	}
	return ""
}

// DurationOrNever is duration, or zero for never.
func DurationOrNever(p *time.Duration, least, most time.Duration) Kind {
	decode := Duration(p, least, most)
	return Kind{Show: func() string { return FormatDuration(*p) }, Decode: func(d *Decoder, at string, v any) {
		if s, ok := v.(string); ok {
			if x, err := time.ParseDuration(s); err == nil && x == 0 {
				*p = 0
				return
			}
		}
		decode.Decode(d, at, v)
	}}
}

// Size is a number of bytes, as a string such as "64MiB".
func Size(p *int, least, most int) Kind {
	return Kind{Show: func() string { return FormatSize(*p) }, Decode: func(d *Decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.WrongType(at, `a size in quotes, such as "64MiB"`, v)
			return
		}
		n, ok := parseSize(s)
		if !ok {
			d.Report(at, `%s must be a size, such as "64MiB", "500kB" or "1024"`, d.Quote(at, s))
			return
		}
		if within(d, at, n, least, most, "", FormatSize) {
			*p = n
		}
	}}
}

// Rate is a string such as "1/2s": one in any window of two seconds.
func Rate(n *int, per *time.Duration) Kind {
	const mostN, leastPer, mostPer = 1000, time.Millisecond, 24 * time.Hour
	return Kind{Show: func() string { return fmt.Sprintf("%d/%s", *n, FormatDuration(*per)) }, Decode: func(d *Decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.WrongType(at, `a rate in quotes, such as "1/2s"`, v)
			return
		}
		before, after, _ := strings.Cut(s, "/")
		count, err1 := strconv.ParseUint(before, 10, 31)
		window, err2 := time.ParseDuration(after)
		switch {
		case err1 != nil || err2 != nil:
			d.Report(at, `%s must be a rate, such as "1/2s": one in any two seconds%s`, d.Quote(at, s), largest(after))
		case count < 1 || count > mostN || window < leastPer || window > mostPer:
			d.Report(at, "%s must be 1 to %d in a time of %s to %s",
				d.Quote(at, s), mostN, FormatDuration(leastPer), FormatDuration(mostPer))
		default:
			*n, *per = int(count), window
		}
	}}
}

// within reports an x that is out of range.
func within[T cmp.Ordered](d *Decoder, at string, x, least, most T, why string, format func(T) string) bool {
	if why != "" {
		why = ", " + why
	}
	switch {
	case x < least:
		d.Report(at, "%s is less than %s", d.figure(at, format(x)), format(least))
	case x > most:
		d.Report(at, "%s is more than %s%s", d.figure(at, format(x)), format(most), why)
	default:
		return true
	}
	return false
}

// figure shows a figure, unless it comes from a variable.
func (d *Decoder) figure(at, formatted string) string {
	if raw, ok := d.written[at]; ok {
		return strconv.Quote(raw)
	}
	return formatted
}

// Units of Size.
const (
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30
)

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
		unit = KiB
	case "MiB":
		unit = MiB
	case "GiB":
		unit = GiB
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > uint64(math.MaxInt/unit) {
		return 0, false
	}
	return int(n) * unit, true
}

// FormatSize writes n bytes with the largest unit that leaves a whole number.
func FormatSize(n int) string {
	for _, u := range []struct {
		name  string
		bytes int
	}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}} {
		if n != 0 && n%u.bytes == 0 {
			return strconv.Itoa(n/u.bytes) + u.name
		}
	}
	return strconv.Itoa(n) + "B"
}

// FormatDuration is x.String() without the zeros at its end: 2m, not 2m0s.
func FormatDuration(x time.Duration) string {
	s := x.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
