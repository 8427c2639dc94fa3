package control

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"feedmux/internal/cause"
	"feedmux/pool"
)

// scrape returns the value of each of our series, by its name and labels as they stand in the exposition.
func scrape(t *testing.T, h http.Handler) map[string]string {
	t.Helper()
	w := get(h, "/metrics")
	wantCode(t, w, http.StatusOK)
	series := make(map[string]string)
	for line := range strings.Lines(w.Body.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.Contains(line, "{") {
			name, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		} else {
			name += "}"
		}
		if strings.HasPrefix(name, "feedmux_") {
			series[name] = value
		}
	}
	return series
}

func wantSeries(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

func TestMetricsSayWhatTheLoopsSaid(t *testing.T) {
	o := options(answering(twitch()))
	o.Delivery = delivering(Delivery{
		Connected: true, BufferBytes: 300, OldestSeconds: 0.25, Unconfirmed: 1.5,
		Published: map[string]uint64{"twitch": 4190},
		Dropped:   map[string]map[string]uint64{"twitch": {"buffer_full": 7, "too_big": 1}},
		Gaps:      map[string]map[string]uint64{"twitch": {"nats_broke": 4}},
	})
	o.Feeds()[0].TokenDies = func() time.Time { return time.Unix(1_800_000_000, 0) }
	o.Feeds()[0].TokenDue = func() time.Time { return time.Unix(1_799_990_000, 0) }
	got := scrape(t, Handler(o))
	wantSeries(t, got, map[string]string{
		`feedmux_account_connections{account="pubsub-edge.twitch.tv"}`: "3",
		`feedmux_buffer_bytes`:                                        "300",
		`feedmux_buffer_oldest_seconds`:                               "0.25",
		`feedmux_nats_unconfirmed_seconds`:                            "1.5",
		`feedmux_capacity_topics{feed="twitch"}`:                      "500",
		`feedmux_connections{feed="twitch",state="live"}`:             "2",
		`feedmux_dial_wait_seconds_bucket{le="0.001"}`:                "1",
		`feedmux_dial_wait_seconds_bucket{le="2.5"}`:                  "3",
		`feedmux_dial_wait_seconds_bucket{le="120"}`:                  "3",
		`feedmux_dial_wait_seconds_bucket{le="+Inf"}`:                 "4",
		`feedmux_dial_wait_seconds_count`:                             "4",
		`feedmux_dial_wait_seconds_sum`:                               "125",
		`feedmux_dials_total{feed="twitch",result="ok"}`:              "3",
		`feedmux_dials_total{feed="twitch",result="refused"}`:         "1",
		`feedmux_disconnects_total{cause="reset",feed="twitch"}`:      "1",
		`feedmux_dropped_total{feed="twitch",reason="buffer_full"}`:   "7",
		`feedmux_dropped_total{feed="twitch",reason="unknown_topic"}`: "2",
		`feedmux_dropped_total{feed="twitch",reason="too_big"}`:       "6", // 5 by the pool, 1 by the sink
		`feedmux_events_total{feed="twitch"}`:                         "4200",
		`feedmux_gap_seconds_total{feed="twitch"}`:                    "90",
		`feedmux_gaps_total{cause="nats_broke",feed="twitch"}`:        "4",
		`feedmux_gaps_total{cause="reset",feed="twitch"}`:             "50",
		`feedmux_last_event_timestamp_seconds{feed="twitch"}`:         "1.70000000025e+09",
		`feedmux_nats_connected`:                                      "1",
		`feedmux_odd_events_total{feed="twitch",kind="high_low"}`:     "3",
		`feedmux_ping_rtt_seconds_count{feed="twitch"}`:               "7",
		`feedmux_ping_rtt_seconds_sum{feed="twitch"}`:                 "0.14",
		`feedmux_published_total{feed="twitch"}`:                      "4190",
		`feedmux_token_due_timestamp_seconds{feed="twitch"}`:          "1.79999e+09",
		`feedmux_token_expiry_timestamp_seconds{feed="twitch"}`:       "1.8e+09",
		`feedmux_topics{feed="twitch",state="confirmed"}`:             "96",
		`feedmux_topics{feed="twitch",state="refused"}`:               "1",
	})
	if !slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(name string) bool {
		return strings.HasPrefix(name, `feedmux_build_info{goversion="go`) && strings.HasSuffix(name, `,version="v1.2.3"}`)
	}) {
		t.Error("feedmux_build_info is missing")
	}
}

func TestSeriesThatEverybodyAsksForAreThereBeforeAnythingHappened(t *testing.T) {
	o := options(answering(pool.Status{Feed: "new", Account: pool.AccountStatus{Name: "a"}}))
	o.Delivery = delivering(Delivery{})
	got := scrape(t, Handler(o))
	want := map[string]string{
		`feedmux_account_connections{account="a"}`:         "0",
		`feedmux_dials_total{feed="new",result="ok"}`:      "0",
		`feedmux_events_total{feed="new"}`:                 "0",
		`feedmux_last_event_timestamp_seconds{feed="new"}`: "0",
		`feedmux_published_total{feed="new"}`:              "0",
		`feedmux_nats_connected`:                           "0",
	}
	for _, state := range []string{"closed", "waiting", "dialing", "opening", "live", "leaving"} {
		want[`feedmux_connections{feed="new",state="`+state+`"}`] = "0"
	}
	for _, state := range []string{"unplaced", "assigned", "asked", "confirmed", "refused"} {
		want[`feedmux_topics{feed="new",state="`+state+`"}`] = "0"
	}
	// A rate misses the step from absent to the first value.
	for _, c := range cause.All() {
		want[`feedmux_dials_total{feed="new",result="`+string(c)+`"}`] = "0"
		want[`feedmux_disconnects_total{cause="`+string(c)+`",feed="new"}`] = "0"
		want[`feedmux_gaps_total{cause="`+string(c)+`",feed="new"}`] = "0"
	}
	for _, reason := range pool.SkipReasons() {
		want[`feedmux_dropped_total{feed="new",reason="`+reason+`"}`] = "0"
	}
	wantSeries(t, got, want)
	if len(got) > 200 {
		t.Errorf("%d series for one feed", len(got))
	}
}

func TestFeedsOfOneAccountShareItsSeriesAndTheDialWait(t *testing.T) {
	a, b := twitch(), twitch()
	b.Feed = "second"
	got := scrape(t, Handler(options(answering(a), answering(b))))
	wantSeries(t, got, map[string]string{
		`feedmux_account_connections{account="pubsub-edge.twitch.tv"}`: "3",
		`feedmux_dial_wait_seconds_count`:                              "8",
		`feedmux_dial_wait_seconds_sum`:                                "250",
		`feedmux_events_total{feed="second"}`:                          "4200",
	})
}

func TestReloadsThatFailedShowAsSuch(t *testing.T) {
	o := options()
	wantSeries(t, scrape(t, Handler(o)), map[string]string{"feedmux_reload_success": "1"})
	good := false
	o.Reload = func() (bool, time.Time) { return good, time.Now() }
	h := Handler(o)
	wantSeries(t, scrape(t, h), map[string]string{"feedmux_reload_success": "0"})
	good = true
	wantSeries(t, scrape(t, h), map[string]string{"feedmux_reload_success": "1"})
}

func TestATokenWhoseEndIsNotKnownYetHasNoSeries(t *testing.T) {
	o := options(answering(twitch()))
	o.Feeds()[0].TokenDies = func() time.Time { return time.Time{} }
	o.Feeds()[0].TokenDue = o.Feeds()[0].TokenDies
	if value, shown := scrape(t, Handler(o))[`feedmux_token_due_timestamp_seconds{feed="twitch"}`]; shown {
		t.Errorf("another one is due at %s", value)
	}
	if value, shown := scrape(t, Handler(o))[`feedmux_token_expiry_timestamp_seconds{feed="twitch"}`]; shown {
		t.Errorf("it dies at %s", value)
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	o := options(answering(twitch()))
	o.Feeds()[0].TokenDies, o.Feeds()[0].TokenDue = time.Now, time.Now
	w := get(Handler(o), "/metrics")
	wantCode(t, w, http.StatusOK)
	// All of them are linted, not only those that happen to have a value here.
	descs := make(chan *prometheus.Desc, 100)
	newCollector(&o).Describe(descs)
	close(descs)
	for d := range descs {
		name := regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())
		if name == nil || !strings.Contains(w.Body.String(), "# TYPE "+name[1]+" ") {
			t.Errorf("not shown: %v", d)
		}
	}
	for _, ours := range []string{"feedmux_topics{", "go_goroutines ", "process_start_time_seconds "} {
		// The process collector has nothing to read outside Linux.
		if _, err := os.Stat("/proc/self/stat"); err != nil && strings.HasPrefix(ours, "process_") {
			continue
		}
		if !strings.Contains(w.Body.String(), ours) {
			t.Errorf("%s is missing", ours)
		}
	}
	problems, err := promlint.New(bytes.NewReader(w.Body.Bytes())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNoTopicIsALabel(t *testing.T) {
	for name := range scrape(t, Handler(options(answering(twitch())))) {
		if strings.Contains(name, "video-playback-by-id") {
			t.Errorf("a topic in %s", name)
		}
	}
}

func TestMetricsLeaveOutWhatDoesNotAnswerAndSaySoNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := options(answering(twitch()), stuck("silent"))
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		h := Handler(o)

		got := scrape(t, h)
		wantSeries(t, got, map[string]string{
			`feedmux_events_total{feed="twitch"}`:        "4200",
			`feedmux_published_total{feed="twitch"}`:     "0",
			`feedmux_events_total{feed="silent"}`:        "",
			`feedmux_topics{feed="silent",state="live"}`: "",
			`feedmux_dial_wait_seconds_count`:            "", // half of it would look like a counter that went back
		})
		scrape(t, h)
		if lines := strings.Count(log.String(), "silent"); lines != 1 {
			t.Errorf("%d lines about it after two scrapes, want 1:\n%s", lines, &log)
		}
		time.Sleep(time.Minute)
		scrape(t, h)
		if lines := strings.Count(log.String(), "silent"); lines != 2 {
			t.Errorf("%d lines about it a minute later, want 2:\n%s", lines, &log)
		}
	})
}

func TestMetricsOfFeedsDoNotNeedDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(answering(twitch()))
		o.Delivery = stuckDelivery
		got := scrape(t, Handler(o))
		wantSeries(t, got, map[string]string{
			`feedmux_events_total{feed="twitch"}`:    "4200",
			`feedmux_dial_wait_seconds_count`:        "4",
			`feedmux_published_total{feed="twitch"}`: "",
			`feedmux_nats_connected`:                 "",
			`feedmux_buffer_bytes`:                   "",

			`feedmux_dropped_total{feed="twitch",reason="too_big"}`: "", // the pool's part alone would be less than before
		})
	})
}
