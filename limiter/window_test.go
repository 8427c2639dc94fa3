package limiter

import (
	"math"
	"testing"
	"time"
)

func TestAWindowIsWrittenAsPeopleWriteIt(t *testing.T) {
	for s, want := range map[string]Window{
		"1/2s":        {1, 2 * time.Second},
		"10/1s":       {10, time.Second},
		"5/500ms":     {5, 500 * time.Millisecond},
		"3/1m":        {3, time.Minute},
		"3/1h":        {3, time.Hour},
		"3/1h30m":     {3, 90 * time.Minute},
		"3/1h0m30s":   {3, time.Hour + 30*time.Second},
		"3/10m":       {3, 10 * time.Minute},
		"2/20s":       {2, 20 * time.Second},
		"10000/24h":   {10_000, 24 * time.Hour},
		"1/1ns":       {1, 1},
		"300/5m0.25s": {300, 5*time.Minute + 250*time.Millisecond},
	} {
		if err := want.check(); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if got := want.String(); got != s {
			t.Errorf("%d in %v is written %q, want %q", want.N, want.Per, got, s)
		}
	}
}

func TestAWindowOutsideItsBoundsIsRefused(t *testing.T) {
	for _, tt := range []struct {
		w    Window
		want string
	}{
		{Window{0, time.Second}, "the number must be at least 1"},
		{Window{-1, time.Second}, "the number must be at least 1"},
		{Window{10_001, time.Second}, "the number must be at most 10000"},
		{Window{1, 0}, "the duration must be above zero"},
		{Window{1, -time.Second}, "the duration must be above zero"},
		{Window{1, 25 * time.Hour}, "the duration must be at most 24h"},
	} {
		if err := tt.w.check(); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: %v, want %s", tt.w, err, tt.want)
		}
	}
}

func TestAfterTellsWhenAnAttemptMayBegin(t *testing.T) {
	for _, tt := range []struct {
		w    Window
		n    int
		want time.Duration
	}{
		{Window{1, 2 * time.Second}, 0, 0},
		{Window{1, 2 * time.Second}, 9, 18 * time.Second},
		{Window{10, time.Second}, 9, 0},
		{Window{10, time.Second}, 10, time.Second},
		{Window{10, time.Second}, 39, 3 * time.Second},
		{Window{1, 24 * time.Hour}, math.MaxInt, math.MaxInt64},
	} {
		if got := tt.w.After(tt.n); got != tt.want {
			t.Errorf("%v: attempt %d begins after %v, want %v", tt.w, tt.n, got, tt.want)
		}
	}
}
