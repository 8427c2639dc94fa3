package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"feedmux/internal/config"
)

const explained = `[nats]
url = "nats://user:hidden@a-server-with-a-name-that-is-rather-long.example:4222"
[account.keys]
[[feed]]
name = "one"
protocol = "kite"
account = "keys"
topics = ["408065"]
limits.connections = 1
auth.command = ["print-token", "hidden"]
[feed.options]
api_key = "${FEEDMUX_TEST_A_VARIABLE_WITH_A_LONG_NAME}"
[[feed]]
name = "two"
protocol = "kite"
account = "keys"
topics = ["408065"]
limits.connections = 2
auth.env = "T"
options.api_key = "hidden-too"
`

func TestCheckExplainsEachValue(t *testing.T) {
	t.Setenv("FEEDMUX_TEST_A_VARIABLE_WITH_A_LONG_NAME", "hidden")
	path := write(t, explained)
	code, out, errs := feedmux(t, "check", "--explain", "--config", path)
	if code != 0 || errs != "" {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	for _, want := range []string{
		"\n[nats]\n  url                    nats://a-server-with-a-name-that-is…  restart    config.toml:2\n",
		"\n  creds_file             \"\"                                    restart    default\n",
		"\n[account.keys]\n  connections            3                                     restart    default\n",
		"\n[[feed]] one\n  name                   one                                   restart    config.toml:5\n",
		"\n[feed.limits] of two\n  connections            2                                     restart    config.toml:18\n" +
			"  topics_per_connection  3000                                  now        default of kite\n",
		"\n[feed.dial] of one\n  rate                   1/2s                                  restart    [account.keys]\n",
		"\n[feed.ping] of one\n  interval               25s                                   next life  default\n",
		"\n  command                print-token …                         now        config.toml:10\n",
		"\n[feed.options] of one\n  api_key                …                                     restart    …LONG_NAME} config.toml:12\n",
		"\n[feed.options] of two\n  api_key                …                                     restart    config.toml:20\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("missing: %s\nin:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(line) > 100+len("\n") {
			t.Errorf("too wide: %s", line)
		}
	}
	if strings.Contains(out, "hidden") {
		t.Errorf("a secret is shown:\n%s", out)
	}
}

func TestCheckExplainsAsJSONToo(t *testing.T) {
	t.Setenv("FEEDMUX_TEST_A_VARIABLE_WITH_A_LONG_NAME", "hidden")
	code, out, errs := feedmux(t, "check", "--explain", "--json", "--config", write(t, explained))
	var got struct {
		Values []config.Value
		Feeds  []plan
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	want := config.Value{Key: "nats.name", Text: "feedmux", From: "default", Reach: config.Restart}
	if len(got.Feeds) != 2 || len(got.Values) < 100 || got.Values[1].Key != want.Key || got.Values[1].Text != want.Text ||
		got.Values[1].From != want.From || got.Values[1].Reach != want.Reach {
		t.Errorf("%+v", got)
	}
	if strings.Contains(out, "hidden") {
		t.Errorf("a secret is shown:\n%s", out)
	}
}

func TestThePlanSaysThatAnAccountIsSharedForNothing(t *testing.T) {
	t.Setenv("FEEDMUX_TEST_A_VARIABLE_WITH_A_LONG_NAME", "hidden")
	code, out, _ := feedmux(t, "check", "--config", write(t, explained))
	const want = "  account      keys is shared by choice: the upstream counts its feeds apart (kite-e564b408, kite-706cfed7), " +
		"so each could have an account of its own\n"
	if code != 0 || strings.Count(out, want) != 2 {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestProblemsAreJSONWhereThatIsAskedFor(t *testing.T) {
	type answer struct{ Problems []problem }
	path := write(t, "[nats]\nurl = 7\n[feed]\n")
	code, out, errs := feedmux(t, "check", "--json", "--config", path)
	var got answer
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitConfig {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	want := []problem{
		{path, 2, "nats.url", "must be a string, not a whole number"},
		{path, 3, "feed", "must be a list of tables: write [[feed]], not [feed]"},
	}
	if len(got.Problems) != 2 || got.Problems[0] != want[0] || got.Problems[1] != want[1] {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(errs, "2 problems") {
		t.Errorf("people are told: %s", errs)
	}

	code, out, _ = feedmux(t, "check", "--json", "--config", path+".none")
	got = answer{}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitConfig {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	if len(got.Problems) != 1 || got.Problems[0].Line != 0 || !strings.Contains(got.Problems[0].Text, "no such file") {
		t.Errorf("%+v", got)
	}
}
