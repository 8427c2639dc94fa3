package control

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/topic"
	"feedmux/pool"
)

// shown is what the tests look at of a Report, as a program that reads it would.
type shown struct {
	Version   string
	Started   time.Time
	Uptime    float64 `json:"uptime_s"`
	Readiness struct {
		Ready bool
		Share float64
	}
	Feeds []struct {
		Feed   string
		Topics map[string]int
		Slots  []struct{ State string }
		Ledger []struct{ Topic, State, By string }
	}
	Delivery *struct {
		Connected bool
		Published map[string]uint64
	}
	Errors []string
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in: %s", err, w.Body)
	}
	return v
}

func feedNames(r shown) []string {
	var names []string
	for _, f := range r.Feeds {
		names = append(names, f.Feed)
	}
	return names
}

func TestTheReportShowsFeedsAndDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(answering(twitch()), answering(pool.Status{Feed: "other"}))
		o.Delivery = delivering(Delivery{Connected: true, Published: map[string]uint64{"twitch": 4199}})
		time.Sleep(90 * time.Second)
		w := get(Handler(o), "/api/status")
		wantCode(t, w, http.StatusOK)
		r := decode[shown](t, w)

		if r.Version != "v1.2.3" || r.Uptime != 90 || !r.Started.Equal(o.Started) {
			t.Errorf("version %q, up for %v s since %v; want v1.2.3, 90 s, %v", r.Version, r.Uptime, r.Started, o.Started)
		}
		if got := feedNames(r); !slices.Equal(got, []string{"twitch", "other"}) {
			t.Fatalf("feeds are %q, want them as configured", got)
		}
		f := r.Feeds[0]
		if f.Topics["confirmed"] != 96 || f.Topics["wanted"] != 103 || len(f.Slots) != 3 || f.Slots[2].State != "dialing" {
			t.Errorf("the feed came out as %+v", f)
		}
		if f.Ledger != nil {
			t.Error("a ledger that nobody asked for")
		}
		if r.Delivery == nil || !r.Delivery.Connected || r.Delivery.Published["twitch"] != 4199 {
			t.Errorf("delivery came out as %+v", r.Delivery)
		}
		if !r.Readiness.Ready || r.Readiness.Share != 96.0/101 {
			t.Errorf("readiness came out as %+v", r.Readiness)
		}
		if r.Errors != nil {
			t.Errorf("errors: %q", r.Errors)
		}
	})
}

func TestTheReportSaysWhatIsLostWhoeverCountsIt(t *testing.T) {
	feed := twitch()
	feed.Counters.Skipped["late"], feed.Counters.Skipped["malformed"] = 9, 0
	o := options(answering(feed), answering(pool.Status{Feed: "other"}))
	o.Delivery = delivering(Delivery{Dropped: map[string]map[string]uint64{
		"twitch": {"too_big": 1, "buffer_full": 7, "drain": 0}, "other": {"buffer_full": 0},
	}})
	type lost struct{ Lost map[string]map[string]uint64 }
	got := decode[lost](t, get(Handler(o), "/api/status")).Lost
	want := map[string]uint64{"unknown_topic": 2, "too_big": 6, "buffer_full": 7}
	if len(got) != 1 || !maps.Equal(got["twitch"], want) {
		t.Errorf("lost are %v, want %v", got, want)
	}
	if got := decode[lost](t, get(Handler(options()), "/api/status")).Lost; got == nil || len(got) > 0 {
		t.Errorf("where nothing is lost: %v, want that said", got)
	}
	synctest.Test(t, func(t *testing.T) {
		o.Delivery = stuckDelivery
		if got := decode[lost](t, get(Handler(o), "/api/status")).Lost; got != nil {
			t.Errorf("without what delivery counts, %v are lost", got)
		}
	})
}

func TestTheReportSaysWhenTokensDieAndAnotherOneIsDue(t *testing.T) {
	dies := time.Unix(1_800_000_000, 0).UTC()
	feed := answering(twitch())
	feed.TokenDies = func() time.Time { return dies }
	feed.TokenDue = func() time.Time { return dies.Add(-time.Hour) }
	unknown := answering(pool.Status{Feed: "unknown"})
	unknown.TokenDies = func() time.Time { return time.Time{} }
	unknown.TokenDue = unknown.TokenDies
	o := options(feed, unknown, answering(pool.Status{Feed: "none"}))
	got := decode[struct {
		Die map[string]time.Time `json:"tokens_die"`
		Due map[string]time.Time `json:"tokens_due"`
	}](t, get(Handler(o), "/api/status"))
	if len(got.Die) != 1 || !got.Die["twitch"].Equal(dies) || len(got.Due) != 1 || !got.Due["twitch"].Equal(dies.Add(-time.Hour)) {
		t.Errorf("got %v", got)
	}
}

func TestTheReportCanBeOfOneFeedAndHoldItsLedger(t *testing.T) {
	h := Handler(options(answering(pool.Status{Feed: "other"}), answering(twitch())))

	w := get(h, "/api/status?feed=twitch&ledger=1")
	wantCode(t, w, http.StatusOK)
	r := decode[shown](t, w)
	if got := feedNames(r); !slices.Equal(got, []string{"twitch"}) {
		t.Fatalf("feeds are %q, want twitch alone", got)
	}
	ledger := r.Feeds[0].Ledger
	if len(ledger) != 1 || ledger[0].Topic != "video-playback-by-id.123" ||
		ledger[0].State != "confirmed" || ledger[0].By != "ack" {
		t.Errorf("the ledger came out as %+v", ledger)
	}

	if r := decode[shown](t, get(h, "/api/status?ledger=1")); len(r.Feeds) != 2 || len(r.Feeds[1].Ledger) != 1 {
		t.Errorf("with the ledger of all feeds: %+v", r.Feeds)
	}
	if r := decode[shown](t, get(h, "/api/status?feed=twitch&ledger=0")); r.Feeds[0].Ledger != nil {
		t.Error("ledger=0 shows a ledger")
	}
}

func TestTheReportCanBeOfOneTopic(t *testing.T) {
	feed := twitch()
	feed.Ledger = append(feed.Ledger, pool.TopicStatus{Topic: "raid.1", State: topic.Unplaced}, pool.TopicStatus{Topic: "raid.2"})
	h := Handler(options(answering(feed), answering(pool.Status{Feed: "other"})))
	w := get(h, "/api/status?feed=twitch&topic=raid.1")
	wantCode(t, w, http.StatusOK)
	r := decode[shown](t, w)
	if len(r.Feeds) != 1 || len(r.Feeds[0].Ledger) != 1 || r.Feeds[0].Ledger[0].Topic != "raid.1" {
		t.Errorf("asked for raid.1: %+v", r.Feeds)
	}
}

func TestAQuestionThatMakesNoSenseIsRefused(t *testing.T) {
	h := Handler(options(answering(twitch())))
	for query, c := range map[string]struct {
		code int
		name string // what the answer must name
	}{
		"feed=nosuch":              {http.StatusNotFound, "nosuch"},
		"ledgr=1":                  {http.StatusBadRequest, "ledgr"},
		"ledger=maybe":             {http.StatusBadRequest, "maybe"},
		"ledger":                   {http.StatusBadRequest, "ledger"},
		"feed=twitch&feed=twitch":  {http.StatusBadRequest, "feed"},
		"feed=%zz":                 {http.StatusBadRequest, "%zz"},
		"topic=raid.1":             {http.StatusBadRequest, "feed=NAME"},
		"feed=twitch&topic=raid.1": {http.StatusNotFound, "raid.1"},
	} {
		w := get(h, "/api/status?"+query)
		if w.Code != c.code {
			t.Errorf("?%s: status code %d, want %d", query, w.Code, c.code)
		}
		if e := decode[map[string]string](t, w); !strings.Contains(e["error"], c.name) {
			t.Errorf("?%s: the answer does not name %q: %s", query, c.name, w.Body)
		}
	}
}

func TestTheReportNamesWhoDoesNotAnswerAndShowsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(stuck("first"), answering(twitch()), stuck("third"))
		o.Delivery = stuckDelivery
		asked := time.Now()
		w := get(Handler(o), "/api/status")
		wantCode(t, w, http.StatusOK)
		if waited := time.Since(asked); waited != patience {
			t.Errorf("waited %v for all together, want %v", waited, patience)
		}
		r := decode[shown](t, w)
		if got := feedNames(r); !slices.Equal(got, []string{"twitch"}) {
			t.Errorf("feeds are %q, want twitch", got)
		}
		if r.Delivery != nil {
			t.Errorf("delivery came out as %+v", r.Delivery)
		}
		if len(r.Errors) != 3 || !strings.Contains(r.Errors[0], "first") || !strings.Contains(r.Errors[1], "third") ||
			!strings.Contains(r.Errors[2], "delivery") {
			t.Errorf("errors: %q", r.Errors)
		}
		if r.Readiness.Ready {
			t.Error("ready, with feeds that do not answer")
		}
	})
}
