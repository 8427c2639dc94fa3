package check

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/teststorage"
)

// group is the alerts, over what s has.
func group(t *testing.T, s *teststorage.TestStorage) *rules.Group {
	t.Helper()
	m := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:    rules.EngineQueryFunc(engine(t), s),
		AppendableV2: s,
		Queryable:    s,
		Context:      t.Context(),
		NotifyFunc:   func(context.Context, string, ...*rules.Alert) {},
	})
	groups, errs := m.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, "../alerts.yml")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(groups) != 1 {
		t.Fatalf("%d groups of alerts", len(groups))
	}
	for _, g := range groups {
		return g
	}
	return nil
}

// active are the alerts that wait for their time ("pending") or have come ("firing"), by name.
func active(g *rules.Group) map[string][]*rules.Alert {
	found := make(map[string][]*rules.Alert)
	for _, r := range g.AlertingRules() {
		for _, a := range r.ActiveAlerts() {
			found[r.Name()+" "+a.State.String()] = append(found[r.Name()+" "+a.State.String()], a)
		}
	}
	return found
}

// testAlertsOnRuns evaluates each alert on real runs: what is well must not even be pending, and where there are too many
// topics, the alert about that must be.
func testAlertsOnRuns(t *testing.T, r runs) {
	page := metricsPage(t)
	well := group(t, r.well.TestStorage)
	for _, rule := range well.AlertingRules() {
		wantKnown(t, rule.Name(), rule.Query(), r.busy, page)
	}
	well.Eval(t.Context(), r.well.last)
	wantEvaluated(t, well)
	for what, alerts := range active(well) {
		t.Errorf("all is well, and %s: %v", what, alerts[0].Annotations)
	}
	busy := group(t, r.busy.TestStorage)
	busy.Eval(t.Context(), r.busy.last)
	wantEvaluated(t, busy)
	if len(active(busy)["FeedmuxOverCapacity pending"]) != 1 {
		t.Errorf("topics have no place, and there is %v", slices.Collect(maps.Keys(active(busy))))
	}
}

func wantEvaluated(t *testing.T, g *rules.Group) {
	t.Helper()
	for _, r := range g.Rules() {
		if err := r.LastError(); err != nil {
			t.Errorf("%s: %v", r.Name(), err)
		}
	}
}

// healthy is what a daemon shows for two hours in which all is well, as in promtool's tests: series and values, one a
// minute. The token dies a day after the Unix epoch, at which these tests begin.
var healthy = map[string]string{
	`up{%s}`:                                                    "1x120",
	`process_start_time_seconds{%s}`:                            "-3600x120",
	`feedmux_reload_success{%s}`:                                "1x120",
	`feedmux_nats_connected{%s}`:                                "1x120",
	`feedmux_buffer_oldest_seconds{%s}`:                         "0.1x120",
	`feedmux_nats_refused_total{%s}`:                            "0x120",
	`feedmux_notices_dropped_total{%s}`:                         "0x120",
	`feedmux_topics{%s,feed="f",state="confirmed"}`:             "100x120",
	`feedmux_topics{%s,feed="f",state="asked"}`:                 "0x120",
	`feedmux_topics{%s,feed="f",state="assigned"}`:              "0x120",
	`feedmux_topics{%s,feed="f",state="unplaced"}`:              "0x120",
	`feedmux_topics{%s,feed="f",state="refused"}`:               "0x120",
	`feedmux_connections{%s,feed="f",state="live"}`:             "2x120",
	`feedmux_connections{%s,feed="f",state="closed"}`:           "8x120",
	`feedmux_connections{%s,feed="f",state="waiting"}`:          "0x120",
	`feedmux_connections{%s,feed="f",state="opening"}`:          "0x120",
	`feedmux_connections{%s,feed="f",state="parked"}`:           "0x120",
	`feedmux_dials_total{%s,feed="f",result="ok"}`:              "2x120",
	`feedmux_dials_total{%s,feed="f",result="refused"}`:         "1x120",
	`feedmux_dial_wait_seconds_count{%s}`:                       "3x120",
	`feedmux_disconnects_total{%s,feed="f",cause="reset"}`:      "0x120",
	`feedmux_disconnects_total{%s,feed="f",cause="idle_close"}`: "0x120",
	`feedmux_disconnects_total{%s,feed="f",cause="renewed"}`:    "0+1x120", // asked for, as often as it may be
	`feedmux_events_total{%s,feed="f"}`:                         "0+600x120",
	`feedmux_dropped_total{%s,feed="f",reason="buffer_full"}`:   "5x120", // long ago
	`feedmux_dropped_total{%s,feed="f",reason="late"}`:          "0+9x120",
	`feedmux_dropped_total{%s,feed="f",reason="malformed"}`:     "0x120",
	`feedmux_dropped_total{%s,feed="f",reason="left_out"}`:      "0x120",
	`feedmux_dropped_total{%s,feed="f",reason="truncated"}`:     "0x120",
	`feedmux_token_expiry_timestamp_seconds{%s,feed="f"}`:       "86400x120",
	`feedmux_token_due_timestamp_seconds{%s,feed="f"}`:          "84600x120",
}

// What is shown only at times must not stand in healthy: an alert that needs it would never come.
func testHealthyIsReal(t *testing.T, r runs) {
	e := engine(t)
	for series := range healthy {
		s, expr := r.well, strings.ReplaceAll(fmt.Sprintf(series, `job="feedmux"`), `feed="f"`, `feed=~".+"`)
		if strings.Contains(series, "token") {
			s = r.busy // the other has none that dies
		}
		if len(s.value(t, e, expr)) == 0 {
			t.Errorf("no run shows %s", expr)
		}
	}
}

// load puts one value of each series into a storage for each step.
func load(t *testing.T, step time.Duration, series map[string]string) *teststorage.TestStorage {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "load %s\n", step)
	for _, name := range slices.Sorted(maps.Keys(series)) {
		if strings.Contains(name, "%s") {
			fmt.Fprintf(&b, "  %s %s\n", fmt.Sprintf(name, `job="feedmux",instance="a"`), series[name])
		}
	}
	return promqltest.LoadedStorage(t, b.String())
}

// judge evaluates the alerts once a minute from one time to another, and returns what is active then.
func judge(t *testing.T, s *teststorage.TestStorage, from, to time.Duration) map[string][]*rules.Alert {
	t.Helper()
	g := group(t, s)
	for at := from; at <= to; at += time.Minute {
		g.Eval(t.Context(), time.Unix(0, 0).Add(at))
	}
	wantEvaluated(t, g)
	return active(g)
}

func TestNoAlertComesWhileAllIsWell(t *testing.T) {
	for what, alerts := range judge(t, load(t, time.Minute, healthy), 0, 2*time.Hour) {
		t.Errorf("%s: %v", what, alerts[0].Annotations)
	}
}

// A token that lasts 20 minutes and is replaced five minutes before its end is well, always.
func TestATokenThatRenewsItselfIsNoAlert(t *testing.T) {
	var dies, due strings.Builder
	for minute := range 120 {
		at := 1200 + 900*(minute/15)
		fmt.Fprintf(&dies, "%d ", at)
		fmt.Fprintf(&due, "%d ", at-240)
	}
	series := maps.Clone(healthy)
	series[`feedmux_token_expiry_timestamp_seconds{%s,feed="f"}`] = dies.String()
	series[`feedmux_token_due_timestamp_seconds{%s,feed="f"}`] = due.String()
	s := load(t, time.Minute, series)
	for minutes := range 110 {
		at := time.Duration(minutes) * time.Minute
		for what, alerts := range judge(t, s, at, at) {
			t.Fatalf("%s after %v: %v", what, at, alerts[0].Annotations)
		}
	}
}

// Each alert comes when what it is about has happened, after its time and not before. What else may bring it is behind a comma.
func TestAlertsComeWhenTheyShould(t *testing.T) {
	const hour = "1x60 " // what was before
	cases := map[string]struct {
		series map[string]string // other than healthy; an empty value: not there
		too    []string          // other alerts that come of the same
		early  time.Duration     // how long after an hour it is not there yet
		late   time.Duration     // how long after an hour it is
	}{
		"FeedmuxDown": {
			series: map[string]string{`up{%s}`: hour + "0x60"},
			early:  time.Minute, late: 4 * time.Minute,
		},
		"FeedmuxRestarts": {
			series: map[string]string{`process_start_time_seconds{%s}`: "-3600x60 3660x3 3900x3 4200x60"},
			early:  5 * time.Minute, late: 10 * time.Minute,
		},
		"FeedmuxStandsStill": {
			series: map[string]string{`feedmux_nats_connected{%s}`: hour + "stale _x60"},
			early:  time.Minute, late: 5 * time.Minute,
		},
		"FeedmuxStandsStill, of a feed": {
			series: map[string]string{
				`feedmux_dial_wait_seconds_count{%s}`:                  "3x60 stale _x60",
				`feedmux_events_total{%s,feed="f"}`:                    "0+600x60 stale _x60",
				`feedmux_connections{%s,feed="f",state="live"}`:        "2x60 stale _x60",
				`feedmux_topics{%s,feed="f",state="confirmed"}`:        "100x60 stale _x60",
				`feedmux_topics{%s,feed="f",state="assigned"}`:         "0x60 stale _x60",
				`feedmux_topics{%s,feed="f",state="asked"}`:            "0x60 stale _x60",
				`feedmux_connections{%s,feed="f",state="waiting"}`:     "0x60 stale _x60",
				`feedmux_dropped_total{%s,feed="f",reason="late"}`:     "0x60 stale _x60",
				`feedmux_disconnects_total{%s,feed="f",cause="reset"}`: "0x60 stale _x60",
			},
			early: time.Minute, late: 5 * time.Minute,
		},
		"FeedmuxReloadFailed": {
			series: map[string]string{`feedmux_reload_success{%s}`: hour + "0x60"},
			early:  time.Minute, late: 3 * time.Minute,
		},
		"FeedmuxNothingConfirmed": {
			series: map[string]string{
				`feedmux_topics{%s,feed="f",state="confirmed"}`: "100x60 0x60",
				`feedmux_topics{%s,feed="f",state="asked"}`:     "0x60 100x60",
			},
			too:   []string{"FeedmuxNotReady"},
			early: 4 * time.Minute, late: 12 * time.Minute,
		},
		"FeedmuxNotReady": {
			series: map[string]string{
				`feedmux_topics{%s,feed="f",state="confirmed"}`: "100x60 50x60",
				`feedmux_topics{%s,feed="f",state="assigned"}`:  "0x60 50x60",
			},
			early: 9 * time.Minute, late: 12 * time.Minute,
		},
		"FeedmuxUpstreamDown": {
			series: map[string]string{
				`feedmux_connections{%s,feed="f",state="live"}`:     "2x60 0x60",
				`feedmux_connections{%s,feed="f",state="waiting"}`:  "0x60 2x60",
				`feedmux_dials_total{%s,feed="f",result="refused"}`: "1x60 1+2x60",
			},
			early: 4 * time.Minute, late: 8 * time.Minute,
		},
		"FeedmuxUpstreamDown, which accepts and closes": {
			series: map[string]string{
				`feedmux_connections{%s,feed="f",state="live"}`:        "2x60 0x60",
				`feedmux_connections{%s,feed="f",state="opening"}`:     "0x60 2x60",
				`feedmux_dials_total{%s,feed="f",result="ok"}`:         "2x60 2+4x60",
				`feedmux_disconnects_total{%s,feed="f",cause="reset"}`: "0x60 0+4x60",
			},
			too:   []string{"FeedmuxDisconnectStorm"},
			early: 4 * time.Minute, late: 8 * time.Minute,
		},
		"FeedmuxUpstreamDown, left to another program": {
			series: map[string]string{
				`feedmux_connections{%s,feed="f",state="live"}`:    "2x60 0x60",
				`feedmux_connections{%s,feed="f",state="waiting"}`: "0x60 1x60",
			},
			early: 4 * time.Minute, late: 8 * time.Minute,
		},
		"FeedmuxDisconnectStorm": {
			series: map[string]string{`feedmux_disconnects_total{%s,feed="f",cause="reset"}`: "0x60 0+4x60"},
			early:  4 * time.Minute, late: 10 * time.Minute,
		},
		"FeedmuxIdleCut": {
			series: map[string]string{`feedmux_disconnects_total{%s,feed="f",cause="idle_close"}`: "0x60 0+0.2x60"},
			early:  10 * time.Minute, late: 40 * time.Minute,
		},
		"FeedmuxCredentialRefused": {
			series: map[string]string{`feedmux_connections{%s,feed="f",state="parked"}`: "0x60 1x60"},
			early:  time.Minute, late: 3 * time.Minute,
		},
		"FeedmuxCredentialRefused, of all": { // and nothing else: there is nothing to reach
			series: map[string]string{
				`feedmux_connections{%s,feed="f",state="live"}`:   "2x60 0x60",
				`feedmux_connections{%s,feed="f",state="parked"}`: "0x60 2x60",
			},
			early: time.Minute, late: 20 * time.Minute,
		},
		"FeedmuxTokenExpires": {
			series: map[string]string{
				`feedmux_token_expiry_timestamp_seconds{%s,feed="f"}`: "6300x120",
				`feedmux_token_due_timestamp_seconds{%s,feed="f"}`:    "4500x120",
			},
			early: 15 * time.Minute, late: 17 * time.Minute,
		},
		"FeedmuxOverCapacity": {
			series: map[string]string{`feedmux_topics{%s,feed="f",state="unplaced"}`: "0x60 7x60"},
			early:  15 * time.Minute, late: 17 * time.Minute,
		},
		"FeedmuxTopicsRefused": {
			series: map[string]string{`feedmux_topics{%s,feed="f",state="refused"}`: "0x60 7x60"},
			early:  15 * time.Minute, late: 17 * time.Minute,
		},
		"FeedmuxNATSAway": {
			series: map[string]string{`feedmux_nats_connected{%s}`: hour + "0x60"},
			early:  time.Minute, late: 3 * time.Minute,
		},
		"FeedmuxBufferOld": {
			series: map[string]string{`feedmux_buffer_oldest_seconds{%s}`: "0.1x60 11x60"},
			early:  time.Minute, late: 3 * time.Minute,
		},
		"FeedmuxEventsDropped": {
			series: map[string]string{`feedmux_dropped_total{%s,feed="f",reason="buffer_full"}`: "5x60 6+1x60"},
			early:  0, late: 2 * time.Minute,
		},
		"FeedmuxEventsDropped, for the first time": {
			series: map[string]string{`feedmux_dropped_total{%s,feed="f",reason="left_out"}`: "0x60 500x60"},
			early:  0, late: 2 * time.Minute,
		},
		"FeedmuxNATSForbids": {
			series: map[string]string{`feedmux_nats_refused_total{%s}`: "0x60 1+1x60"},
			early:  0, late: 2 * time.Minute,
		},
		"FeedmuxMessagesSkipped": {
			series: map[string]string{`feedmux_dropped_total{%s,feed="f",reason="malformed"}`: "0x60 0+10x60"},
			early:  5 * time.Minute, late: 15 * time.Minute,
		},
		"FeedmuxMessagesSkipped, for the first time": {
			series: map[string]string{`feedmux_dropped_total{%s,feed="f",reason="truncated"}`: "0x60 5000x60"},
			early:  0, late: 2 * time.Minute,
		},
		"FeedmuxNoticesDropped": {
			series: map[string]string{`feedmux_notices_dropped_total{%s}`: "0x60 1+1x60"},
			early:  0, late: 2 * time.Minute,
		},
		"FeedmuxFeedQuiet": {}, // takes days: below
	}
	for _, r := range group(t, teststorage.New(t)).AlertingRules() {
		if _, tested := cases[r.Name()]; !tested {
			t.Errorf("no case for %s", r.Name())
		}
	}
	for name, c := range cases {
		if c.late == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			series := maps.Clone(healthy)
			maps.Copy(series, c.series)
			if len(series) != len(healthy) {
				t.Fatal("a series that healthy does not have")
			}
			s := load(t, time.Minute, series)
			name, _, _ := strings.Cut(name, ",")
			firing := name + " firing"
			if found := judge(t, s, 30*time.Minute, time.Hour+c.early); found[firing] != nil {
				t.Errorf("it is there after %v", c.early)
			}
			found := judge(t, s, 30*time.Minute, time.Hour+c.late)
			if found[firing] == nil {
				t.Errorf("it is not there after %v; %v is", c.late, slices.Collect(maps.Keys(found)))
			}
			for what, alerts := range found {
				other, state, _ := strings.Cut(what, " ")
				if state == "firing" && other != name && !slices.Contains(c.too, other) {
					t.Errorf("%s comes of it, too", other)
				}
				wantWords(t, what, alerts[0])
			}
		})
	}
}

// wantWords fails where an alert's words did not come out whole.
func wantWords(t *testing.T, what string, a *rules.Alert) {
	t.Helper()
	for _, key := range []string{"summary", "description"} {
		words := a.Annotations.Get(key)
		if words == "" || strings.Contains(words, "<no value>") || strings.Contains(words, "{{") ||
			strings.Contains(words, "<error") || strings.Contains(words, "  ") {
			t.Errorf("%s: its %s is %q", what, key, words)
		}
	}
}

func TestNobodyScrapedIsDown(t *testing.T) {
	found := judge(t, load(t, time.Minute, nil), 0, 5*time.Minute)
	alerts := found["FeedmuxDown firing"]
	if len(alerts) != 1 || len(found) != 1 {
		t.Fatalf("where there is no feedmux: %v", found)
	}
	wantWords(t, "FeedmuxDown", alerts[0])
}

func TestAFeedThatFallsQuietIsHeldAgainstItsOwnPast(t *testing.T) {
	const step, day = 5 * time.Minute, 288 // steps
	steps := func(from string, by, n int) string { return fmt.Sprintf("%s+%dx%d ", from, by, n) }
	for name, c := range map[string]struct {
		events string
		at     time.Duration
		quiet  bool
	}{
		"busy a week ago":        {steps("0", 3000, 8*day) + "7000000x20", 8*day*step + time.Hour, true},
		"still busy":             {steps("0", 3000, 9*day), 8*day*step + time.Hour, false},
		"busy a day ago, new":    {steps("0", 3000, 2*day) + "2000000x20", 2*day*step + time.Hour, true},
		"quiet on this day":      {"5x" + fmt.Sprint(2*day) + " " + steps("5", 3000, 6*day) + "6000000x20", 8*day*step + time.Hour, false},
		"quiet for a short time": {steps("0", 3000, 8*day) + "7000000x20", 8*day*step + 10*time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := load(t, step, map[string]string{`up{%s}`: "1x3000", `feedmux_nats_connected{%s}`: "1x3000", `feedmux_events_total{%s,feed="f"}`: c.events})
			found := judge(t, s, c.at-time.Hour, c.at)
			if alerts := found["FeedmuxFeedQuiet firing"]; (len(alerts) > 0) != c.quiet {
				t.Errorf("there is %v", slices.Collect(maps.Keys(found)))
			} else if c.quiet {
				wantWords(t, name, alerts[0])
			}
		})
	}
}

func TestEachAlertLeadsToItsPage(t *testing.T) {
	for _, r := range group(t, teststorage.New(t)).AlertingRules() {
		if s := r.Labels().Get("severity"); !slices.Contains([]string{"critical", "warning", "info"}, s) {
			t.Errorf("%s: severity %q", r.Name(), s)
		}
		file, anchor, _ := strings.Cut(r.Annotations().Get("runbook"), "#")
		text, err := os.ReadFile(filepath.Join("..", "..", "..", file))
		if err != nil {
			t.Errorf("%s: %v", r.Name(), err)
			continue
		}
		if !slices.Contains(anchors(string(text)), anchor) {
			t.Errorf("%s: %s has no section #%s", r.Name(), file, anchor)
		}
	}
}

// anchors are what the sections of a page are linked by.
func anchors(page string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^##+ (.*)$`).FindAllStringSubmatch(page, -1) {
		words := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(words, " ", "-"))
	}
	return all
}
