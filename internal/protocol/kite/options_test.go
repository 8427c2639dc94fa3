package kite

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func decode(tree map[string]any) (s Settings, said []string) {
	s = DecodeOptions(tree, func(key, format string, args ...any) {
		said = append(said, key+": "+fmt.Sprintf(format, args...))
	})
	return s, said
}

func TestOptionsAreRead(t *testing.T) {
	s, said := decode(map[string]any{
		"api_key": "k", "instruments": "i.csv", "token_dies_at": "06:00 Asia/Kolkata", "drop_invalid": true,
	})
	if s.APIKey != "k" || s.Instruments != "i.csv" || s.TokenDiesAt.IsZero() || !s.DropInvalid || said != nil {
		t.Errorf("%+v, %q", s, said)
	}
}

func TestEverythingWrongWithOptionsIsReported(t *testing.T) {
	const daily = `options.token_dies_at: must be a time of day and a time zone, as in "06:00 Asia/Kolkata"`
	for _, c := range []struct {
		tree map[string]any
		want []string
	}{
		{nil, []string{"options.api_key: is required: the API key of your Kite Connect app"}},
		{map[string]any{"api_key": "", "drop_invalid": "yes", "extra": 1, "instruments": int64(7)}, []string{
			"options.api_key: must not be empty",
			"options.drop_invalid: must be true or false",
			"options.extra: unknown key; kite knows api_key, drop_invalid, instruments and token_dies_at",
			"options.instruments: must be a string",
		}},
		{map[string]any{"api_key": "k", "token_dies_at": "06:00 Mars/Base"}, []string{`options.token_dies_at: time zone "Mars/Base" is not known`}},
		{map[string]any{"api_key": "k", "token_dies_at": "06:00"}, []string{daily}},
		{map[string]any{"api_key": "k", "token_dies_at": "6:00 Asia/Kolkata"}, []string{daily}},
		{map[string]any{"api_key": "k", "token_dies_at": "24:00 Asia/Kolkata"}, []string{daily}},
		{map[string]any{"api_key": "k", "token_dies_at": "06:60 Asia/Kolkata"}, []string{daily}},
		{map[string]any{"api_key": "k", "token_dies_at": "06:00:00 Asia/Kolkata"}, []string{daily}},
		{map[string]any{"api_key": "k", "token_dies_at": "06:00  UTC"}, []string{`options.token_dies_at: time zone " UTC" is not known`}},
	} {
		if s, said := decode(c.tree); !slices.Equal(said, c.want) || !s.TokenDiesAt.IsZero() {
			t.Errorf("%v: %q", c.tree, said)
		}
	}
}

func TestTheNextTimeIsAlwaysAhead(t *testing.T) {
	for _, c := range []struct{ daily, now, want string }{
		{"06:00 Asia/Kolkata", "2026-03-01T00:29:59Z", "2026-03-01T00:30:00Z"},
		{"06:00 Asia/Kolkata", "2026-03-01T00:30:00Z", "2026-03-02T00:30:00Z"},
		{"06:00 Asia/Kolkata", "2026-12-31T20:00:00Z", "2027-01-01T00:30:00Z"},
		{"02:30 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"}, // an hour that day does not have
		{"02:30 Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-30T00:30:00Z"},
	} {
		d, err := ParseDaily(c.daily)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Next(now).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s after %s: %s", c.daily, c.now, got)
		}
	}
	if !(Daily{}).Next(time.Now()).IsZero() {
		t.Error("there is no such time, and it comes")
	}
}
