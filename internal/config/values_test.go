package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"feedmux/internal/config/marks"
)

func TestEveryKeyThatHasAValueHasAReach(t *testing.T) {
	var look func(at string, fields []field)
	look = func(at string, fields []field) {
		for _, f := range fields {
			path := marks.Join(at, f.Name)
			switch f.Reach {
			case Now, NextLife, Restart:
			case "":
				if f.Show != nil || f.Table == nil {
					t.Errorf("%s has no reach", path)
				}
			default:
				t.Errorf("%s has the reach %q", path, f.Reach)
			}
			look(path, f.Table)
		}
	}
	look("", (&loader{}).rootFields(defaults()))
	if n := len(Keys()); n < 60 {
		t.Errorf("there are only %d keys", n)
	}
}

// explained is where the values of a file are from, by key.
func explained(t *testing.T, text string) map[string]Value {
	t.Helper()
	values := map[string]Value{}
	for _, v := range mustParse(t, text).Values() {
		if _, twice := values[v.Key]; twice {
			t.Errorf("%s is told twice", v.Key)
		}
		values[v.Key] = v
	}
	return values
}

func TestAValueSaysWhereItIsFrom(t *testing.T) {
	values := explained(t, `
nats.url = "nats://user:${HIDDEN}@a:4222"
[account.shared]
hold = "3s"
[[feed]]
name = "${NAME}"
protocol = "twitch-pubsub"
topics = ["raid.1", "raid.4"]
topics_file = "testdata/topics.txt"
account = "shared"
proxy = "socks5://${NAME}:${HIDDEN}@proxy:1080"
ping.interval = "30s"
[feed.auth.token]
command = ["print", "--secret", "${HIDDEN}"]
[[feed]]
name = "own"
protocol = "particular"
topics = ["x"]
limits.subscribe_batch = 500
auth = { file = "token" }
subject = "own.{topic}"
[feed.options]
list = "a"
deep = [{ er = 1 }]
key = "${HIDDEN}"
at = "wss://user:hidden@a/?hidden"
`)
	for key, want := range map[string]string{
		"nats.url":                              "nats://a:4222, restart, ${HIDDEN} config.toml:2",
		"nats.name":                             "feedmux, restart, default",
		"nats.tls.first":                        "false, restart, default",
		"http.ready":                            "0.9, now, default",
		"account.shared.hold":                   "3s, restart, config.toml:4",
		"account.shared.dial_rate":              "1/2s, restart, default",
		"feed.mux.name":                         "mux, restart, ${NAME} config.toml:6",
		"feed.mux.url":                          "wss://pubsub-edge.twitch.tv, restart, default of twitch-pubsub",
		"feed.mux.account":                      "shared, restart, config.toml:10",
		"feed.mux.topics":                       "4 topics, now, config.toml:8 topics.txt",
		"feed.mux.proxy":                        "socks5://proxy:1080, restart, ${HIDDEN} ${NAME} config.toml:11",
		"feed.mux.limits.hold":                  "3s, restart, [account.shared]",
		"feed.mux.limits.connections":           "10, restart, [account.shared]",
		"feed.mux.dial.rate":                    "1/2s, restart, [account.shared]",
		"feed.mux.dial.timeout":                 "15s, next life, default",
		"feed.mux.ping.interval":                "30s, next life, config.toml:12",
		"feed.mux.ping.jitter":                  "0.1, next life, default",
		"feed.mux.limits.subscribe_batch":       "20, next life, default of twitch-pubsub",
		"feed.mux.auth.command":                 "print …, now, ${HIDDEN} config.toml:14",
		"feed.mux.auth.file":                    ", now, default",
		"feed.own.limits.subscribe_rate":        "1/200ms, next life, default of particular",
		"feed.own.limits.subscribe_batch":       "500, next life, config.toml:19",
		"feed.own.limits.connections":           "3, restart, default of particular",
		"feed.own.limits.topics_per_connection": "3000, now, default of particular",
		"feed.own.backoff.max":                  "30s, next life, default of particular",
		"feed.own.subject":                      "own.{topic}, restart, config.toml:21",
		"feed.own.auth.file":                    "token, now, config.toml:20",
		"feed.own.auth.refresh_before":          "5m, now, default",
		"feed.own.options.list":                 "a, restart, config.toml:23",
		"feed.own.options.deep":                 `[{"er":1}], restart, config.toml:24`,
		"feed.own.options.key":                  "…, restart, ${HIDDEN} config.toml:25",
		"feed.own.options.at":                   "wss://a/, restart, config.toml:26",
	} {
		v, ok := values[key]
		if got := fmt.Sprintf("%s, %s, %s", v.Text, v.Reach, v.From); !ok || got != want {
			t.Errorf("%s: %s\nwant %s", key, got, want)
		}
	}
	for _, v := range values {
		if strings.Contains(v.Text+v.From, "hidden") {
			t.Errorf("a secret is shown: %+v", v)
		}
	}
	for _, k := range Keys() { // all of them are told of each feed, and of the account
		path := strings.Replace(strings.Replace(k.Path, "account.NAME.", "account.shared.", 1), "feed.", "feed.own.", 1)
		inside := strings.HasPrefix(k.Path, "feed.topics.") || strings.HasPrefix(k.Path, "feed.auth.token.") || k.Path == "feed.options"
		if v, ok := values[path]; !inside && (!ok || v.Reach != k.Reach) {
			t.Errorf("%s: %+v", path, v)
		}
	}
}

const before = `
log.level = "info"
[account.gone]
[account.stays]
[[feed]]
name = "kept"
protocol = "twitch-pubsub"
topics = ["a", { topic = "b", priority = 1 }, "c"]
account = "stays"
[[feed]]
name = "gone"
protocol = "elsewhere"
url = "ws://gone"
topics = ["x"]
account = "gone"
[[feed]]
name = "other"
protocol = "elsewhere"
url = "wss://user:hidden@other/"
topics = ["y"]
auth.file = "token"
options = { one = 1, two = 2 }
[[feed]]
name = "third"
protocol = "elsewhere"
url = "ws://third"
topics = ["z"]
`

const after = `
log.level = "debug"
[account.new]
hold = "2s"
[account.stays]
dial_rate = "1/3s"
[[feed]]
name = "third"
protocol = "elsewhere"
url = "ws://third"
topics = ["z"]
auth.env = "TOKEN"
[[feed]]
name = "other"
protocol = "elsewhere"
url = "wss://user:hidden-too@other/"
topics = ["y"]
auth.env = "TOKEN"
options = { one = 1, three = 3 }
[[feed]]
name = "added"
protocol = "elsewhere"
url = "ws://added"
topics = ["x", "y"]
account = "new"
[[feed]]
name = "kept"
protocol = "twitch-pubsub"
topics = ["b", "a", "d", "e"]
account = "stays"
ping.interval = "30s"
`

func TestAReloadIsTheDifferenceByName(t *testing.T) {
	var got []string
	for _, c := range Diff(mustParse(t, before), mustParse(t, after)) {
		got = append(got, fmt.Sprintf("%s (%s): %q to %q", c.Key, c.Reach, c.Old, c.New))
	}
	want := []string{
		`log.level (now): "info" to "debug"`,
		`account.new (restart): "" to "4 connections"`,
		`account.stays.dial_rate (restart): "1/2s" to "1/3s"`,
		`feed.third.auth.env (restart): "" to "TOKEN"`,
		`feed.other.url (restart): "wss://other/" to "wss://other/ (it differs in what is not shown)"`,
		`feed.other.auth.file (now): "token" to ""`,
		`feed.other.auth.env (now): "" to "TOKEN"`,
		`feed.other.options.three (restart): "" to "3"`,
		`feed.added (now): "" to "elsewhere, 2 topics"`,
		`feed.kept.topics (now): "3 topics" to "4 topics: 2 added, 1 removed, 1 changed"`,
		`feed.kept.ping.interval (next life): "45s" to "30s"`,
		`account.gone (restart): "4 connections" to ""`,
		`feed.gone (now): "elsewhere, 1 topic" to ""`,
		`feed.other.options.two (restart): "2" to ""`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, text := range []string{before, after} {
		if changes := Diff(mustParse(t, text), mustParse(t, "\n\n"+text)); changes != nil {
			t.Errorf("the same file differs: %+v", changes)
		}
	}
}
