package kite

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Settings are what [feed.options] says.
type Settings struct {
	APIKey      string
	Instruments string // a file's name; "": topics are numbers
	TokenDiesAt Daily  // zero: nobody knows
	DropInvalid bool
}

// DecodeOptions reads [feed.options]: api_key, instruments, token_dies_at and drop_invalid. Everything that is wrong is
// reported, each with its key as it stands below the feed ("options.api_key"); what is right is returned.
func DecodeOptions(tree map[string]any, report func(key, format string, args ...any)) (s Settings) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key, value := "options."+name, tree[name]
		switch name {
		case "api_key":
			s.APIKey = decodeText(value, key, report)
		case "instruments":
			s.Instruments = decodeText(value, key, report)
		case "token_dies_at":
			text := decodeText(value, key, report)
			if text == "" {
				continue
			}
			var err error
			if s.TokenDiesAt, err = ParseDaily(text); err != nil {
				report(key, "%v", err)
			}
		case "drop_invalid":
			var ok bool
			if s.DropInvalid, ok = value.(bool); !ok {
				report(key, "must be true or false")
			}
		default:
			report(key, "unknown key; kite knows api_key, drop_invalid, instruments and token_dies_at")
		}
	}
	if _, ok := tree["api_key"]; !ok {
		report("options.api_key", "is required: the API key of your Kite Connect app")
	}
	return s
}

// decodeText reads a string that holds something; "" if it was reported.
func decodeText(v any, key string, report func(key, format string, args ...any)) string {
	s, ok := v.(string)
	switch {
	case !ok:
		report(key, "must be a string")
	case strings.TrimSpace(s) == "":
		report(key, "must not be empty")
		return ""
	}
	return s
}

// Daily is a time of day in a time zone. The zero value is none.
type Daily struct {
	hour, minute int
	zone         *time.Location
}

// ParseDaily reads "06:00 Asia/Kolkata".
func ParseDaily(s string) (Daily, error) {
	clock, name, _ := strings.Cut(s, " ")
	at, err := time.Parse("15:04", clock)
	if err != nil || len(clock) != len("15:04") || name == "" {
		return Daily{}, fmt.Errorf("must be a time of day and a time zone, as in %q", "06:00 Asia/Kolkata")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return Daily{}, fmt.Errorf("time zone %q is not known", name)
	}
	return Daily{at.Hour(), at.Minute(), zone}, nil
}

// IsZero says that there is no such time.
func (d Daily) IsZero() bool { return d.zone == nil }

// Next is the first such time after now; zero if there is none.
func (d Daily) Next(now time.Time) time.Time {
	if d.IsZero() {
		return time.Time{}
	}
	year, month, day := now.In(d.zone).Date()
	for ; ; day++ {
		if at := time.Date(year, month, day, d.hour, d.minute, 0, 0, d.zone); at.After(now) {
			return at
		}
	}
}
