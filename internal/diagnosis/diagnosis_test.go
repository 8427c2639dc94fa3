package diagnosis

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestATopicIsQuietOrBroken(t *testing.T) {
	live := Slot{Slot: 3, State: "live", Since: noon.Add(-time.Hour), Life: 4, LastFrame: noon.Add(-2 * time.Second)}
	slot := func(change func(*Slot)) *Slot {
		s := live
		change(&s)
		return &s
	}
	three := 3
	heard := Topic{State: "confirmed", By: "ack", Since: noon.Add(-time.Hour), LastEvent: noon.Add(-34 * time.Minute), Slot: &three, Events: 1000}
	topic := func(change func(*Topic)) Topic {
		t := heard
		change(&t)
		return t
	}
	up, down := &Delivery{Connected: true}, &Delivery{}
	for name, c := range map[string]struct {
		topic   Topic
		slot    *Slot
		d       *Delivery
		grade   Grade
		word    string
		text    string
		section string
	}{
		"quiet": {heard, &live, up, Good, "Quiet, not broken", "confirmed 1h 0m ago by ack, but nothing came for 34m 0s; the connection is alive (heard 2 s ago): quiet upstream", ""},
		"others are heard": {heard, slot(func(s *Slot) { s.Confirmed, s.Events = 2, 5000 }), up, Good, "Quiet, not broken",
			"nothing came for 34m 0s while the connection hears others", ""},
		"works": {topic(func(t *Topic) { t.LastEvent = noon.Add(-3 * time.Second) }), &live, up, Good, "It works", "confirmed 1h 0m ago by ack; last event 3 s ago: it works", ""},
		"seldom": {topic(func(t *Topic) { t.Events, t.LastEvent = 2, noon.Add(-20*time.Minute) }), &live, nil, Good, "It works",
			"last event 20m 0s ago: it works", ""},
		"never": {topic(func(t *Topic) { t.LastEvent = time.Time{} }), &live, nil, Good, "Quiet, not broken", "nothing came yet; the connection is alive", ""},
		"assumed": {topic(func(t *Topic) { t.By = "assumed" }), &live, up, Good, "Quiet, not broken",
			"confirmed 1h 0m ago (assumed: this upstream answers no subscription), but nothing came", ""},
		"suspect": {heard, slot(func(s *Slot) { s.Starved = noon.Add(-time.Minute) }), up, Warn, "Suspect", "but slot 3 brings nothing since 11:59:00, though it should: suspect", aboutQuiet},
		"a silent connection": {heard, slot(func(s *Slot) { s.LastFrame = noon.Add(-5 * time.Minute) }), up, Warn, "Not known",
			"and the connection heard nothing either", aboutQuiet},
		"leaving": {heard, slot(func(s *Slot) { s.State = "leaving" }), up, Warn, "Changing", "slot 3 is closing its connection", ""},
		"no slot": {heard, nil, up, Warn, "Not known", "nothing came for 34m 0s", ""},
		"in vain": {heard, &live, down, Bad, "Heard, not delivered", "but NATS is away: events wait in the buffer", aboutNATS},
		"unplaced": {Topic{State: "unplaced"}, nil, up, Warn, "Not listened to", "it has no place. 1,350 of 1,850 topics are past the capacity of 500",
			aboutMany},
		"refused": {Topic{State: "refused"}, nil, down, Bad, "Refused", "the upstream says no", aboutRefused},
		"asked":   {topic(func(t *Topic) { t.State = "asked" }), &live, up, Warn, "Not yet", "not heard yet: slot 3 is live, and the upstream has not answered yet", ""},
		"dark": {topic(func(t *Topic) { t.State, t.DarkSince = "assigned", noon.Add(-2*time.Minute) }),
			slot(func(s *Slot) { s.State, s.LastCause, s.NextDial = "waiting", "reset", noon.Add(12*time.Second) }), up, Bad, "Broken",
			"dark since 11:58:00 (2m 0s): slot 3 is waiting to redial (reset), in 12 s", aboutResets},
		"redialled": {topic(func(t *Topic) { t.State, t.DarkSince = "assigned", noon.Add(-2*time.Minute) }),
			slot(func(s *Slot) { s.State, s.LastCause = "dialing", "ping_timeout" }), up, Bad, "Broken", "slot 3 is redialling (ping_timeout)", aboutPings},
		"turned away": {topic(func(t *Topic) { t.State = "assigned" }), slot(func(s *Slot) { s.State, s.LastCause, s.Life = "dialing", "auth", 0 }), up, Warn, "Not yet",
			"not heard yet: slot 3 is dialling (auth)", aboutHTTP},
		"parked": {topic(func(t *Topic) { t.State = "assigned" }), slot(func(s *Slot) { s.State, s.LastCause = "parked", "auth" }), up, Warn, "Not yet",
			"slot 3 is parked: there is no credential that works", aboutSecrets},
		"put off": {topic(func(t *Topic) { t.State, t.Reason = "assigned", "ERR_TOO_MANY_TOPICS" }), &live, up, Warn, "Not yet",
			"slot 3 is live, and asks for it; when it was asked for, the answer was neither yes nor no: ERR_TOO_MANY_TOPICS", aboutMany},
		"of a newer daemon": {Topic{State: "resting", Slot: &three}, slot(func(s *Slot) { s.State, s.LastCause = "moving", "whim" }), up, Warn, "Not yet",
			"not heard yet: slot 3 is moving (whim)", ""},
	} {
		f := &Feed{Feed: "f", Protocol: "twitch-pubsub", Capacity: 500}
		f.Topics.Wanted, f.Topics.Unplaced, f.Counters.LastEvent = 1850, 1350, noon
		if c.slot != nil {
			f.Slots = []Slot{*c.slot}
		}
		r := &Report{At: noon, Uptime: Seconds(3 * time.Hour), Delivery: c.d}
		v := r.Judge(f, &c.topic)
		if v.Grade != c.grade || v.Word != c.word || !strings.Contains(v.Text, c.text) || v.Advice.Section != c.section {
			t.Errorf("%s: %+v, want %s %q %q, %q", name, v, c.grade, c.word, c.text, c.section)
		}
	}
}

// said is troubles in short.
func said(list []Trouble) (all []string) {
	for _, t := range list {
		about := strings.Join(strings.Fields(string(t.Grade)+" "+t.Feed+" "+t.Label), " ")
		all = append(all, about+": "+t.Text)
	}
	return all
}

func TestTheMostUrgentTroubleIsFirst(t *testing.T) {
	r := &Report{
		At: noon, Errors: []string{"no answer"}, Notes: []string{"a note"}, TokensDie: map[string]time.Time{"b": noon.Add(10 * time.Minute)},
		Delivery: &Delivery{Dropped: map[string]map[string]uint64{"a": {"x": 1, "y": 0}, "b": {"x": 2}}},
		Feeds: []Feed{{Feed: "a"}, {Feed: "b", Dark: 2, Capacity: 50, Slots: []Slot{
			{Slot: 0, State: "waiting", Since: noon.Add(-time.Minute), LastCause: "dns", LastError: "no such host", NextDial: noon.Add(20 * time.Second)},
			{Slot: 1, State: "parked", LastCause: "auth", LastError: "403"},
			{Slot: 2, State: "dialing", Since: noon.Add(-time.Second), LastCause: "timeout", LastError: "i/o timeout", NextDial: noon.Add(-time.Second)},
			{Slot: 3, State: "waiting", LastCause: "renewed"},
			{Slot: 4, State: "closed", LastCause: "dns"},
		}}},
	}
	r.Feeds[1].Topics.Wanted, r.Feeds[1].Topics.Assigned, r.Feeds[1].Topics.Refused = 4, 3, 1
	want := []string{
		"bad stuck: no answer",
		"bad NATS: AWAY: events wait in the buffer, and are dropped once it is full",
		"bad b: PARKED: there is no credential that works; 0 of 4 topics confirmed",
		"bad b: 1 connection is parked (auth): 403",
		"bad b: 2 connections are not live (dns, timeout), the next dial is in 20 s: i/o timeout",
		"warn note: a note",
		"warn a: no topics are wanted",
		"warn b token: dies in 10m 0s, at 12:10:00",
		"warn b refused: 1 topic",
		"warn dropped: 3 x since the start",
	}
	if got := said(r.Troubles()); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all := r.Troubles(); all[3].Advice.Section != aboutSecrets || all[4].Advice.Section != aboutReaching {
		t.Errorf("the connections have advice %+v and %+v", all[3].Advice, all[4].Advice)
	}
}

func TestAFeedStandsWellWithoutTrouble(t *testing.T) {
	f := &Feed{Feed: "f", Slots: []Slot{{State: "live"}, {State: "closed", Starved: noon}, {State: "hovering", LastCause: "whim"}}}
	f.Topics.Wanted, f.Topics.Confirmed = 1234, 1234
	r := &Report{At: noon, Feeds: []Feed{*f}, Delivery: &Delivery{Connected: true, Unconfirmed: Seconds(time.Second), BufferBytes: 49, BufferLimit: 100},
		TokensDie: map[string]time.Time{"f": noon.Add(time.Hour)}}
	if s := f.Standing(); s.Grade != Good || s.Text != "all 1,234 topics confirmed" {
		t.Errorf("it stands %+v", s)
	}
	if got := said(r.Troubles()); got != nil {
		t.Errorf("troubles: %q", got)
	}
	if grade, text := r.Token("f"); grade != Note || text != "good for 1h 0m, until 13:00:00" {
		t.Errorf("token %s, %q", grade, text)
	}
	if _, grade := (&Slot{State: "hovering"}).Shown(); grade != Warn {
		t.Errorf("a state that is not known is %s", grade)
	}
}

func TestATokenIsWorthAWarningOnceItsRenewalIsLate(t *testing.T) {
	dies := map[string]time.Time{"f": noon.Add(20 * time.Minute)}
	for due, want := range map[time.Time]Grade{
		{}: Warn, noon.Add(15 * time.Minute): Note, noon: Warn, noon.Add(-time.Minute): Warn,
	} {
		r := &Report{At: noon, TokensDie: dies, TokensDue: map[string]time.Time{"f": due}}
		if grade, text := r.Token("f"); grade != want {
			t.Errorf("due at %v: %s, %q, want %s", due, grade, text, want)
		}
	}
	if grade, text := (&Report{At: noon.Add(time.Hour), TokensDie: dies}).Token("f"); grade != Bad || text != "died 40m 0s ago, at 12:20:00" {
		t.Errorf("a dead one: %s, %q", grade, text)
	}
}

func TestWhatTheUpstreamSentInVainIsNotWhatWasDropped(t *testing.T) {
	r := &Report{Delivery: &Delivery{Connected: true}, Lost: map[string]map[string]uint64{"a": {"malformed": 3}, "b": {"malformed": 1, "too_big": 2}}}
	upstream := r.Losses()
	if got, want := said(upstream), []string{"warn skipped: 4 malformed, 2 too_big since the start"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Delivery.Dropped = map[string]map[string]uint64{"a": {"buffer_full": 1}, "b": {"malformed": 0}}
	r.Lost["a"]["buffer_full"] = 1
	both := r.Losses()
	if got, want := said(both), append([]string{"warn dropped: 1 buffer_full since the start"}, said(upstream)...); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if both[0].Advice == both[1].Advice {
		t.Errorf("NATS and the upstream have the same advice: %s", both[0].Advice)
	}
}

func TestAllThatHaveNoPlaceAreBadOnlyWhereNoneHas(t *testing.T) {
	f := &Feed{Feed: "f", Capacity: 1}
	f.Topics.Wanted, f.Topics.Unplaced, f.Topics.Refused = 3, 2, 1
	if s := f.Standing(); s.Grade != Bad || s.Text != "0 of 3 topics confirmed" {
		t.Errorf("it stands %+v", s)
	}
	f.Topics.Confirmed, f.Topics.Refused = 1, 0
	if s := f.Standing(); s.Grade != Warn || s.Text != "1 of 3 topics confirmed: all that have a place" {
		t.Errorf("it stands %+v", s)
	}
	if got, want := said((&Report{At: noon}).Of(f)), []string{"warn f unplaced: 2 topics past the capacity of 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryCauseThatAPersonMayHaveToActOnHasAdvice(t *testing.T) {
	sections := Sections()
	for _, cause := range []string{
		"auth", "token_expired", "duplicate_connection", "ping_timeout", "silent", "idle_close", "reset", "tls", "dns", "refused", "timeout",
		"http_4xx", "http_5xx", "rate_limited", "closed_by_server", "protocol_error", "too_big",
	} {
		s := Slot{State: "waiting", LastCause: cause}
		if a := s.advice(); a.Do == "" || !slices.Contains(sections, a.Section) {
			t.Errorf("%s: %+v", cause, a)
		}
		s.State = "live"
		if a := s.advice(); a != (Advice{}) {
			t.Errorf("%s of a life that is over: %+v", cause, a)
		}
	}
}

func TestAReportThatIsNoneIsAnError(t *testing.T) {
	for _, body := range []string{"", "[]", `{"feeds": 3}`, `{"uptime_s": "long"}`} {
		if _, err := Read([]byte(body), noon); err == nil {
			t.Errorf("%q was read", body)
		}
	}
}

func TestFiguresAreWrittenForPeople(t *testing.T) {
	for got, want := range map[string]string{
		Count(0): "0", Count(999): "999", Count(1000): "1,000", Count(int64(-123456)): "-123,456", Count(uint64(1234567)): "1,234,567",
		Counted(1, "topic"): "1 topic", Counted(1000, "topic"): "1,000 topics",
		Span(-time.Second): "0 ms", Span(12 * time.Millisecond): "12 ms", Span(59 * time.Second): "59 s", Span(61 * time.Second): "1m 1s",
		Span(75 * time.Minute): "1h 15m", Span(49 * time.Hour): "2d 1h",
		Sums(map[string]uint64{"b": 2, "a": 2, "c": 3000}): "3,000 c, 2 a, 2 b",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	r := &Report{At: noon}
	if got := r.Clock(noon.Add(-24 * time.Hour)); got != "2026-11-22 12:00:00" {
		t.Errorf("yesterday's noon is %s", got)
	}
}
