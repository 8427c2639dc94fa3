package limiter

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// limitedLog is a logger of one record a second, three at once, and what it wrote.
func limitedLog() (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	return slog.New(NewLogHandler(h, 1, 3)), &out
}

func wantLog(t *testing.T, out *bytes.Buffer, lines ...string) {
	t.Helper()
	if want := strings.Join(lines, "\n") + "\n"; out.String() != want {
		t.Errorf("the log has\n%swant\n%s", out, want)
	}
	out.Reset()
}

func TestRecordsAboveTheRateAreDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog()
		for range 10 {
			log.Warn("odd")
		}
		wantLog(t, out, "level=WARN msg=odd", "level=WARN msg=odd", "level=WARN msg=odd")
		time.Sleep(time.Second)
		log.Warn("odd", "a", 1)
		log.Warn("odd")
		wantLog(t, out, "level=WARN msg=odd a=1 suppressed=7")
		time.Sleep(time.Second)
		log.Warn("odd")
		wantLog(t, out, "level=WARN msg=odd suppressed=1")
		time.Sleep(time.Second)
		log.Warn("odd")
		wantLog(t, out, "level=WARN msg=odd")
	})
}

func TestAFloodHidesNothingButItsLike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog()
		for range 1000 {
			log.Warn("odd", "feed", "noisy")
			log.Error("odd", "feed", "noisy")
		}
		out.Reset()
		log.Warn("odd")
		log.Info("odd", "feed", "noisy")
		log.Warn("odd", "feed", "other")
		log.With("feed", "third").Warn("odd")
		log.Warn("ended", "feed", "noisy")
		log.WithGroup("of").Warn("on", "feed", "noisy") // is of.feed
		wantLog(t, out, "level=WARN msg=odd", "level=INFO msg=odd feed=noisy", "level=WARN msg=odd feed=other",
			"level=WARN msg=odd feed=third", "level=WARN msg=ended feed=noisy", "level=WARN msg=on of.feed=noisy")
		log.With("feed", "noisy").Warn("odd")
		log.With("feed", "noisy").Error("odd")
		if out.Len() > 0 {
			t.Errorf("the flood goes on:\n%s", out)
		}
	})
}

func TestWhatAFloodLeftUnsaidIsSaidByWhateverComesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog()
		for range 10 {
			log.Warn("odd")
			log.Warn("strange")
		}
		out.Reset()
		log.Info("on")
		wantLog(t, out, "level=INFO msg=on")
		time.Sleep(forgetEvery)
		log.Info("on")
		log.Info("on")
		log.Warn("odd")
		wantLog(t, out, "level=INFO msg=on suppressed_others=14", "level=INFO msg=on", "level=WARN msg=odd")
	})
}

func TestMessagesThatAreMadeUpAsTheyGoAreBoundedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog()
		h := log.Handler().(*logHandler)
		flood := func() (lines int) {
			out.Reset()
			for i := range 10_000 {
				log.Warn(strconv.Itoa(i))
			}
			return strings.Count(out.String(), "\n")
		}
		if lines := flood(); lines != maxKinds-2+3 {
			t.Errorf("%d lines, want one for each kind that is known and three for all else", lines)
		}
		out.Reset()
		log.Error("broken")
		wantLog(t, out, "level=ERROR msg=broken")
		if n := len(h.budgets.of); n != maxKinds {
			t.Errorf("%d kinds are known, want %d", n, maxKinds)
		}
		time.Sleep(10 * time.Second)
		if lines := flood(); lines != maxKinds-2+3 {
			t.Errorf("%d lines ten seconds later, want no fewer: the kinds of then are forgotten", lines)
		}
		if !strings.Contains(out.String(), "suppressed_others=9935") {
			t.Errorf("what was suppressed is not said:\n%s", out)
		}
	})
}

func TestDerivedLoggersShareTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog()
		log.Info("on")
		log.With("a", 1).Info("on")
		log.WithGroup("g").Info("on", "b", 2)
		log.Info("on")
		log.With("a", 1).Info("on")
		wantLog(t, out, "level=INFO msg=on", "level=INFO msg=on a=1", "level=INFO msg=on g.b=2")
		time.Sleep(time.Second)
		log.With("a", 1).Info("on")
		wantLog(t, out, "level=INFO msg=on a=1 suppressed=2")
	})
}

func TestARecordIsNotChangedForOthers(t *testing.T) {
	var out bytes.Buffer
	h := NewLogHandler(slog.NewTextHandler(&out, nil), 1, 1)
	synctest.Test(t, func(t *testing.T) {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "on", 0)
		for i := range 8 { // more than a record holds in itself, with memory to spare that copies share
			r.Add("n", i)
		}
		for range 2 {
			h.Handle(t.Context(), r) // the second is dropped
		}
		time.Sleep(time.Second)
		h.Handle(t.Context(), r)
		r.AddAttrs(slog.Int("n", 8))
		r.Attrs(func(a slog.Attr) bool {
			if a.Key != "n" {
				t.Errorf("the caller's record has %v", a)
			}
			return true
		})
	})
}

func TestWhatIsNotEnabledCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog()
		for range 100 {
			log.Debug("noise")
		}
		log.Info("on")
		wantLog(t, out, "level=INFO msg=on")
	})
}

func TestEveryRecordPassesOrIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(NewLogHandler(slog.NewJSONHandler(&out, nil), 100, 10))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 500 {
					log.Warn("odd")
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		log.Warn("odd")

		passed, suppressed := 0, 0
		for dec := json.NewDecoder(&out); ; passed++ {
			var line struct{ Suppressed int }
			if err := dec.Decode(&line); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			suppressed += line.Suppressed
		}
		if passed+suppressed != 8*500+1 {
			t.Errorf("%d passed and %d were counted", passed, suppressed)
		}
		if passed < 50 || passed > 10+50+1 {
			t.Errorf("%d passed in half a second at a rate of 100", passed)
		}
	})
}

func TestLogHandlerIsAHandler(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		out.Reset()
		return NewLogHandler(slog.NewJSONHandler(&out, nil), rate.Inf, 0)
	}, func(t *testing.T) map[string]any {
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line
	})
}
