package console

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"feedmux/internal/diagnosis"
)

var update = flag.Bool("update", false, "rewrite the golden pages")

// noon is when every report of testdata was asked for.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func read(t *testing.T, name string) *Report {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(body, noon)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update rewrites it); got\n%s\nwant\n%s", path, got, want)
	}
	fits(t, name, got, 80)
}

// fits holds a page to its width, and to what a terminal shows as it is.
func fits(t *testing.T, name, page string, columns int) {
	t.Helper()
	for i, line := range strings.Split(page, "\n") {
		if n := width(line); n > columns {
			t.Errorf("%s: line %d takes %d columns: %s", name, i+1, n, line)
		}
		if strings.IndexFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) }) >= 0 {
			t.Errorf("%s: line %d would be obeyed by a terminal: %q", name, i+1, line)
		}
		if line != strings.TrimRight(line, " ") {
			t.Errorf("%s: line %d ends with spaces: %q", name, i+1, line)
		}
	}
}

func TestTheOverviewReadsAtAGlance(t *testing.T) {
	for _, name := range []string{"healthy", "outage", "parked", "overflow", "nats_away", "ten_feeds", "long_names", "hostile", "nothing", "starting", "reloaded"} {
		golden(t, name, Overview(read(t, name), Look{}))
	}
}

func TestAFeedsPageHasItsTroublesFirst(t *testing.T) {
	for _, name := range []string{"overflow", "long_names", "hostile", "reloaded"} {
		r := read(t, name)
		page, found := FeedPage(r, r.Feeds[0].Feed, Look{})
		if !found {
			t.Fatalf("%s: no page", name)
		}
		golden(t, name+"_feed", page)
	}
	if _, found := FeedPage(read(t, "healthy"), "kite", Look{}); found {
		t.Error("a page of a feed that there is not")
	}
}

func TestAFeedsListsSayWhyAndLeaveRoomForIt(t *testing.T) {
	zero := 0
	topic := func(name, state, reason string) diagnosis.Topic {
		return diagnosis.Topic{Topic: name, State: state, Reason: reason, Slot: &zero, Events: 26549, By: "ack", LastEvent: noon.Add(-3 * time.Millisecond)}
	}
	dark := topic("raid.2", "assigned", "ERR_SERVER")
	dark.DarkSince = noon.Add(-time.Minute)
	r := &Report{At: noon, Feeds: []diagnosis.Feed{{Feed: "f", Ledger: []diagnosis.Topic{
		topic("raid.1", "confirmed", ""), dark, topic("raid.76", "assigned", "ERR_TOO_MANY_TOPICS"), topic("raid.8", "asked", ""),
		topic("höhe", "refused", "no"), topic(strings.Repeat("w", 50), "refused", "yes"),
	}}}}
	r.Notes = []string{"feed f: its file is held", "feed g: its file is held, too"}
	page, _ := FeedPage(r, "f", Look{})
	for _, line := range []string{
		"  raid.1  by ack, last event 3 ms ago, 26,549 in all",
		"  raid.2  slot 0, since 11:59:00; ERR_SERVER",
		"  raid.76  assigned; ERR_TOO_MANY_TOPICS",
		"  raid.8   asked",
		"  " + pad("höhe", 36) + "  no",
		"  " + strings.Repeat("w", 35) + "…  yes",
		"  note      its file is held",
	} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, page)
		}
	}
	if overview := Overview(r, Look{}); strings.Count(overview, "its file is held\n") != 1 {
		t.Errorf("the overview says it more than once:\n%s", overview)
	}
}

func TestTwentyFeedsThatAreBehindAreCounted(t *testing.T) {
	r := &Report{At: noon}
	for i := range 20 {
		r.Readiness.Feeds = append(r.Readiness.Feeds, diagnosis.Readiness{Feed: strings.Repeat(string(rune('a'+i)), 60)})
	}
	r.Readiness.Needed = 0.9
	page := Overview(r, Look{})
	if flat := strings.Join(strings.Fields(page), " "); !strings.Contains(flat, "20 feeds below 90 %: aaa") {
		t.Errorf("it does not say how many:\n%s", page)
	}
	fits(t, "behind", page, 80)
}

func TestWhatIsOverIsStillAFigure(t *testing.T) {
	r := &Report{At: noon, Delivery: &diagnosis.Delivery{Connected: true, Refused: 3, RefusedAt: noon.Add(-time.Hour)}}
	page := Overview(r, Look{Color: true})
	if !strings.Contains(page, "  forbidden 3 messages since the start, the last 1h 0m ago\n") || strings.Contains(page, "permissions") {
		t.Errorf("it is not a plain figure:\n%s", page)
	}
}

func TestATopicsPageTellsQuietFromBroken(t *testing.T) {
	r := read(t, "overflow")
	for id, want := range map[string]string{
		"7":   "confirmed 2h 0m ago by ack; last event 53 s ago: it works",
		"5":   "confirmed 2h 0m ago by ack, but nothing came yet while the connection hears others: quiet upstream",
		"6":   "confirmed 2h 0m ago by ack, but nothing came for 2h 50m while the connection hears others: quiet upstream",
		"3":   "dark since 11:58:00 (2m 0s): slot 0 is live, and the upstream has not answered yet",
		"4":   "refused: the upstream says no.",
		"520": "unplaced: it has no place. 1,350 of 1,850 topics are past the capacity of 500",
	} {
		page, found := TopicPage(r, "twitch", "video-playback-by-id."+id, Look{})
		if !found {
			t.Fatalf("no page of topic %s", id)
		}
		if flat := strings.Join(strings.Fields(page), " "); !strings.Contains(flat, want) {
			t.Errorf("topic %s: want %q in\n%s", id, want, page)
		}
		fits(t, id, page, 80)
	}
	page, _ := TopicPage(r, "twitch", "video-playback-by-id.6", Look{})
	golden(t, "overflow_topic", page)
	reloaded := read(t, "reloaded")
	for topic, want := range map[string]string{
		"raid.1": "gaps 3; the last one ended 30m 0s ago and lasted 10 s: reset",
		"raid.2": "gaps 1; one is open since 11:59:40 (20 s ago): ping_timeout",
	} {
		page, _ := TopicPage(reloaded, "twitch", topic, Look{})
		if flat := strings.Join(strings.Fields(page), " "); !strings.Contains(flat, want) {
			t.Errorf("%s: want %q in\n%s", topic, want, page)
		}
	}
	for _, name := range []string{"long_names", "hostile"} {
		r := read(t, name)
		page, found := TopicPage(r, r.Feeds[0].Feed, r.Feeds[0].Ledger[1].Topic, Look{})
		if !found {
			t.Fatalf("%s: no page", name)
		}
		fits(t, name, page, 80)
	}
	if _, found := TopicPage(r, "twitch", "raid.1", Look{}); found {
		t.Error("a page of a topic that nobody wants")
	}
}

func TestRatesAreThoseSinceTheReportBefore(t *testing.T) {
	before, now := read(t, "healthy"), read(t, "healthy")
	before.At = noon.Add(-2 * time.Second)
	now.Feeds[0].Slots[0].Events += 30
	now.Feeds[0].Counters.Events += 30
	page := Overview(now, Look{Before: before})
	if !strings.Contains(page, "72,030, 15.0/s;") || !strings.Contains(page, " 15.0    23 ms") {
		t.Errorf("want 15.0/s of the feed and of slot 0 in\n%s", page)
	}
	// A restart in between: the counters began again.
	now.Feeds[0].Counters.Events = 3
	if page := Overview(now, Look{Before: before}); !strings.Contains(page, "3, -/s;") {
		t.Errorf("want no rate in\n%s", page)
	}
}

func TestColourIsOnlyWhereItIsAskedFor(t *testing.T) {
	r := read(t, "outage")
	coloured := Overview(r, Look{Color: true})
	for _, colour := range append(slices.Collect(maps.Values(colours)), bold, reset) {
		coloured = strings.ReplaceAll(coloured, colour, "")
	}
	if page := Overview(r, Look{}); page != coloured {
		t.Errorf("without its colours it is\n%s\nwant\n%s", coloured, page)
	}
	if !strings.Contains(Overview(r, Look{Color: true}), colours[diagnosis.Bad]+"OUTAGE") {
		t.Error("an outage is not red")
	}
}

func TestWiderAndNarrowerTerminalsAreFilled(t *testing.T) {
	for _, name := range []string{"overflow", "long_names", "hostile", "nats_away"} {
		for _, columns := range []int{72, 80, 100, 120} {
			fits(t, name, Overview(read(t, name), Look{Width: columns}), columns)
		}
	}
	fits(t, "tiny", Overview(read(t, "overflow"), Look{Width: 7}), least)
}

func TestWhatATerminalWouldObeyIsWrittenOut(t *testing.T) {
	for in, want := range map[string]string{
		"video-playback.1": "video-playback.1",
		"höhe 高":           "höhe 高",
		"\x1b[2J":          `\x1b[2J`,
		"a\u009b31mb":      `a\u009b31mb`,
		"a\xffb":           `a\xffb`,
		"\u202eabc":        `\u202eabc`,
		"a\nb\tc\x00":      `a\nb\tc\x00`,
		"\U000e0041":       `\U000e0041`,
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestCleanJSONMeansTheSame(t *testing.T) {
	const text = "\x1b\u009b\u202e\U000e0041 a\"\\\u007f高"
	in, err := json.MarshalIndent(map[string]string{"k": text}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	out := CleanJSON(in)
	if strings.ContainsFunc(string(out), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
		t.Errorf("%q", out)
	}
	var back map[string]string
	if err := json.Unmarshal(out, &back); err != nil || back["k"] != text {
		t.Errorf("%v: %q came back as %q", err, text, back["k"])
	}
}
