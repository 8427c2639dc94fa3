package page

import (
	"strings"
	"testing"
	"time"

	"feedmux/internal/history"
)

// base is a moment at which a column of the plots begins.
var base = time.Unix(1_800_000_000, 0).Truncate(step)

func TestAnHourIsDrawnWhereItIsKnown(t *testing.T) {
	now := base
	samples := []history.Sample{ // two stretches with a hole between
		{From: now.Add(-20 * time.Minute), To: now.Add(-19 * time.Minute), Events: 60},
		{From: now.Add(-10 * time.Minute), To: now.Add(-9 * time.Minute), Events: 600},
	}
	h := hour(samples, now)
	if h.To.Sub(h.From) != history.Length || h.To.Before(now) {
		t.Errorf("the hour is %v to %v", h.From, h.To)
	}
	if !h.Since.Known() {
		t.Error("it does not say since when something is known")
	}
	received := h.Plots[0]
	if n := strings.Count(received.Line, "M"); n != 2 {
		t.Errorf("%d pieces of line, want 2: %s", n, received.Line)
	}
	if received.Now != "10.0" || received.Most != "10.0" || received.Total != 660 {
		t.Errorf("now %s, most %s, in all %d", received.Now, received.Most, received.Total)
	}
	if !strings.Contains(received.Line, " 2L") || !strings.Contains(received.Line, " 35.3L") {
		t.Errorf("the most is not at the top, or a tenth of it not at a tenth: %s", received.Line)
	}
}

func TestASampleOverSeveralColumnsIsSpread(t *testing.T) {
	from := base.Add(-time.Hour)
	p := plot("", "", []history.Sample{{From: from.Add(step / 2), To: from.Add(5 * step / 2), Events: 300}}, from,
		func(s history.Sample) uint64 { return s.Events })
	if p.Most != "10.0" { // 300 in 30 s, in every column
		t.Errorf("most is %s", p.Most)
	}
	if n := strings.Count(p.Line, "L") + strings.Count(p.Line, "M"); n != 3 {
		t.Errorf("it is drawn in %d columns, want 3: %s", n, p.Line)
	}
}

func TestWhatGoesOnIsOneMark(t *testing.T) {
	now, every := base, history.Every
	reset := func(n uint64) []history.Incident {
		return []history.Incident{{Kind: history.Disconnect, What: "reset", N: n}}
	}
	samples := []history.Sample{
		{From: now.Add(-2 * time.Hour), To: now.Add(-2*time.Hour + every), Incidents: append(reset(100),
			history.Incident{Kind: history.Dropped, What: "buffer_full", N: 100})}, // forgotten
		{From: now.Add(-600 * time.Second), To: now.Add(-595 * time.Second), Incidents: reset(2)},
		{From: now.Add(-595 * time.Second), To: now.Add(-590 * time.Second), Incidents: reset(1)},
		{From: now.Add(-590 * time.Second), To: now.Add(-100 * time.Second)},
		{From: now.Add(-100 * time.Second), To: now.Add(-95 * time.Second), Incidents: append(reset(1),
			history.Incident{Kind: history.Dropped, What: "buffer_full", N: 9})},
	}
	h := hour(samples, now)
	if drops := h.Plots[2]; drops.Name != "dropped" || drops.Total != 9 {
		t.Errorf("the plot of %s counts %d, and the rows below it 9", drops.Name, drops.Total)
	}
	if len(h.Rows) != 2 || h.Rows[0].What != "reset" || h.Rows[0].N != 4 || len(h.Rows[0].Marks) != 2 {
		t.Fatalf("rows are %+v", h.Rows)
	}
	first := h.Rows[0].Marks[0]
	if want := now.Add(-600 * time.Second).Sub(h.From).Seconds(); first.X != want || first.W != narrowest || first.n != 3 {
		t.Errorf("the first mark is %+v, want it at %v", first, want)
	}
	if got := h.Rows[0].Last.At; !got.Equal(now.Add(-95 * time.Second)) {
		t.Errorf("the last was at %v", got)
	}
	if last := h.Rows[1]; last.Kind != history.Dropped || last.N != 9 {
		t.Errorf("the last row is %+v, want 9 dropped", last)
	}
}

// TestWhatIsOlderThanAnHourCountsNowhere: a sample is longer than usual where a loop did not answer, so the memory may
// reach back further. One that the hour begins in counts as a whole, and is drawn from there on.
func TestWhatIsOlderThanAnHourCountsNowhere(t *testing.T) {
	from := hour(nil, base).From
	dropped := func(n uint64) []history.Incident {
		return []history.Incident{{Kind: history.Dropped, What: "buffer_full", N: n}}
	}
	old := history.Sample{From: from.Add(-2 * time.Minute), To: from, Events: 1000, Published: 1000, Incidents: dropped(1000)}
	h := hour([]history.Sample{old, {From: from.Add(-time.Minute), To: from.Add(time.Minute), Events: 1, Published: 2, Incidents: dropped(3)}}, base)
	for i, want := range []uint64{1, 2, 3} {
		if p := h.Plots[i]; p.Total != want {
			t.Errorf("%d %s in all, want %d", p.Total, p.Name, want)
		}
	}
	if len(h.Rows) != 1 || h.Rows[0].N != 3 || len(h.Rows[0].Marks) != 1 {
		t.Fatalf("rows are %+v, want 3 dropped", h.Rows)
	}
	if m := h.Rows[0].Marks[0]; m.X != 0 || m.W != 60 {
		t.Errorf("the mark is %v s wide from %v on, want the first minute", m.W, m.X)
	}
	if h := hour([]history.Sample{old}, base); h.Plots[0].Total != 0 || h.Plots[0].Now != "0" || len(h.Rows) != 0 {
		t.Errorf("of what is older, this is left: %+v", h)
	}
}

func TestFiguresAreWrittenForPeople(t *testing.T) {
	for got, want := range map[string]string{
		rate(0): "0", rate(0.004): "< 0.01", rate(0.2): "0.20", rate(12.34): "12.3", rate(1234.6): "1,235",
		size(0) + ".": "0 B.", size(1536): "1.5 KiB", size(16 << 20): "16 MiB",
		brief(59 * time.Second): "59 s", brief(61 * time.Second): "1m", brief(75 * time.Minute): "1h", brief(49 * time.Hour): "2d",
		short(23 * time.Millisecond): "23 ms", short(1500 * time.Microsecond): "1.5 ms", short(time.Microsecond): "0.1 ms", short(1500 * time.Millisecond): "1.5 s",
		visible("a\u202eb\nc"): `a\u{202e}b\u{a}c`, visible("é ü हिन्दी"): "é ü हिन्दी", visible("x\xff"): `x\u{fffd}`,
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
