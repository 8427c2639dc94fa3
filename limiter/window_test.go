package limiter

import (
	"math"
	"testing"
	"time"
)

func TestWindowRoundTrips(t *testing.T) {
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
		got, err := ParseWindow(s)
		if err != nil || got != want {
			t.Errorf("ParseWindow(%q) = %v, %v", s, got, err)
		}
		if got.String() != s {
			t.Errorf("%q came back as %q", s, got)
		}
	}
}

// The text is what a user reads, so the text is tested.
func TestParseWindowSaysWhatIsWrong(t *testing.T) {
	for s, want := range map[string]string{
		"":         `reading rate "": want N/DURATION, as in 1/2s`,
		"10":       `reading rate "10": want N/DURATION, as in 1/2s`,
		"/1s":      `reading rate "/1s": "" is not a whole number`,
		"1.5/1s":   `reading rate "1.5/1s": "1.5" is not a whole number`,
		"ten/1s":   `reading rate "ten/1s": "ten" is not a whole number`,
		"10/s":     `reading rate "10/s": "s" is not a duration, as in 2s or 500ms`,
		"10/1":     `reading rate "10/1": "1" is not a duration, as in 2s or 500ms`,
		"1/1s/1s":  `reading rate "1/1s/1s": "1s/1s" is not a duration, as in 2s or 500ms`,
		"0/1s":     `reading rate "0/1s": the number must be at least 1`,
		"-1/1s":    `reading rate "-1/1s": the number must be at least 1`,
		"10001/1s": `reading rate "10001/1s": the number must be at most 10000`,
		"1/0s":     `reading rate "1/0s": the duration must be above zero`,
		"1/-1s":    `reading rate "1/-1s": the duration must be above zero`,
		"1/25h":    `reading rate "1/25h": the duration must be at most 24h`,
	} {
		if _, err := ParseWindow(s); err == nil || err.Error() != want {
			t.Errorf("ParseWindow(%q): %v, want %s", s, err, want)
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

func FuzzParseWindow(f *testing.F) {
	for _, s := range []string{"1/2s", "10/1s", "3/1h0m30s", "1/1us", "+1/2s", "01/2s", "1//", "1/9999999999h", "1/.5s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWindow(s)
		if err != nil {
			return
		}
		if w.N < 1 || w.N > 10_000 || w.Per <= 0 || w.Per > 24*time.Hour {
			t.Errorf("%q was read as %+v", s, w)
		}
		if again, err := ParseWindow(w.String()); err != nil || again != w {
			t.Errorf("%+v is written as %q, and read again as %+v, %v", w, w, again, err)
		}
	})
}
