package page

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	_ "feedmux/internal/bubble"
	"feedmux/internal/cause"
	"feedmux/internal/control"
	"feedmux/internal/history"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/pool"
	"feedmux/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Now().Add(-90 * time.Minute)

// twitch is a feed of two slots and 120 topics: 100 confirmed, 19 without a place, one refused.
func twitch() pool.Status {
	s := pool.Status{
		Feed: "twitch", Protocol: "twitch-pubsub", Account: pool.AccountStatus{Name: "pubsub.example", Connections: 2, Limit: 10},
		Capacity: 100, Topics: pool.TopicCounts{Wanted: 120, Confirmed: 100, Unplaced: 19, Refused: 1},
		Slots: []pool.SlotStatus{
			{Slot: 0, State: slots.Live, Since: began, Life: 1, Topics: 50, Confirmed: 50, PingRTT: pool.Seconds(23 * time.Millisecond), LastFrame: time.Now()},
			{Slot: 1, State: slots.Live, Since: began, Life: 4, Topics: 50, Confirmed: 50, LastCause: cause.Reset, LastError: "reading: connection reset", LastFrame: time.Now()},
		},
		Counters: pool.Counters{Events: 1234567, LastEvent: time.Now()},
	}
	for i := range 120 {
		line := pool.TopicStatus{Topic: shard.Topic(fmt.Sprintf("raid.%d", i)), Subject: fmt.Sprintf("feed.twitch.raid.%d", i), Since: began}
		switch {
		case i < 100:
			slot := shard.Slot(i / 50)
			line.State, line.By, line.Slot, line.LastEvent = topic.Confirmed, topic.ByAck, &slot, time.Now().Add(-time.Hour)
		case i < 119:
			line.State, line.Reason = topic.Unplaced, "no slot has room"
		default:
			line.State, line.Reason = topic.Refused, "ERR_BADTOPIC"
		}
		s.Ledger = append(s.Ledger, line)
	}
	return s
}

// site is a page of these feeds.
func site(feeds ...pool.Status) Options {
	report := func(_ context.Context, feed string, ledger bool) (control.Report, error) {
		r := control.Report{
			Version: "v1.2.3", Started: began, Readiness: control.Readiness{Ready: true, Needed: 0.9},
			Delivery: &control.Delivery{Connected: true, Server: "nats://127.0.0.1:4222", BufferBytes: 1 << 20, BufferLimit: 16 << 20,
				Published: map[string]uint64{"twitch": 1234560}, Dropped: map[string]map[string]uint64{"twitch": {"buffer_full": 7}}},
		}
		for _, s := range feeds {
			if feed != "" && s.Feed != feed {
				continue
			}
			if !ledger {
				s.Ledger = nil
			}
			ready := control.FeedReadiness{Feed: s.Feed, Share: s.Topics.Ready(), Confirmed: s.Topics.Confirmed, Placeable: s.Topics.Placeable()}
			ready.Ready = ready.Share >= r.Readiness.Needed
			r.Readiness.Ready = r.Readiness.Ready && ready.Ready
			r.Readiness.Feeds, r.Feeds = append(r.Readiness.Feeds, ready), append(r.Feeds, s)
		}
		if feed != "" && len(r.Feeds) == 0 {
			return r, fmt.Errorf("feed %q: %w", feed, control.ErrNoFeed)
		}
		return r, nil
	}
	return Options{Report: report, Hour: func(string) []history.Sample { return nil }}
}

func ask(t *testing.T, o Options, address string) (code int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	New(o).ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
	if body = w.Body.String(); !utf8.ValidString(body) {
		t.Errorf("%s: the answer is not UTF-8", address)
	}
	return w.Code, body
}

// shows asks for a page that is there and holds these words.
func shows(t *testing.T, o Options, address string, words ...string) string {
	t.Helper()
	code, body := ask(t, o, address)
	if code != http.StatusOK {
		t.Fatalf("%s: %d: %.300s", address, code, body)
	}
	for _, word := range words {
		if !strings.Contains(body, word) {
			t.Errorf("%s does not show %q", address, word)
		}
	}
	return body
}

func TestThePageShowsWhatIsGoingOn(t *testing.T) {
	body := shows(t, site(twitch()), "/", "v1.2.3", "100 of 100 placeable topics confirmed", "1,234,567", "1,234,560",
		"connected", "1 MiB", "buffer_full", "1h 30m ago", "pubsub.example", "23 ms", "19 topics past the capacity of 100",
		"100 of 120 topics confirmed: all that have a place", "1 to 50 of 120 topics", "page 1 of 3")
	if n := strings.Count(body, "data-slot="); n != 2 {
		t.Errorf("%d slots are shown, want 2", n)
	}
}

func TestTheLedgerIsSearchedFilteredAndPaged(t *testing.T) {
	o := site(twitch())
	rows := regexp.MustCompile(`<tr role="row"><th role="rowheader" scope="row"><a`)
	for address, want := range map[string]int{
		"/":                                    50,
		"/?feed=twitch&page=3":                 20,
		"/?feed=twitch&page=99":                20, // the last: topics may go while somebody looks
		"/?feed=twitch&state=unplaced":         19,
		"/?feed=twitch&state=refused":          1,
		"/?feed=twitch&state=dark":             0,
		"/?feed=twitch&q=RAID.11":              11, // 11, 110 to 119
		"/?feed=twitch&q=feed.twitch.raid.7":   11,
		"/?feed=twitch&q=raid.11&state=":       11,
		"/?feed=twitch&q=raid.1&state=refused": 1,
		"/?feed=twitch&q=nothing":              0,
	} {
		if got := len(rows.FindAllString(shows(t, o, address), -1)); got != want {
			t.Errorf("%s shows %d topics, want %d", address, got, want)
		}
	}
	shows(t, o, "/?feed=twitch&state=confirmed&q=raid&page=2", `href="?feed=twitch&amp;q=raid&amp;state=confirmed#ledger"`)
}

func TestASecondFeedIsNotAskedForItsLedger(t *testing.T) {
	other := twitch()
	other.Feed = "other"
	o := site(twitch(), other)
	asked := make(map[string]bool)
	report := o.Report
	o.Report = func(ctx context.Context, feed string, ledger bool) (control.Report, error) {
		asked[feed] = ledger
		return report(ctx, feed, ledger)
	}
	if body := shows(t, o, "/", `href="?feed=other#ledger"`); strings.Contains(body, "raid.1") {
		t.Error("topics are shown though no feed was chosen")
	}
	shows(t, o, "/?feed=other", "Ledger of other")
	if asked["twitch"] || !asked["other"] {
		t.Errorf("ledgers asked for: %v", asked)
	}
}

func TestWrongAddressesAreAnsweredClearly(t *testing.T) {
	for address, want := range map[string]struct {
		code int
		word string
	}{
		"/?fed=twitch":            {400, "no such parameter"},
		"/?feed=twitch&feed=x":    {400, "given 2 times"},
		"/?page=0":                {400, "a number from 1 on"},
		"/?page=x":                {400, "a number from 1 on"},
		"/?state=asleep":          {400, "unplaced"},
		"/?topic=raid.1":          {400, "needs feed"},
		"/?q=%zz":                 {400, "read the query"},
		"/?feed=kite":             {404, "no feed called kite"},
		"/?feed=%3Cscript%3E":     {404, "no feed called &lt;script&gt;"},
		"/?feed=twitch&topic=no":  {404, "feedmux topics list twitch"},
		"/page/":                  {404, ""},
		"/page/templates/x":       {404, ""},
		"/page/..%2Fpage.go":      {404, ""},
		"/page/style.css/..%2f..": {404, ""},
	} {
		code, body := ask(t, site(twitch()), address)
		if code != want.code || !strings.Contains(body, want.word) {
			t.Errorf("%s: %d, want %d with %q: %.400s", address, code, want.code, want.word, body)
		}
	}
}

func TestTheFilesAreThere(t *testing.T) {
	for name, kind := range map[string]string{"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		w := httptest.NewRecorder()
		New(site()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/page/"+name, nil))
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || w.Body.Len() < 100 {
			t.Errorf("%s: %d, %s, %d bytes", name, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
	}
}

// TestHostileNamesAreHarmless: whatever an upstream calls things, or says of them.
func TestHostileNamesAreHarmless(t *testing.T) {
	hostile := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `javascript:alert(1)`, "line\nbreak\r\ttab", "\u202egnp.exe",
		"zero\u200bwidth\u2066", "bad\xff\xfeutf8", "nul\x00", strings.Repeat("W", 5000), "e" + strings.Repeat("\u0301", 500), "&amp;{{.}}", `'"` + "`",
	}
	s := twitch()
	s.Account.Name = hostile[0]
	for i, name := range hostile {
		s.Ledger[i].Topic, s.Ledger[i].Subject, s.Ledger[i].Reason = shard.Topic(name), name, name
	}
	s.Slots[1].State, s.Slots[1].LastError = slots.Parked, strings.Join(hostile, " ")
	o := site(s)
	addresses := []string{"/"}
	for _, name := range hostile {
		addresses = append(addresses, "/?"+url.Values{"feed": {"twitch"}, "topic": {name}}.Encode(), "/?"+url.Values{"q": {name}}.Encode())
	}
	for _, address := range addresses {
		_, body := ask(t, o, address)
		for _, never := range []string{"<script>alert", "<img", "\u202e", "\u2066", "\u200b", "\x00", "\xff", strings.Repeat("\u0301", 4), `href="javascript`} {
			// What was searched for is shown as it was typed, in its field: there it can do nothing.
			if strings.Contains(regexp.MustCompile(`<input type="search"[^>]*>`).ReplaceAllString(body, ""), never) {
				t.Errorf("%.80q shows %q", address, never)
			}
		}
		for _, word := range strings.FieldsFunc(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " "), func(r rune) bool { return r == ' ' || r == '\n' }) {
			if utf8.RuneCountInString(word) > 10*longest {
				t.Errorf("%.80q shows a word of %d characters", address, len(word))
			}
		}
	}
	// The link of each leads to it.
	for _, m := range regexp.MustCompile(`<th role="rowheader" scope="row"><a href="([^"]*)"`).FindAllStringSubmatch(shows(t, o, "/"), len(hostile)) {
		if code, _ := ask(t, o, "/"+html.UnescapeString(m[1])); code != 200 {
			t.Errorf("%.80q: %d", m[1], code)
		}
	}
}

func TestAFeedThatDoesNotAnswerIsStillOnThePage(t *testing.T) {
	o := site()
	o.Report = func(context.Context, string, bool) (control.Report, error) {
		return control.Report{Errors: []string{"ask the loop of delivery: <deadline>"}, Readiness: control.Readiness{
			Feeds: []control.FeedReadiness{{Feed: "twitch", Error: "ask the loop of feed twitch: deadline"}}}}, nil
	}
	shows(t, o, "/", "stuck: ask the loop of delivery: &lt;deadline&gt;", "ask the loop of feed twitch: deadline", "NOT READY",
		"The loop of delivery does not answer")
	if code, _ := ask(t, o, "/?feed=twitch&topic=raid.7"); code != http.StatusOK {
		t.Errorf("a topic of it: %d", code)
	}
}

func TestATopicsPageAnswersFirst(t *testing.T) {
	body := shows(t, site(twitch()), "/?feed=twitch&topic=raid.7", "Quiet, not broken", "feed.twitch.raid.7", "Back to the ledger")
	if strings.Index(body, "Quiet, not broken") > strings.Index(body, "What to look at") {
		t.Error("the answer is not the first thing on the page")
	}
}

func TestNoMoreThanTwoLedgersAreCopiedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := site(twitch())
		report, release, copying := o.Report, make(chan struct{}), make(chan struct{}, 10)
		o.Report = func(ctx context.Context, feed string, ledger bool) (control.Report, error) {
			if ledger {
				copying <- struct{}{}
				<-release
			}
			return report(ctx, feed, ledger)
		}
		h := New(o)
		codes, bodies := make(chan int, 3), make(chan string, 3)
		for range 3 {
			go func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?feed=twitch&page=2", nil))
				codes <- w.Code
				bodies <- w.Body.String()
			}()
		}
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("the third got %d, want 503", code)
		}
		if body := <-bodies; !strings.Contains(body, `<a href="?feed=twitch&amp;page=2">Try again</a>`) || !strings.Contains(body, `http-equiv="refresh"`) {
			t.Errorf("the third cannot try the same again: %s", body)
		}
		if len(copying) != 2 {
			t.Errorf("%d ledgers were copied, want 2", len(copying))
		}
		close(release)
		if a, b := <-codes, <-codes; a != 200 || b != 200 {
			t.Errorf("the others got %d and %d", a, b)
		}
	})
}

// TestNoTwoElementsHaveTheSameId: names of feeds are part of ids.
func TestNoTwoElementsHaveTheSameId(t *testing.T) {
	var feeds []pool.Status
	for _, name := range []string{"a", "a-hour", "feed-a", "title", "hour-a", "trouble", "ledger"} {
		s := twitch()
		s.Feed = name
		feeds = append(feeds, s)
	}
	seen := make(map[string]bool)
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(shows(t, site(feeds...), "/?feed=a&topic=raid.7"), -1) {
		if seen[m[1]] {
			t.Errorf("two elements have the id %q", m[1])
		}
		seen[m[1]] = true
	}
	if !seen["feed-a-hour"] || !seen["hour-a"] {
		t.Errorf("the feeds have no ids of their own: %v", seen)
	}
}

func TestTopicsThatArePutOffAreATrouble(t *testing.T) {
	o := changed(func(s *pool.Status) {
		s.Topics.Confirmed, s.Topics.Assigned, s.Slots[0].Confirmed = 70, 30, 20
		s.PutOff = pool.PutOff{Topics: 30, First: "raid.1", Reason: "ERR_TOO_MANY_TOPICS"}
	}, nil)
	const want = "30 topics: the upstream&#39;s answer is neither yes nor no: ERR_TOO_MANY_TOPICS"
	for _, address := range []string{"/", "/?feed=twitch&topic=raid.99"} {
		shows(t, o, address, want, "options.full_errors", `href="?feed=twitch&amp;state=assigned#ledger"`)
	}
}

func TestWhatIsOverIsNotWhatToLookAt(t *testing.T) {
	trouble := regexp.MustCompile(`(?s)<section id="trouble".*?</section>`)
	for ago, want := range map[time.Duration]bool{3 * time.Minute: true, time.Hour: false} {
		o := changed(nil, func(r *control.Report) {
			r.Delivery.Refused, r.Delivery.RefusedAt = 1, time.Now().Add(-ago)
			r.Delivery.DroppedAt = map[string]time.Time{"twitch": time.Now().Add(-ago)}
		})
		body := shows(t, o, "/", "buffer_full") // Delivery says it for ever
		for _, word := range []string{"7 buffer_full since the start", "1 message since the start"} {
			if got := strings.Contains(trouble.FindString(body), word); got != want {
				t.Errorf("%q, the last %v ago: to be looked at is %v, want %v", word, ago, got, want)
			}
		}
	}
}

func TestWithoutFeedsThePageDoesNotSayWhatItDoesNotKnow(t *testing.T) {
	o := site()
	if body := shows(t, o, "/", "No feed runs", "none: add [[feed]] tables"); strings.Contains(body, "No feed is configured") {
		t.Error("it says what is configured")
	}
}

func TestAFailureOfTheFiguresIsAPageToo(t *testing.T) {
	o := site(twitch())
	o.Report = func(context.Context, string, bool) (control.Report, error) {
		return control.Report{}, errors.New("<out>")
	}
	if code, body := ask(t, o, "/"); code != 500 || !strings.Contains(body, "&lt;out&gt;") {
		t.Errorf("%d: %s", code, body)
	}
}

// TestAnAnswerIsBounded: 30,000 topics are pages, not one answer.
func TestAnAnswerIsBounded(t *testing.T) {
	s := twitch()
	for i := range 30_000 {
		s.Ledger = append(s.Ledger, pool.TopicStatus{Topic: shard.Topic(fmt.Sprintf("x.%d.%s", i, strings.Repeat("y", 900)))})
	}
	if body := shows(t, site(s), "/?feed=twitch&q=x."); len(body) > 200<<10 {
		t.Errorf("%d bytes", len(body))
	}
}
