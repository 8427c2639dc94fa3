package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"feedmux/internal/control/local"
	"feedmux/internal/sink/tap"
	"feedmux/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a daemon with the feed "twitch".
type fake struct {
	tap    tap.Tap
	got    local.Change
	reload local.ReloadResult
}

func (f *fake) Topics(_ context.Context, feed string) ([]local.TopicEntry, error) {
	if feed != "twitch" {
		return nil, local.NoFeed(feed, []string{"twitch"})
	}
	return []local.TopicEntry{
		{Topic: "raid.1", Priority: 5, From: local.FromConfig, Where: "config.toml:12", State: "confirmed"},
		{Topic: "raid.\x1b[2J", From: local.FromRunTime, Options: map[string]any{"mode": "full"}, State: "refused", Reason: "ERR_BADTOPIC\u009b"},
	}, nil
}

func (f *fake) ChangeTopics(_ context.Context, _ string, c local.Change) (local.ChangeResult, error) {
	f.got = c
	done := local.ChangeResult{Wanted: 1503, Unplaced: 1003, Capacity: 500}
	for _, t := range c.Topics {
		if t.Name == "from.file" {
			return done, &local.Error{Kind: local.Conflict, Field: "topics", Text: "from.file is from topics.txt:12: remove it there"}
		}
		done.Added = append(done.Added, t.Name)
	}
	return done, nil
}

func (f *fake) Renew(context.Context, string, string) error { return nil }

func (f *fake) Reload(context.Context, string) (local.ReloadResult, error) { return f.reload, nil }

// Tail is of a stream that has three events, and then more than it holds.
func (f *fake) Tail(context.Context, string, []string) (*tap.Stream, error) {
	s := f.tap.Subscribe(func(string, shard.Topic) bool { return true })
	for i := range 5000 {
		f.tap.Offer("twitch", "raid.1", "feed.twitch.raid=2E1", fmt.Appendf(nil, `{"n":%d,"s":"`+"\u009b"+`2J"}`, i), time.Unix(1, 0))
	}
	return s, nil
}

const statusJSON = `{"version": "v1", "uptime_s": 60, "readiness": {"ready": true}, "feeds": [{"feed": "twitch", "capacity": 50,
 "topics": {"wanted": 1, "confirmed": 1}, "slots": [{"slot": 0, "state": "live", "topics": 1, "confirmed": 1, "events": 600}],
 "ledger": [{"topic": "raid.1", "state": "confirmed", "by": "ack", "slot": 0, "events": 600}]}]}`

// running serves f until the test ends, and returns its socket.
func running(t *testing.T, f local.Daemon) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "feedmux")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := local.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(ctx, local.Options{Daemon: f, Log: slog.New(slog.DiscardHandler),
			Status: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if q := r.URL.Query(); q.Get("feed") != "" && q.Get("feed") != "twitch" {
					http.Error(w, `{"error": "there is none called so", "field": "feed"}`, http.StatusNotFound)
					return
				} else if topic := q.Get("topic"); topic != "" && topic != "raid.1" {
					http.Error(w, `{"error": "it is not wanted", "field": "topic"}`, http.StatusNotFound)
					return
				}
				fmt.Fprint(w, statusJSON)
			})})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Path()
}

type marked struct {
	error
	kind string
}

// do runs a command as a user would type it. kind is what an error was marked as: "failed", "misconfigured" or "usage".
func do(t *testing.T, stdin string, args ...string) (out, kind string, err error) {
	t.Helper()
	out, _, kind, err = doing(t, stdin, args...)
	return out, kind, err
}

func doing(t *testing.T, stdin string, args ...string) (out, errOut, kind string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	mark := func(kind string) func(error) error {
		return func(err error) error {
			if err == nil {
				return nil
			}
			return marked{err, kind}
		}
	}
	root := &cobra.Command{Use: "feedmux", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(Commands(mark("failed"), mark("misconfigured"))...)
	var b, errs bytes.Buffer
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&b)
	root.SetErr(&errs)
	err = root.ExecuteContext(ctx)
	if m := (marked{}); errors.As(err, &m) {
		kind = m.kind
	} else if err != nil {
		kind = "usage"
	}
	return b.String(), errs.String(), kind, err
}

// says wants the command to succeed and to print all parts.
func says(t *testing.T, out string, err error, parts ...string) {
	t.Helper()
	if err != nil {
		t.Errorf("it failed: %v", err)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("want %q in\n%s", part, out)
		}
	}
	if strings.ContainsAny(out, "\x1b\u009b") {
		t.Errorf("a terminal would obey: %q", out)
	}
}

func TestStatusShowsEverythingAFeedOrATopic(t *testing.T) {
	socket := running(t, &fake{})
	out, _, err := do(t, "", "status", "--socket", socket)
	says(t, out, err, "feedmux v1  up for 1m 0s", "its topic is confirmed")
	out, _, err = do(t, "", "status", "twitch", "--socket", socket)
	says(t, out, err, "confirmed: 1\n  raid.1 ")
	out, _, err = do(t, "", "status", "twitch", "raid.1", "--socket", socket)
	says(t, out, err, "raid.1  of feed twitch", "confirmed")
	out, _, err = do(t, "", "status", "--json", "--socket", socket)
	var v struct{ Version string }
	if says(t, out, err); json.Unmarshal([]byte(out), &v) != nil || v.Version != "v1" {
		t.Errorf("as JSON: %s", out)
	}
	if _, kind, err := do(t, "", "status", "kite", "--socket", socket); kind != "failed" || !strings.Contains(err.Error(), "none called so") {
		t.Errorf("%s: %v", kind, err)
	}
}

func TestTopicsAreListedAndChanged(t *testing.T) {
	f := &fake{}
	socket := running(t, f)
	out, _, err := do(t, "", "topics", "list", "twitch", "--socket", socket)
	says(t, out, err, "FROM            REASON\n", "raid.1 ", "confirmed  5                    config.toml:12\n",
		`raid.\x1b[2J  refused    0         mode=full  run-time        ERR_BADTOPIC\u009b`+"\n")
	out, _, err = do(t, "", "topics", "list", "twitch", "raid.1", "--socket", socket)
	if says(t, out, err, "raid.1 "); strings.Contains(out, "REASON") {
		t.Errorf("a column of nothing:\n%s", out)
	}
	out, _, err = do(t, "", "topics", "list", "twitch", "raid.1", "--json", "--socket", socket)
	says(t, out, err, `"topic": "raid.1"`)

	out, _, err = do(t, "b # two\n\n# none\n\ta#b \nb\n", "topics", "add", "twitch", "a", "-", "--priority", "5", "-o", "mode=full",
		"-o", "depth=5", "-o", `text="5"`, "-o", "on=true", "-o", "f=0.5", "--socket", socket)
	says(t, out, err, "added 3; feed twitch wants 1,503 topics now,\n1,003 of them without a place: it has room for 500\n")
	own := map[string]any{"mode": "full", "depth": int64(5), "text": "5", "on": true, "f": 0.5}
	want := local.Change{Feed: "twitch", Verb: local.Add, Topics: []local.Topic{{Name: "a", Priority: 5, Options: own},
		{Name: "b", Priority: 5, Options: own}, {Name: "a#b", Priority: 5, Options: own}}}
	if !reflect.DeepEqual(f.got, want) {
		t.Errorf("got %+v, want %+v", f.got, want)
	}
	if _, _, err := do(t, "", "topics", "set", "twitch", "--none", "--socket", socket); err != nil || f.got.Verb != local.Set || len(f.got.Topics) != 0 {
		t.Errorf("%+v, %v", f.got, err)
	}
	if _, kind, err := do(t, "", "topics", "remove", "twitch", "from.file", "--socket", socket); kind != "failed" ||
		!strings.Contains(err.Error(), "topics.txt:12: remove it there") {
		t.Errorf("%s: %v", kind, err)
	}
	f.got = local.Change{}
	if _, kind, _ := do(t, "# nothing\n", "topics", "set", "twitch", "-", "--socket", socket); kind != "failed" || f.got.Feed != "" {
		t.Errorf("an empty list from standard input was %q, and did %+v", kind, f.got)
	}
}

func TestReloadSaysWhatCountsWhen(t *testing.T) {
	f := &fake{reload: local.ReloadResult{
		Applied:  []local.ChangeLine{{Key: "log.level", Old: "info", New: "debug"}},
		NextLife: []local.ChangeLine{{Key: "feed.twitch.ping.interval", Old: "45s", New: "30s"}},
		Restart:  []local.ChangeLine{{Key: "nats.url", Old: "embedded"}},
		Held:     []local.HeldFile{{Feed: "twitch", File: "topics.txt", Old: 1850, New: 3}},
	}}
	socket := running(t, f)
	out, _, err := do(t, "", "reload", "--socket", socket)
	says(t, out, err, "in force now:\n  log.level: info → debug\n", "waiting for the next connection", "feed.twitch.ping.interval: 45s → 30s",
		"restart of feedmux:\n  nats.url: embedded → (none)\n", "topics.txt of feed twitch was held, and is taken now: 3 topics, before 1,850\n")
	f.reload = local.ReloadResult{Problems: []string{"config.toml:7: feed[0].url: \x1b must be a URL"}}
	out, kind, err := do(t, "", "reload", "--socket", socket)
	if want := "config.toml:7: feed[0].url: \\x1b must be a URL\n1 problem; nothing was changed"; kind != "misconfigured" || err.Error() != want || out != "" {
		t.Errorf("%s: %v: %s", kind, err, out)
	}
	f.reload = local.ReloadResult{}
	out, _, err = do(t, "", "reload", "--socket", socket)
	says(t, out, err, "nothing has changed")
}

func TestWhatIsOddAboutAChangeIsSaid(t *testing.T) {
	var out strings.Builder
	if err := printChange(&out, "tw", local.ChangeResult{
		Removed: []string{"a"}, Unchanged: []string{"b", "c"}, Wanted: 5,
		Stay: []local.ListedTopic{{Topic: "a", Where: "config.toml:11"}}, NotWanted: []string{"b", "c", "d", "e", "f", "g\x1b", "h"},
	}); err != nil {
		t.Fatal(err)
	}
	want := "removed 1, unchanged 2; feed tw wants 5 topics now\n1 is still wanted, since a file lists it: a (config.toml:11)\n" +
		"7 are wanted by nobody: b, c, d, e, f and 2 more\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := printReload(&out, local.ReloadResult{Warnings: []string{"feed kite: the secret cannot be had"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "nothing has changed\nwarning: feed kite: the secret cannot be had\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRenewOrders(t *testing.T) {
	out, _, err := do(t, "", "renew", "twitch", "--socket", running(t, &fake{}))
	says(t, out, err, "Every open connection of twitch is being replaced")
}

func TestTailPrintsEventsAndWhatWasLeftOut(t *testing.T) {
	socket := running(t, &fake{})
	out, _, err := do(t, "", "tail", "twitch", "-n", "2", "--socket", socket)
	says(t, out, err, ` raid.1 {"n":0,"s":"\u009b2J"}`+"\n", ` raid.1 {"n":1,`)
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
	out, _, err = do(t, "", "tail", "twitch", "--format", "json", "-n", "1", "--socket", socket)
	says(t, out, err, `"payload":{"n":0,"s":"\u009b2J"}`)
	var b bytes.Buffer
	if err := (&tail{out: &b}).print(local.Line{LeftOut: 1204}); err != nil || b.String() != "… 1,204 events left out: this terminal was too slow\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestWithoutADaemonCommandsFailAndSayWhy(t *testing.T) {
	socket := t.TempDir() + "/none.sock"
	for _, args := range [][]string{{"status"}, {"status", "--watch"}, {"topics", "list", "f"}, {"topics", "add", "f", "t"}, {"renew", "f"}, {"reload"}, {"tail", "f"}} {
		_, kind, err := do(t, "", append(args, "--socket", socket)...)
		if kind != "failed" || !strings.Contains(err.Error(), "feedmux does not run here: nobody answers at "+socket) {
			t.Errorf("%q: %s: %v", args, kind, err)
		}
	}
}

func TestWrongUsageIsTold(t *testing.T) {
	const add = "feedmux topics add FEED TOPIC… [flags]"
	for want, args := range map[string][]string{
		`tail needs FEED: feedmux tail FEED [TOPIC…] [flags]`:                 {"tail"},
		`renew needs FEED: feedmux renew FEED [flags]`:                        {"renew"},
		`list needs FEED: feedmux topics list FEED [TOPIC…] [flags]`:          {"topics", "list"},
		`"c" is one argument too many: feedmux status [FEED [TOPIC]] [flags]`: {"status", "a", "b", "c"},
		`"f" is one argument too many: feedmux reload [flags]`:                {"reload", "f"},
		`argument 2 is "": ` + add:                                            {"topics", "add", "f", ""},
		`argument 1 is "": ` + add:                                            {"topics", "add", "", "t"},
	} {
		if _, kind, err := do(t, "", args...); kind != "usage" || err.Error() != want {
			t.Errorf("%q: %s: %v, want %s", args, kind, err, want)
		}
	}
	for _, args := range [][]string{
		{"status", "a", "b", "c"}, {"topics"}, {"topics", "list"}, {"topics", "add", "f"}, {"topics", "set", "f"}, {"topics", "set", "f", "t", "--none"},
		{"topics", "add", "f", "t", "-o", "mode"}, {"topics", "add", "f", "t", "-o", "a=1", "-o", "a=2"}, {"topics", "remove", "f", "t", "-p", "1"},
		{"renew"}, {"reload", "f"}, {"tail"}, {"tail", "f", "--format", "xml"},
	} {
		if _, kind, err := do(t, "", args...); kind != "usage" {
			t.Errorf("%q: %s: %v", args, kind, err)
		}
	}
}

func TestTopicsThatAreNotWantedAreNamed(t *testing.T) {
	socket := running(t, &fake{})
	out, kind, err := do(t, "", "topics", "list", "twitch", "raid.1", "raid.999", "raid.\x1b", "--socket", socket)
	if want := `feed twitch does not want raid.999, raid.\x1b`; kind != "failed" || err.Error() != want || strings.Count(out, "\n") != 2 {
		t.Errorf("%s: %v, want %s\n%s", kind, err, want, out)
	}
	if out, kind, err := do(t, "", "topics", "list", "twitch", "raid.999", "--socket", socket); kind != "failed" || err == nil || out != "" {
		t.Errorf("%s: %v\n%s", kind, err, out)
	}
	out, errs, _, err := doing(t, "", "tail", "twitch", "raid.1", "raid.999", "-n", "1", "--socket", socket)
	says(t, out, err, " raid.1 {")
	if want := "feedmux: feed twitch does not want raid.999: events come once it does\n"; errs != want {
		t.Errorf("said %q, want %q", errs, want)
	}
	for _, args := range [][]string{{"tail", "twitch", "raid.1", "-n", "1"}, {"tail", "twitch", "-n", "1"}} {
		if _, errs, _, err := doing(t, "", append(args, "--socket", socket)...); err != nil || errs != "" {
			t.Errorf("%q: %v: %s", args, err, errs)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"topics", "list"}, {"topics", "add"}, {"topics", "remove"}, {"topics", "set"}, {"renew"}, {"reload"}, {"tail"}} {
		out, _, err := do(t, "", append(args, "--help")...)
		says(t, out, err, "Examples:\n  feedmux "+strings.Join(args[:1], " "))
	}
}

// once ends a watch after some pages.
type once struct {
	text  bytes.Buffer
	pages int
	stop  context.CancelFunc
}

func (o *once) Write(p []byte) (int, error) {
	if o.pages--; o.pages == 0 {
		o.stop()
	}
	return o.text.Write(p)
}

func TestWatchShowsRatesOfTheLastSecond(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &once{pages: 2, stop: stop}
	s := status{client: local.NewClient(running(t, &fake{}), os.Getenv), out: out}
	if err := s.watch(ctx); err != nil {
		t.Fatal(err)
	}
	says(t, out.text.String(), nil, "0, 0/s on average", "0, 0/s\n")
}
