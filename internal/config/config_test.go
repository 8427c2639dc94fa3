package config

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"feedmux/internal/config/marks"
)

var update = flag.Bool("update", false, "write what the bad files say into their .want files")

// options are those of a daemon with three protocols. Variables: HIDDEN holds what no problem may show, LONG is an hour
// and more.
func options() LoadOptions {
	return LoadOptions{
		Env: func(name string) (string, bool) {
			v, ok := map[string]string{"HIDDEN": "hidden", "LONG": "61m", "NAME": "mux", "BRACES": "${NAME}"}[name]
			return v, ok
		},
		Protocols: map[string]Protocol{
			"twitch-pubsub": {
				URL:         "wss://pubsub-edge.twitch.tv",
				Connections: 10, TopicsPerConnection: 50, SubscribeBatch: 20, Ping: 45 * time.Second,
				Account: func(f *Feed) string { return f.URL },
				Check: func(f *Feed, report Report) {
					for i, topic := range f.Topics {
						if strings.Contains(topic.Name, "bad") {
							report(marks.Index("topics", i), "%q is not a topic", topic.Name)
						}
					}
					if _, ok := f.Options["colour"]; ok {
						report("options.colour", "unknown key")
					}
				},
			},
			"elsewhere": {Connections: 4, TopicsPerConnection: 3000, SubscribeBatch: 100},
			"particular": {
				URL: "wss://particular", Connections: 3, TopicsPerConnection: 3000, SubscribeBatch: 3000, UsualBatch: 500,
				SubscribeRate: Rate{1, 200 * time.Millisecond}, BackoffMax: 30 * time.Second, Subject: "feed.{feed}.{room}",
				NoFrame: "some events come without one", NeedsSecret: true, TopicKeys: []string{"mode", "name"}, FileOptions: []string{"list"},
				Check: func(f *Feed, report Report) {
					for i, topic := range f.Topics {
						if mode, ok := topic.Options["mode"]; ok && mode != "full" {
							report(marks.Index("topics", i)+".mode", "must be full")
						}
					}
				},
			},
		},
		Check: func(c *Config, report Report) {
			seen := map[string]Place{}
			for _, f := range c.Feeds {
				for i, topic := range f.Topics {
					subject := strings.NewReplacer("{feed}", f.Name, "{topic}", topic.Name).Replace(f.Subject)
					if other, ok := seen[subject]; ok {
						report(f.Key+marks.Index(".topics", i), "has the subject of %s", other)
					}
					seen[subject] = topic.Place
				}
			}
		},
	}
}

func topicAt(name string, priority int, options map[string]any, at Place) Topic {
	return Topic{Name: name, Priority: priority, Options: options, Place: at}
}

func place(file string, line int, key string) Place { return Place{File: file, Line: line, Key: key} }

// counts is c with what counts alone: not where it came from.
func counts(c *Config) *Config {
	c.origin = nil
	for _, f := range c.Feeds {
		f.Listed, f.FromFile = nil, nil
	}
	return c
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("config.toml", []byte(text), options())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBadFilesSayAllThatIsWrong(t *testing.T) {
	t.Chdir("testdata")
	files, _ := filepath.Glob("*.bad.toml")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		_, err := Load(file, options())
		problems, ok := err.(Problems)
		if !ok {
			t.Errorf("%s: the error is %v, not Problems", file, err)
			continue
		}
		got := problems.Error() + "\n"
		wantFile := strings.TrimSuffix(file, ".toml") + ".want"
		if *update {
			if err := os.WriteFile(wantFile, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(wantFile)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s says:\n%swant:\n%s", file, got, want)
		}
		if strings.Contains(strings.ReplaceAll(got, "HIDDEN", ""), "hidden") {
			t.Errorf("%s shows a secret:\n%s", file, got)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Chdir("testdata")
	c, err := Load("minimal.good.toml", options())
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		NATS: NATS{
			URL: "embedded", Name: "feedmux", Buffer: 16 << 20, Delivery: "core", Headers: "minimal",
			Embedded: EmbeddedNATS{Listen: "127.0.0.1:4222"},
		},
		HTTP: HTTP{Listen: "127.0.0.1:8422", Ready: 0.9},
		Log:  Log{Level: "info", Format: "auto"},
		Feeds: []*Feed{{
			Key: "feed[0]", Name: "twitch", Protocol: "twitch-pubsub",
			URL: "wss://pubsub-edge.twitch.tv", Account: "wss://pubsub-edge.twitch.tv",
			Topics:   []Topic{topicAt("raid.1", 0, nil, place("minimal.good.toml", 4, "feed[0].topics[0]"))},
			Overflow: "park", Dwell: time.Minute,
			Subject: "feed.{feed}.{topic}", Payload: "event", Placement: "pack", MaxMessage: 1 << 20,
			Limits:  Limits{10, 50, 0, 10 * time.Second, 20, Rate{10, time.Second}},
			Dial:    Dial{Rate{1, 2 * time.Second}, 1, 15 * time.Second},
			Ping:    Ping{45 * time.Second, 0.1, 10 * time.Second, 0},
			Backoff: Backoff{time.Second, 2 * time.Minute, time.Minute},
			Auth:    Secret{RefreshBefore: 5 * time.Minute},
			Options: map[string]any{},
		}},
	}
	if !reflect.DeepEqual(counts(c), want) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", c, c.Feeds[0], want, want.Feeds[0])
	}
	if !c.NATS.IsEmbedded() {
		t.Error("the default NATS is not the embedded one")
	}
}

func TestEveryKeyArrivesWhereItBelongs(t *testing.T) {
	t.Chdir("testdata")
	c, err := Load("everything.good.toml", options())
	if err != nil {
		t.Fatal(err)
	}
	const file = "everything.good.toml"
	shared := &Account{"account.shared", "shared", 3, Rate{2, time.Second}, 2, time.Second}
	want := &Config{
		NATS: NATS{
			URL: "nats://a:4222, tls://b:4222", Name: "mux", Buffer: 1 << 30, Delivery: "core", Headers: "full",
			Embedded: EmbeddedNATS{StoreDir: "/var/lib/nats"}, User: "mux", PasswordFile: "secrets/password",
			TLS: NATSTLS{CAFile: "ca.pem", CertFile: "cert.pem", KeyFile: "key.pem", First: true},
		},
		HTTP:     HTTP{Listen: ":8080", Ready: 1, Pprof: true},
		Log:      Log{Level: "debug", Format: "json"},
		Accounts: []*Account{shared},
		Feeds: []*Feed{{
			Key: "feed[0]", Name: "twitch", Protocol: "twitch-pubsub",
			URL: "wss://127.0.0.1:8443/v1?key=1", Account: "wss://127.0.0.1:8443/v1?key=1",
			Topics: []Topic{
				topicAt("raid.1", 0, nil, place(file, 29, "feed[0].topics[0]")),
				topicAt("raid.2", 5, nil, place(file, 30, "feed[0].topics[1]")),
				topicAt("raid.3", 0, nil, place(file, 31, "feed[0].topics[2]")),
				topicAt("raid.4", 0, nil, place("topics.txt", 4, "feed[0].topics_file")),
				topicAt("has#inside", 0, nil, place("topics.txt", 5, "feed[0].topics_file")),
				topicAt("raid.6", 0, nil, place("topics.txt", 7, "feed[0].topics_file")),
			},
			TopicsFile: "topics.txt", Overflow: "turns", Dwell: time.Second, MaxAge: 30 * 24 * time.Hour,
			Subject: "live.{feed}.{topic}.x", Payload: "frame", Placement: "spread", MaxMessage: 500_000,
			Limits:  Limits{3, 10, 2, 100 * time.Millisecond, 1, Rate{2, time.Minute}},
			Dial:    Dial{Rate{10, 500 * time.Millisecond}, 3, time.Second},
			Ping:    Ping{20 * time.Second, 0.5, 10 * time.Second, 90 * time.Second},
			Backoff: Backoff{2 * time.Second, 2 * time.Second, time.Millisecond},
			Auth:    Secret{File: "secrets/token", RefreshBefore: time.Hour},
			Proxy:   "socks5://user:hidden@proxy:1080", LocalAddress: netip.MustParseAddr("192.0.2.7"),
			TLS:     TLS{CAFile: "ca.pem", ServerName: "twitch.example"},
			Options: map[string]any{"auth_topics": []any{"raid.*"}, "deep": map[string]any{"er": int64(1)}},
		}, {
			Key: "feed[1]", Name: "other", Protocol: "elsewhere", URL: "ws://h", Account: "shared", Shared: shared,
			TopicsFile: "empty.txt", Overflow: "park", Dwell: time.Minute,
			Subject: "feed.{feed}.{topic}", Payload: "event", Placement: "pack", MaxMessage: 1 << 20,
			Limits:  Limits{3, 3000, 0, time.Second, 100, Rate{10, time.Second}},
			Dial:    Dial{Rate{2, time.Second}, 2, 15 * time.Second},
			Ping:    Ping{25 * time.Second, 0.1, 10 * time.Second, 0},
			Backoff: Backoff{time.Second, 2 * time.Minute, time.Minute},
			Auth:    Secret{Env: "TOKEN", RefreshBefore: 5 * time.Minute},
			Proxy:   "env", LocalAddress: netip.MustParseAddr("::1"),
			Options: map[string]any{},
		}},
	}
	if !reflect.DeepEqual(counts(c), want) {
		t.Errorf("got  %+v %+v %+v\nwant %+v %+v %+v", c, c.Feeds[0], c.Feeds[1], want, want.Feeds[0], want.Feeds[1])
	}
}

func TestFeedsDivideAnAccount(t *testing.T) {
	c := mustParse(t, `
[account.twitch]
hold = "3s"
[account.alone]
[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics = ["a"]
account = "twitch"
limits = { connections = 7, reserve = 6 }
dial.timeout = "5s"
[[feed]]
name = "b"
protocol = "twitch-pubsub"
topics = ["b"]
account = "twitch"
limits.connections = 3
[[feed]]
name = "c"
protocol = "elsewhere"
url = "ws://h"
topics = ["c"]
account = "alone"
`)
	dials := Rate{1, 2 * time.Second}
	want := []*Account{ // alone: as much as its protocol allows
		{"account.alone", "alone", 4, dials, 1, 10 * time.Second},
		{"account.twitch", "twitch", 10, dials, 1, 3 * time.Second},
	}
	if !reflect.DeepEqual(c.Accounts, want) {
		t.Errorf("accounts are %+v and %+v", c.Accounts[0], c.Accounts[1])
	}
	for i, want := range []struct {
		shared      *Account
		connections int
		hold        time.Duration
		dial        Dial
	}{
		{c.Accounts[1], 7, 3 * time.Second, Dial{dials, 1, 5 * time.Second}},
		{c.Accounts[1], 3, 3 * time.Second, Dial{dials, 1, 15 * time.Second}},
		{c.Accounts[0], 4, 10 * time.Second, Dial{dials, 1, 15 * time.Second}},
	} {
		f := c.Feeds[i]
		if f.Shared != want.shared || f.Account != want.shared.Name ||
			f.Limits.Connections != want.connections || f.Limits.Hold != want.hold || f.Dial != want.dial {
			t.Errorf("feed is %+v", f)
		}
	}
}

func TestRejectIsContentWhenAllTopicsFit(t *testing.T) {
	c := mustParse(t, `
[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics = ["a", "b", "c", "d", "b"]
overflow = "reject"
limits = { connections = 3, reserve = 1, topics_per_connection = 2 }
max_age = "10s"
`)
	if f := c.Feeds[0]; f.Limits.Capacity() != len(f.Topics) || f.MaxAge != 10*time.Second {
		t.Errorf("feed is %+v", f)
	}
}

func TestVariablesAreExpandedOnceAndInStringsOnly(t *testing.T) {
	c := mustParse(t, `
nats.name = "a ${NAME} $${NAME} $NAME ${BRACES} $$"
[[feed]]
name = "${NAME}"
protocol = "twitch-pubsub"
topics = ["raid.${NAME}", { topic = "${NAME}" }]
options."${NAME}" = [{ deep = ["${NAME}"] }]
`)
	f := c.Feeds[0]
	if want := "a mux ${NAME} $NAME ${NAME} $$"; c.NATS.Name != want {
		t.Errorf("nats.name is %q, want %q", c.NATS.Name, want)
	}
	if f.Name != "mux" || f.Topics[0].Name != "raid.mux" || f.Topics[1].Name != "mux" {
		t.Errorf("not expanded: %+v", f)
	}
	want := map[string]any{"${NAME}": []any{map[string]any{"deep": []any{"mux"}}}}
	if got := f.Options; !reflect.DeepEqual(got, want) {
		t.Errorf("options are %v, want %v", got, want)
	}
}

func TestHighestPriorityOfATopicCounts(t *testing.T) {
	c := mustParse(t, `
[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics = [{ topic = "x", priority = -1 }, "y", { topic = "x", priority = 7 }, "x"]
`)
	got := c.Feeds[0].Topics
	if len(got) != 2 || got[0].Name != "x" || got[0].Priority != 7 || got[1].Name != "y" {
		t.Errorf("topics are %+v", got)
	}
}

func TestFilesAreRelativeToTheConfigurationsFolder(t *testing.T) {
	const text = `
[nats.embedded]
store_dir = "credential:dir"
[[feed]]
name = "a"
protocol = "elsewhere"
url = "ws://a"
topics = ["x"]
auth.file = "tokens/a"
[[feed]]
name = "b"
protocol = "elsewhere"
url = "ws://b"
topics = ["x"]
auth.file = "/tokens/b"
[[feed]]
name = "c"
protocol = "particular"
topics = ["x"]
subject = "c.{topic}"
auth.env = "TOKEN"
options = { list = "lists/c", more = "plain" }
`
	for _, systemd := range []bool{false, true} {
		opts := options()
		opts.Env = func(name string) (string, bool) { return "/run/creds", systemd && name == "CREDENTIALS_DIRECTORY" }
		c, err := Parse("/etc/feedmux/config.toml", []byte(text), opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Feeds[0].Auth.File; got != "/etc/feedmux/tokens/a" {
			t.Errorf("relative name became %s", got)
		}
		if got := c.Feeds[1].Auth.File; got != "/tokens/b" {
			t.Errorf("absolute name became %s", got)
		}
		if got := c.Feeds[2].Options; got["list"] != "/etc/feedmux/lists/c" || got["more"] != "plain" {
			t.Errorf("options became %v", got)
		}
		want := "credential:dir"
		if systemd {
			want = "/run/creds/dir"
		}
		if got := c.NATS.Embedded.StoreDir; got != want {
			t.Errorf("credential became %s, want %s", got, want)
		}
	}
}

func TestAFileThatCannotBeReadIsNoProblemOfItsContent(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long.toml")
	if err := os.WriteFile(long, make([]byte, maxFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none.toml"), dir, long} {
		_, err := Load(path, options())
		if _, content := err.(Problems); err == nil || content || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestChecksMayReportUnderAnyKey(t *testing.T) {
	const text = `[nats]

[[feed]]
name = "a"
protocol = "plain"
url = "ws://a"
topics = ["x"]
[feed.options]
list = [
  1,
  2]
`
	opts := LoadOptions{
		Protocols: map[string]Protocol{"plain": {
			Connections: 1, TopicsPerConnection: 1, SubscribeBatch: 1,
			Check: func(f *Feed, report Report) {
				report("", "whole feed")
				report("options.list[1]", "element of an option")
				report("options.missing.key", "absent key")
				report("topics[1]", "absent topic")
			},
		}},
		Check: func(c *Config, report Report) {
			report("feed[0]", "feed %d", len(c.Feeds))
			report("nats.url", "absent key")
			report("", "whole file")
			report("feed[7].x", "absent feed")
		},
	}
	_, err := Parse("dir/c.toml", []byte(text), opts)
	want := `dir/c.toml:1: nats.url: absent key
dir/c.toml:1: whole file
dir/c.toml:3: feed[0]: whole feed
dir/c.toml:3: feed[0]: feed 1
dir/c.toml:3: feed[7].x: absent feed
dir/c.toml:7: feed[0].topics[1]: absent topic
dir/c.toml:8: feed[0].options.missing.key: absent key
dir/c.toml:11: feed[0].options.list[1]: element of an option`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestDefaultsOfAProtocolGoTogether(t *testing.T) {
	opts := LoadOptions{Protocols: map[string]Protocol{"quick": {
		URL: "ws://a", Connections: 100, TopicsPerConnection: 1, SubscribeBatch: 1, Ping: 3 * time.Second,
	}}}
	t.Setenv("CONFIG_TEST_TOPIC", "x")
	const text = "[[feed]]\nname = 'a'\nprotocol = 'quick'\ntopics = ['${CONFIG_TEST_TOPIC}']"
	c, err := Parse("c.toml", []byte(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	f := c.Feeds[0]
	if f.Limits.Connections != 10 || f.Ping.Timeout != 1500*time.Millisecond || f.Topics[0].Name != "x" {
		t.Errorf("feed is %+v", f)
	}
}

func TestNestingIsBounded(t *testing.T) {
	text := "\n\na = " + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	_, err := Parse("c.toml", []byte(text), options())
	if problems, ok := err.(Problems); !ok || len(problems) != 1 || problems[0].Line != 3 {
		t.Errorf("the error is %.200v", err)
	}
}

func TestAProtocolHasDefaultsOfItsOwn(t *testing.T) {
	c := mustParse(t, `
[[feed]]
name = "a"
protocol = "particular"
topics = ["x"]
auth.env = "TOKEN"
`)
	f := c.Feeds[0]
	if f.Subject != "feed.{feed}.{room}" || f.Limits.SubscribeBatch != 500 || f.Limits.TopicsPerConnection != 3000 ||
		f.Limits.SubscribeRate != (Rate{1, 200 * time.Millisecond}) ||
		f.Backoff != (Backoff{time.Second, 30 * time.Second, time.Minute}) || f.WantsFrame() {
		t.Errorf("feed is %+v", f)
	}
	c = mustParse(t, `
[[feed]]
name = "a"
protocol = "particular"
topics = ["x"]
auth.env = "TOKEN"
subject = "mine.{topic}"
limits = { subscribe_batch = 3000, subscribe_rate = "2/1s" }
backoff.max = "2m"
`)
	f = c.Feeds[0]
	if f.Subject != "mine.{topic}" || f.Limits.SubscribeBatch != 3000 || f.Limits.SubscribeRate != (Rate{2, time.Second}) ||
		f.Backoff.Max != 2*time.Minute {
		t.Errorf("feed is %+v", f)
	}
}

func TestATopicHasTheOptionsThatAreGivenAnywhere(t *testing.T) {
	c := mustParse(t, `
[[feed]]
name = "a"
protocol = "particular"
topics_file = "testdata/topics.txt"
auth.env = "TOKEN"
subject = "feed.{topic}"
topics = [
  "x",
  { topic = "x", mode = "full", priority = 2 },
  { topic = "x", mode = "full", priority = 1 },
  { topic = "raid.4", name = "${NAME}" },
  { topic = "y", priority = 1 },
]
`)
	got := c.Feeds[0].Topics
	want := []Topic{
		topicAt("x", 2, map[string]any{"mode": "full"}, place("config.toml", 10, "feed[0].topics[1]")),
		topicAt("raid.4", 0, map[string]any{"name": "mux"}, place("config.toml", 12, "feed[0].topics[3]")),
		topicAt("y", 1, nil, place("config.toml", 13, "feed[0].topics[4]")),
	}
	if len(got) < 3 || !reflect.DeepEqual(got[:3], want) {
		t.Errorf("topics are %+v", got)
	}
}
