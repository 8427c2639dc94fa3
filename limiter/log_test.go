package limiter

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
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
		log.Info("on", "a", 1)
		log.Info("on")
		wantLog(t, out, "level=INFO msg=on a=1 suppressed=7")
		time.Sleep(time.Second)
		log.Info("on")
		wantLog(t, out, "level=INFO msg=on suppressed=1")
		time.Sleep(time.Second)
		log.Info("on")
		wantLog(t, out, "level=INFO msg=on")
	})
}

func TestWarningsHideNoErrorAndErrorsAreBoundedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog()
		for range 100 {
			log.Warn("odd")
		}
		out.Reset()
		for range 5 {
			log.Error("broken")
		}
		wantLog(t, out, "level=ERROR msg=broken", "level=ERROR msg=broken", "level=ERROR msg=broken")
		time.Sleep(time.Second)
		log.Error("broken")
		log.Info("on")
		wantLog(t, out, "level=ERROR msg=broken suppressed=2", "level=INFO msg=on suppressed=97")
	})
}

func TestDerivedLoggersShareTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog()
		log.Info("one")
		log.With("a", 1).Info("two")
		log.WithGroup("g").Info("three", "b", 2)
		log.Info("four")
		log.With("a", 1).Info("five")
		wantLog(t, out, "level=INFO msg=one", "level=INFO msg=two a=1", "level=INFO msg=three g.b=2")
		time.Sleep(time.Second)
		log.With("a", 1).Info("six")
		wantLog(t, out, "level=INFO msg=six a=1 suppressed=2")
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
		log.Info("last")

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
