package page

import (
	"context"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/console"
	"feedmux/internal/control"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/pool"
)

// colours are a terminal's for the grades of the page.
var colours = map[string]string{"good": "\x1b[32m", "note": "", "warn": "\x1b[33m", "bad": "\x1b[31m"}

// said is what both show of something: a grade, a sentence, and the section that says what to do, or none.
type said struct{ grade, sentence, section string }

// flat is a page without its tags, colours and line breaks.
func flat(page string) string {
	page = regexp.MustCompile(`<[^>]*>|\x1b\[\d*m`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(page)), " ")
}

// onTerminal fails where the console does not say so.
func onTerminal(t *testing.T, page string, want said) {
	t.Helper()
	all := flat(page)
	if !strings.Contains(all, want.sentence) {
		t.Errorf("the terminal does not say %q:\n%s", want.sentence, page)
	}
	if want.section != "" && !strings.Contains(all, "(docs/troubleshooting.md: "+want.section) {
		t.Errorf("the terminal does not name %q:\n%s", want.section, page)
	}
	begin, _, _ := strings.Cut(want.sentence, " ")
	for _, run := range regexp.MustCompile(regexp.QuoteMeta(colours[want.grade])+`[^\x1b]*`).FindAllString(page, -1) {
		if strings.Contains(run, begin) {
			return
		}
	}
	t.Errorf("the terminal does not say %q as %s:\n%q", want.sentence, want.grade, page)
}

// inBrowser fails where none of the parts of a page says so.
func inBrowser(t *testing.T, parts []string, want said) {
	t.Helper()
	for _, part := range parts {
		if text := flat(part); strings.Contains(text, want.sentence) {
			if !strings.Contains(part, `class="`+want.grade+`"`) && !strings.Contains(part, `class="answer `+want.grade+`"`) {
				t.Errorf("the page does not say %q as %s: %s", want.sentence, want.grade, part)
			}
			if want.section != "" && !strings.Contains(text, "(docs/troubleshooting.md: "+want.section) {
				t.Errorf("the page does not name %q: %s", want.section, text)
			}
			return
		}
	}
	t.Errorf("the page does not say %q: %s", want.sentence, parts)
}

// decoded is what the console has of what the page is shown.
func decoded(t *testing.T, o Options) *console.Report {
	t.Helper()
	r, err := o.Report(t.Context(), "", true)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	read, err := console.Read(body, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// changed is a page of a feed that is as change says, and a report with it.
func changed(feed func(*pool.Status), report func(*control.Report)) Options {
	s := twitch()
	if feed != nil {
		feed(&s)
	}
	o := site(s)
	ask := o.Report
	o.Report = func(ctx context.Context, feed string, ledger bool) (control.Report, error) {
		r, err := ask(ctx, feed, ledger)
		if report != nil {
			report(&r)
		}
		return r, err
	}
	return o
}

// failing makes the connections of the first n slots fail.
func failing(n int, state slots.State, why cause.Cause, text string) func(*pool.Status) {
	return func(s *pool.Status) {
		for i := range n {
			s.Slots[i].State, s.Slots[i].LastCause, s.Slots[i].LastError = state, why, text
			s.Slots[i].Confirmed, s.Slots[i].Since = 0, time.Now().Add(-time.Minute)
		}
		s.Topics.Confirmed -= 50 * n
		s.Topics.Assigned += 50 * n
		s.Dark = 50 * n
		s.Account.Probing = n == len(s.Slots)
	}
}

func TestTheTerminalAndThePageSayTheSameOfTrouble(t *testing.T) {
	items := regexp.MustCompile(`(?s)<li class="\w+"><strong>.*?</li>`)
	for name, c := range map[string]struct {
		feed   func(*pool.Status)
		report func(*control.Report)
		want   []said
	}{
		"an outage": {feed: failing(2, slots.Waiting, cause.DNS, "no such host"), want: []said{
			{"bad", "OUTAGE: no connection lives, one slot at a time dials; 100 topics dark", ""}}},
		"no connection yet": {feed: func(s *pool.Status) {
			failing(2, slots.Waiting, cause.HTTP4xx, "404")(s)
			s.Dark = 0
		}, want: []said{{"warn", "connecting: no connection lives yet", ""}}},
		"a slot redials": {feed: failing(1, slots.Waiting, cause.Reset, "gone"), want: []said{
			{"warn", "recovering: 50 of 120 topics confirmed, 50 dark", ""}}},
		"a credential is refused": {feed: failing(1, slots.Parked, cause.Auth, "HTTP 403"), want: []said{
			{"bad", "PARKED: there is no credential that works; 50 of 120 topics confirmed", ""}}},
		"nothing is wanted": {feed: func(s *pool.Status) { *s = pool.Status{Feed: "twitch", Slots: s.Slots} }, want: []said{
			{"warn", "no topics are wanted", "Connected but no events"}}},
		"topics past the capacity, and refused": {want: []said{
			{"warn", "19 topics past the capacity of 100", "Too many topics"}, {"warn", "1 topic", "Topics are refused"}}},
		"old settings": {feed: func(s *pool.Status) { s.Slots[0].Outdated = true }, want: []said{
			{"note", `1 connection still as before the reload; "feedmux renew twitch" hands over`, ""}}},
		"a dead token": {report: func(r *control.Report) {
			r.TokensDie = map[string]time.Time{"twitch": time.Now().Add(-90 * time.Minute)}
		}, want: []said{{"bad", "died 1h 30m ago, at ", "The credential is refused"}}},
		"a token that is to die": {report: func(r *control.Report) {
			r.TokensDie = map[string]time.Time{"twitch": time.Now().Add(20 * time.Minute)}
		}, want: []said{{"warn", "dies in 19m ", "The credential is refused"}}},
		"a token whose renewal is late": {report: func(r *control.Report) {
			r.TokensDie = map[string]time.Time{"twitch": time.Now().Add(90*time.Minute + 5*time.Second)}
			r.TokensDue = map[string]time.Time{"twitch": time.Now().Add(-time.Minute)}
		}, want: []said{{"warn", "dies in 1h 30m, at ", "The credential is refused"}}},
		"events that could not be passed on": {report: func(r *control.Report) {
			r.Lost = map[string]map[string]uint64{"twitch": {"malformed": 5}}
		}, want: []said{{"warn", "5 malformed since the start", "Events are dropped"}}},
		"NATS is away": {report: func(r *control.Report) { r.Delivery.Connected = false }, want: []said{
			{"bad", "AWAY: events wait in the buffer, and are dropped once it is full", "NATS is away"},
			{"warn", "7 buffer_full since the start", "Events are dropped"}}},
		"NATS stands still": {report: func(r *control.Report) { r.Delivery.Unconfirmed = 12 }, want: []said{
			{"warn", "NATS is connected, and has confirmed nothing for 12 s", "Events are dropped"}}},
		"NATS is slow": {report: func(r *control.Report) { r.Delivery.BufferBytes = 12 << 20 }, want: []said{
			{"warn", "NATS takes events more slowly than they come: the buffer is 75 % full", "Events are dropped"}}},
		"NATS forbids": {report: func(r *control.Report) { r.Delivery.Refused, r.Delivery.RefusedAt = 3, time.Now().Add(-2*time.Minute) }, want: []said{
			{"warn", "3 messages since the start, the last 2m 0s ago: the server's permissions do not let feedmux publish there", "NATS is away"}}},
		"NATS is away, and notices are dropped": {report: func(r *control.Report) {
			r.Delivery.Connected, r.Delivery.NoticesWaiting, r.Delivery.NoticesDropped = false, 9, 2
		}, want: []said{{"warn", "9 wait, 2 were dropped", "NATS is away"}}},
		"NATS refuses the login": {report: func(r *control.Report) {
			r.Delivery.Connected, r.Delivery.Trouble = false, "nats: Authorization Violation"
		}, want: []said{{"bad", "AWAY: nats: Authorization Violation; events wait in the buffer, and are dropped once it is full", "NATS is away"}}},
		"NATS is away and the buffer full": {report: func(r *control.Report) {
			r.Delivery.Connected, r.Delivery.BufferBytes = false, r.Delivery.BufferLimit-100
			r.Delivery.DroppedAt = map[string]time.Time{"twitch": time.Now()}
		}, want: []said{{"bad", "AWAY: the buffer is full, and events are being dropped", "NATS is away"}}},
		"the only feed waits for a restart": {feed: func(s *pool.Status) { s.Feed = "" }, report: func(r *control.Report) {
			r.Feeds, r.Readiness.Feeds, r.Notes = nil, nil, []string{"waits for a restart: feed.tz"}
		}, want: []said{{"warn", "none runs; the one of the configuration waits for a restart", ""}}},
		"a full disk": {report: func(r *control.Report) { r.Notes = []string{"the state directory cannot be written: no space"} }, want: []said{
			{"warn", "the state directory cannot be written: no space", ""}}},
		"a loop that stands still": {report: func(r *control.Report) { r.Errors, r.Delivery = []string{"ask delivery: deadline"}, nil }, want: []said{
			{"bad", "ask delivery: deadline", "A loop does not answer"}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := changed(c.feed, c.report)
			terminal := console.Overview(decoded(t, o), console.Look{Color: true, Width: 120})
			parts := items.FindAllString(shows(t, o, "/"), -1)
			for _, want := range c.want {
				onTerminal(t, terminal, want)
				inBrowser(t, parts, want)
			}
		})
	}
}

// What failed is in the table of slots on a terminal, and in a sentence on the page; what to do is the same.
func TestTheTerminalAndThePageGiveTheSameAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		feed func(*pool.Status)
		page string
		do   string
	}{
		"reset":          {failing(1, slots.Waiting, cause.Reset, "gone"), "1 connection is not live (reset): gone", "1006, reset, Broken pipe"},
		"outage":         {failing(2, slots.Waiting, cause.DNS, "no such host"), "2 connections are not live (dns): no such host", "The upstream cannot be reached"},
		"too many dials": {failing(2, slots.Dialing, cause.RateLimited, "HTTP 429"), "2 connections are not live (rate_limited): HTTP 429", "403 or 429 in a loop"},
		"parked":         {failing(2, slots.Parked, cause.Auth, "HTTP 403"), "2 connections are parked (auth): HTTP 403", "The credential is refused"},
		"starved":        {func(s *pool.Status) { s.Slots[0].Starved = time.Now() }, "1 connection is open, but far quieter than before", "Silent drops"},
	} {
		t.Run(name, func(t *testing.T) {
			o := changed(c.feed, nil)
			if page := flat(console.Overview(decoded(t, o), console.Look{})); !strings.Contains(page, c.do) {
				t.Errorf("the terminal does not name %q:\n%s", c.do, page)
			}
			if page := flat(shows(t, o, "/")); !strings.Contains(page, c.page+" →") || !strings.Contains(page, c.do) {
				t.Errorf("the page does not say %q, and %q:\n%s", c.page, c.do, page)
			}
		})
	}
}

func TestTheTerminalAndThePageSayTheSameOfATopic(t *testing.T) {
	answer := regexp.MustCompile(`(?s)<div class="answer \w+">.*?</div>`)
	first := func(change func(*pool.TopicStatus)) func(*pool.Status) {
		return func(s *pool.Status) { change(&s.Ledger[0]) }
	}
	for name, c := range map[string]struct {
		feed   func(*pool.Status)
		report func(*control.Report)
		want   said
	}{
		"it works": {feed: first(func(l *pool.TopicStatus) { l.LastEvent = time.Now() }),
			want: said{"good", "confirmed 1h 30m ago by ack; last event", ""}},
		"quiet":   {want: said{"good", "confirmed 1h 30m ago by ack, but nothing came for 1h 0m", ""}},
		"refused": {feed: first(func(l *pool.TopicStatus) { l.State, l.Slot = topic.Refused, nil }), want: said{"bad", "refused: the upstream says no.", "Topics are refused"}},
		"unplaced": {feed: first(func(l *pool.TopicStatus) { l.State, l.Slot = topic.Unplaced, nil }),
			want: said{"warn", "unplaced: it has no place. 19 of 120 topics are past the capacity of 100", "Too many topics"}},
		"suspect": {feed: func(s *pool.Status) { s.Slots[0].Starved = time.Now() },
			want: said{"warn", "confirmed 1h 30m ago by ack, but slot 0 brings nothing since", "Connected but no events"}},
		"dark": {feed: func(s *pool.Status) {
			failing(1, slots.Waiting, cause.Reset, "gone")(s)
			s.Ledger[0].State, s.Ledger[0].DarkSince = topic.Assigned, time.Now().Add(-150*time.Minute)
		}, want: said{"bad", "(2h 30m): slot 0 is waiting to redial (reset)", "1006, reset, Broken pipe"}},
		"not delivered": {report: func(r *control.Report) { r.Delivery.Connected = false },
			want: said{"bad", "confirmed 1h 30m ago by ack, but NATS is away: events wait in the buffer", "NATS is away"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := changed(c.feed, c.report)
			terminal, found := console.TopicPage(decoded(t, o), "twitch", "raid.0", console.Look{Color: true, Width: 120})
			if !found {
				t.Fatal("the terminal has no such topic")
			}
			parts := answer.FindAllString(shows(t, o, "/?feed=twitch&topic=raid.0"), -1)
			inBrowser(t, parts, c.want)
			onTerminal(t, terminal, c.want)
		})
	}
}

func TestOnlyTheLineOfTheChosenTopicIsJudged(t *testing.T) {
	s := twitch()
	all := control.Report{Feeds: []pool.Status{s}}
	for _, chosen := range []*pool.TopicStatus{nil, lineIn(s, "raid.7")} {
		r, err := judge(all, "twitch", chosen, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		lines := r.Feeds[0].Ledger
		if chosen == nil && len(lines) != 0 || chosen != nil && (len(lines) != 1 || lines[0].Topic != "raid.7") {
			t.Errorf("%d lines of the ledger are judged", len(lines))
		}
	}
	if len(all.Feeds[0].Ledger) != 120 {
		t.Error("the report has lost its ledger")
	}
}
