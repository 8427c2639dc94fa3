package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestALossIsATroubleUntilItIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		last  time.Time
		grade Grade
		said  []string
	}{
		"nobody knows when": {time.Time{}, Warn, []string{
			"warn dropped: 9 buffer_full since the start",
			"warn forbidden: 7 messages since the start: the server's permissions do not let feedmux publish there"}},
		"lately": {noon.Add(-3 * time.Minute), Warn, []string{
			"warn dropped: 9 buffer_full since the start, the last 3m 0s ago",
			"warn forbidden: 7 messages since the start, the last 3m 0s ago: the server's permissions do not let feedmux publish there"}},
		"over": {noon.Add(-10 * time.Minute), Note, []string{
			"note dropped: 9 buffer_full since the start, the last 10m 0s ago",
			"note forbidden: 7 messages since the start, the last 10m 0s ago"}},
	} {
		r := &Report{At: noon, Feeds: []Feed{{Feed: "a", Slots: []Slot{{State: "live"}}}}, Delivery: &Delivery{
			Connected: true, Refused: 7, RefusedAt: c.last, Dropped: map[string]map[string]uint64{"a": {"buffer_full": 9}},
		}}
		r.Feeds[0].Topics.Wanted, r.Feeds[0].Topics.Confirmed = 1, 1
		if !c.last.IsZero() { // the last of all feeds counts
			r.Delivery.DroppedAt = map[string]time.Time{"a": c.last, "b": noon.Add(-5 * time.Hour)}
		}
		losses := r.Losses()
		if got := said(losses); !slices.Equal(got, c.said) {
			t.Errorf("%s: got %q, want %q", name, got, c.said)
		}
		for _, l := range losses {
			if over := l.Grade == Note; over != (l.Advice == Advice{}) {
				t.Errorf("%s: %s has the advice %q", name, l.Text, l.Advice)
			}
		}
		if n := len(r.Troubles()); (n == 0) != (c.grade == Note) {
			t.Errorf("%s: there are %d troubles", name, n)
		}
	}
}

func TestNoticesAreNoTroubleOnceNoneWaits(t *testing.T) {
	for _, c := range []struct {
		connected bool
		waiting   int
		want      Grade
	}{{true, 0, Note}, {true, 3, Warn}, {false, 0, Warn}} {
		r := &Report{At: noon, Delivery: &Delivery{Connected: c.connected, NoticesWaiting: c.waiting, NoticesDropped: 4}}
		if l := r.Losses(); len(l) != 1 || l[0].Grade != c.want {
			t.Errorf("%+v: %+v", c, l)
		}
	}
}

func TestWhoseNATSIsAwayIsToldWhyAndWhatToDo(t *testing.T) {
	full := Delivery{BufferBytes: 99, BufferLimit: 100, Dropped: map[string]map[string]uint64{"a": {"buffer_full": 3}}}
	at := func(ago time.Duration) Delivery {
		d := full
		d.DroppedAt = map[string]time.Time{"a": noon.Add(-ago)}
		return d
	}
	half := at(time.Second)
	half.BufferBytes = 50
	const waits, drops = "events wait in the buffer, and are dropped once it is full", "the buffer is full, and events are being dropped"
	for name, c := range map[string]struct {
		d    Delivery
		text string
		do   string
	}{
		"nobody said":      {Delivery{}, "AWAY: " + waits, "nats.url"},
		"no server":        {Delivery{Trouble: "nats: no servers available for connection"}, "AWAY: nats: no servers available for connection; " + waits, "nats.url"},
		"a wrong login":    {Delivery{Trouble: "nats: Authorization Violation"}, "AWAY: nats: Authorization Violation; " + waits, "login"},
		"a revoked login":  {Delivery{Trouble: "nats: authentication revoked"}, "AWAY: nats: authentication revoked; " + waits, "login"},
		"it drops":         {at(4 * time.Second), "AWAY: " + drops, "nats.url"},
		"an older daemon":  {full, "AWAY: " + drops, "nats.url"},
		"another outage":   {at(time.Hour), "AWAY: " + waits, "nats.url"},
		"there is room":    {half, "AWAY: " + waits, "nats.url"},
		"only full by now": {Delivery{BufferBytes: 99, BufferLimit: 100}, "AWAY: " + waits, "nats.url"},
	} {
		r := &Report{At: noon, Delivery: &c.d}
		away := r.Away()
		if len(away) != 1 || away[0].Text != c.text || !strings.Contains(away[0].Advice.Do, c.do) || away[0].Advice.Section != aboutNATS {
			t.Errorf("%s: %+v, want %q", name, away, c.text)
		}
	}
}

func TestWhichFeedsAreBehindBeginsWithTheirNumber(t *testing.T) {
	r := &Report{}
	r.Readiness.Needed = 0.9
	for i := range 20 {
		r.Readiness.Feeds = append(r.Readiness.Feeds, Readiness{Feed: fmt.Sprintf("f%d", i)})
	}
	const want = "; 20 feeds below 90 %: f0 (0 %), f1 (0 %), f2 (0 %), f3 (0 %), and 16 more"
	if v := r.Ready(); !strings.HasSuffix(v.Text, want) {
		t.Errorf("%q does not end in %q", v.Text, want)
	}
	r.Readiness.Feeds = r.Readiness.Feeds[:1]
	if v := r.Ready(); !strings.HasSuffix(v.Text, "; 1 feed below 90 %: f0 (0 %)") {
		t.Errorf("%q", v.Text)
	}
}

func TestWithoutFeedsItSaysWhetherSomeWait(t *testing.T) {
	for want, notes := range map[string][]string{
		"none: add [[feed]] tables to the configuration":              {"waits for a restart: nats.url"},
		"none runs; the one of the configuration waits for a restart": {"waits for a restart: feed.tz"},
		"none runs; the 2 of the configuration wait for a restart":    {"waits for a restart: feed.tz", "a note", "waits for a restart: feed.ta"},
	} {
		own := (&Report{Notes: notes}).Own()
		if got := own[len(own)-1]; got.Label != "feeds" || got.Text != want {
			t.Errorf("%q: %q, want %q", notes, got.Text, want)
		}
	}
}

func TestAFeedsOwnNotesAreThoseThatNameIt(t *testing.T) {
	r := &Report{Notes: []string{"feed a: its file is held", "feed ab: another's", "waits for a restart: feed.a.url", "waits for a restart: feed.ab.url",
		"the configuration was bad"}}
	want := []string{"warn a note: its file is held", "warn a note: waits for a restart: feed.a.url"}
	if got := said(r.NotesOf(&Feed{Feed: "a"})); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTopicsThatArePutOffAreATrouble(t *testing.T) {
	const both = `warn f put off: 2 topics: the upstream's answer is neither yes nor no: ERR_TOO_MANY_TOPICS`
	for name, c := range map[string]struct {
		more, live string
		want       string
	}{
		"they are put off":  {`, "put_off": {"topics": 2, "reason": "ERR_TOO_MANY_TOPICS"}`, "11:59:01", both},
		"it takes long":     {"", "11:59:00", "warn f open: 30 topics not confirmed, on connections that live for a minute or more"},
		"it may still come": {"", "11:59:01", ""},
	} {
		body := `{"feeds": [{"feed": "f", "protocol": "twitch-pubsub", "topics": {"wanted": 50, "assigned": 30, "confirmed": 20},
			"slots": [{"state": "live", "since": "2026-11-23T` + c.live + `Z", "topics": 50, "confirmed": 20}, {"state": "waiting", "topics": 9}]` + c.more + `}]}`
		r, err := Read([]byte(body), noon)
		if err != nil {
			t.Fatal(err)
		}
		list := r.Of(&r.Feeds[0])
		got := said(list[1:]) // the first is how the feed stands
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if c.want == both && (list[1].Advice.Section != aboutMany || !strings.Contains(list[1].Advice.Do, "options.full_errors")) {
			t.Errorf("%s: the advice is %q", name, list[1].Advice)
		}
		r.Feeds[0].Protocol = "kite" // it has no such option
		if list := r.Of(&r.Feeds[0]); c.want == both && (list[1].Advice.Do == "" || strings.Contains(list[1].Advice.Do, "full_errors")) {
			t.Errorf("%s: kite's advice is %q", name, list[1].Advice)
		}
	}
}

// What a report does not tell is not guessed: whether topics take turns already.
func TestWhoHasTooManyTopicsIsNotToldToDoWhatMayBeDone(t *testing.T) {
	f := &Feed{Feed: "f", Capacity: 1}
	f.Topics.Wanted, f.Topics.Unplaced, f.Topics.Confirmed = 3, 2, 1
	list := (&Report{At: noon}).Of(f)
	if a := list[0].Advice; a.Section != aboutMany || strings.Contains(a.Do, "turns") {
		t.Errorf("the advice is %q", a)
	}
}

func TestWhoseSecretIsNeededIsToldWhereItBelongs(t *testing.T) {
	s := Slot{State: "parked"}
	if a := s.advice(); !strings.Contains(a.Do, "feed.auth") || !strings.Contains(a.Do, "feedmux check --explain") {
		t.Errorf("the advice is %q", a)
	}
}
