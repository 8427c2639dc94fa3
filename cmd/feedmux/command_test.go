package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// feedmux runs a command as a user would type it.
func feedmux(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func manyTopics(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%q,", fmt.Sprintf("video-playback-by-id.%d", i+1))
	}
	return b.String()
}

func TestInTheJournalAFailureIsAnError(t *testing.T) {
	f, written := journalFile(t)
	path := write(t, "bad = 1\n[[feed]]\n")
	if code := run(t.Context(), []string{"run", "--config", path}, io.Discard, f); code != exitConfig {
		t.Errorf("exit %d", code)
	}
	lines := strings.Split(strings.TrimSuffix(written(), "\n"), "\n")
	if len(lines) < 3 {
		t.Errorf("%q", lines)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "<3>") {
			t.Errorf("%q is no error", line)
		}
	}
}

func TestCheckPrintsThePlan(t *testing.T) {
	path := write(t, `
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
topics = [`+manyTopics(1850)+`]
`)
	code, out, errs := feedmux(t, "check", "--config", path)
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	want := path + ` is good.

feed twitch
  protocol     twitch-pubsub at wss://pubsub-edge.twitch.tv
  topics       1,850 topics: 500 placed, 1,350 unplaced (10 × 50 have room for 500; the first without a place is video-playback-by-id.501)
  connections  10 needed, at most 10 to pubsub-edge.twitch.tv
  confirmed    all after about 18s at a dial rate of 1/2s
  subject      feed.twitch.video-playback-by-id.1
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	if code, out, errs := feedmux(t, "check", "--quiet", "--config", path); code != 0 || out+errs != "" {
		t.Errorf("exit %d, and said %q where it was to be quiet", code, out+errs)
	}
}

func TestCheckTellsOfTurnsAndOfHandOversWithoutAFreeConnection(t *testing.T) {
	feed := "[[feed]]\nname = \"a\"\nprotocol = \"twitch-pubsub\"\ntopics = [" + manyTopics(120) + "]\n" +
		"overflow = \"turns\"\ndwell = \"5s\"\nmax_age = \"1h\"\n[feed.limits]\nconnections = 2\n"
	const (
		turns = "they take turns of 5s"
		gap   = "none is left for hand-over, so each has a short gap every 1h0m0s"
	)
	for _, c := range []struct {
		more string
		gap  bool
	}{{"", true}, {"reserve = 1\n", false}} {
		code, out, errs := feedmux(t, "check", "-c", write(t, feed+c.more))
		if code != 0 || !strings.Contains(out, turns) || strings.Contains(out, gap) != c.gap {
			t.Errorf("%q: exit %d: %s%s", c.more, code, out, errs)
		}
	}
}

func TestCheckPrintsThePlanAsJSON(t *testing.T) {
	path := write(t, "[[feed]]\nname = \"a\"\nprotocol = \"twitch-pubsub\"\ntopics = ["+manyTopics(60)+"]\n")
	code, out, errs := feedmux(t, "check", "--json", "-c", path)
	var got struct{ Feeds []plan }
	if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil || len(got.Feeds) != 1 {
		t.Fatalf("exit %d, %v: %s %s", code, err, out, errs)
	}
	if p := got.Feeds[0]; p.Placed != 60 || p.Unplaced != 0 || p.Connections != 2 || p.Seconds != 2 {
		t.Errorf("%+v", p)
	}
}

func TestABadConfigurationIs78WithAllOfItsProblems(t *testing.T) {
	path := write(t, `
[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics = ["raid.1"]
[feed.limits]
connections = 11

[[feed]]
name = "b"
protocol = "twitch-pubsub"
url = "wss://other.example"
topics = ["raid.1", "not a topic"]
subject = "feed.a.{topic}"
`)
	for _, command := range [][]string{{"check"}, {"check", "--quiet"}, {"run"}} {
		code, out, errs := feedmux(t, append(command, "--config", path)...)
		if code != exitConfig || out != "" {
			t.Errorf("%s: exit %d: %s", command, code, out)
		}
		for _, want := range []string{
			path + ":7: feed[0].limits.connections: ",
			path + ":13: feed[1].topics[1]: ",
			path + ":13: feed[1].topics[0]: has the subject feed.a.raid.1, which is that of topic raid.1 of feed a",
			"\n3 problems\n",
		} {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: %q is not in\n%s", command, want, errs)
			}
		}
	}
}

func TestASubscribeRateThatPingsUseUpIsAProblem(t *testing.T) {
	text := `
[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics = ["raid.1"]
[feed.limits]
subscribe_rate = "%s"
`
	if code, _, errs := feedmux(t, "check", "--config", write(t, fmt.Sprintf(text, "1/23s"))); code != exitConfig ||
		!strings.Contains(errs, ":7: feed[0].limits.subscribe_rate: 1/23s leaves no room beside a ping each 45s") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs := feedmux(t, "check", "--config", write(t, fmt.Sprintf(text, "1/22s"))); code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestTopicsThatMeetOnOneSubjectAreAProblem(t *testing.T) {
	path := write(t, `
[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics = ["raid.1"]

[[feed]]
name = "b"
protocol = "twitch-pubsub"
url = "wss://other.example"
topics = ["polls.1", "raid.1"]
subject = "feed.a.{topic}"
`)
	code, _, errs := feedmux(t, "check", "--config", path)
	if want := ":11: feed[1].topics[1]: has the subject feed.a.raid.1, which is that of topic raid.1 of feed a"; code != exitConfig ||
		!strings.Contains(errs, want) {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestAConfigurationThatIsNotThereIs78(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.toml"), dir} {
		code, _, errs := feedmux(t, "run", "--config", path)
		if code != exitConfig || !strings.HasPrefix(errs, "feedmux: reading the configuration: ") || !strings.Contains(errs, path) {
			t.Errorf("%s: exit %d: %s", path, code, errs)
		}
	}
}

func TestWrongUsageIs2(t *testing.T) {
	for _, args := range [][]string{
		{"chekc"}, {"check", "--confg", "x"}, {"check", "--quiet", "--json"}, {"check", "x"}, {"run", "x"}, {"sim"}, {"sim", "binance"},
		{"sim", "twitch-pubsub", "--refuse", "2"}, {"demo", "--topics", "0"}, {"demo", "--for", "soon"},
	} {
		if code, out, errs := feedmux(t, args...); code != exitUsage || out != "" || !strings.HasPrefix(errs, "feedmux: ") {
			t.Errorf("%q: exit %d\n%s%s", args, code, out, errs)
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	for _, command := range []string{"run", "demo", "check", "sim", "version"} {
		_, out, _ := feedmux(t, "--help")
		if !strings.Contains(out, "\n  "+command+" ") {
			t.Errorf("%s is not in the help:\n%s", command, out)
		}
		if code, out, _ := feedmux(t, command, "--help"); code != 0 || !strings.Contains(out, "Usage:") {
			t.Errorf("%s --help: exit %d\n%s", command, code, out)
		}
	}
}

func TestVersion(t *testing.T) {
	code, out, _ := feedmux(t, "version", "--json")
	var v struct{ Version, Go, Platform string }
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v.Version == "" || v.Go == "" || v.Platform == "" {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, out, _ := feedmux(t, "version"); code != 0 || !strings.HasPrefix(out, "feedmux "+v.Version+" ") {
		t.Errorf("exit %d: %s", code, out)
	}
}
