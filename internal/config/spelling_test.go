package config

import (
	"reflect"
	"testing"
)

func TestAllSpellingsOfTOMLMeanTheSame(t *testing.T) {
	const (
		tables = `
[nats]
url = "nats://a:4222,tls://b:4222"
buffer = "1GiB"
[nats.embedded]
listen = ""
[http]
ready = 1
pprof = true
[log]
format = "json"
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
topics = ["raid.1", { topic = "raid.2", priority = 16 }]
max_message = "500kB"
[feed.limits]
connections = 3
subscribe_rate = "2/1m"
[feed.backoff]
base = "1m30s"
[feed.auth]
file = "token"
[feed.options]
deep.er = 1
[[feed]]
name = "other"
protocol = "elsewhere"
url = "ws://h"
topics = ["a"]
`
		other = "\ufeff" + `
log."format" = 'json'
http = { ready = 1.0, "pprof" = true }
feed = [
  { name = "twitch", protocol = "twitch-pubsub", topics = [
      { "topic" = "raid.1" }, { topic = "raid.2", priority = 0x10 } ], max_message = "500000",
    limits = { connections = 3, subscribe_rate = "2/60s" }, backoff.base = "90s", auth.token.file = "token",
    options = { deep = { er = 1 } } },
  { name = "\u006fther", protocol = "elsewhere", url = """ws://\
         h""", topics = ["a"] },
]
[nats.embedded]
listen = ""
[nats]
url = "nats://a:4222,tls://b:4222"
buffer = "1024 MiB"
`
	)
	a, b := mustParse(t, tables), mustParse(t, other)
	for _, c := range []*Config{a, b} {
		for _, f := range c.Feeds {
			for i := range f.Topics {
				f.Topics[i].Place = Place{}
			}
		}
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%+v %+v\nis not\n%+v %+v", a, a.Feeds[0], b, b.Feeds[0])
	}
}

// Each key in the text has the number of its line as its value.
func TestMarksAreTheLinesOfTheKeys(t *testing.T) {
	const text = `a = 1
[b]
c.d = 3
"e.f" = 4
[[feed]]
g = 6
[feed.limits]
h = 8

[[feed]]
g = 11
i = [
  13, 14
  , [15],
  { j = 16,
    k.l = 17 }]
[[feed.sub]]
m = 19
[[feed.sub]]
m = 21
[feed.sub.n]
o = 23
[b.p.q]
[b.p]
r = 26
`
	want := map[string]int{
		"a": 1, "b": 2, "b.c": 3, "b.c.d": 3, `b."e.f"`: 4,
		"feed": 5, "feed[0]": 5, "feed[0].g": 6, "feed[0].limits": 7, "feed[0].limits.h": 8,
		"feed[1]": 10, "feed[1].g": 11, "feed[1].i": 12, "feed[1].i[0]": 13, "feed[1].i[1]": 13,
		"feed[1].i[2]": 12, "feed[1].i[2][0]": 14, // an array in an array has no place of its own
		"feed[1].i[3]": 15, "feed[1].i[3].j": 15, "feed[1].i[3].k": 16, "feed[1].i[3].k.l": 16,
		"feed[1].sub": 17, "feed[1].sub[0]": 17, "feed[1].sub[0].m": 18,
		"feed[1].sub[1]": 19, "feed[1].sub[1].m": 20, "feed[1].sub[1].n": 21, "feed[1].sub[1].n.o": 22,
		"b.p": 24, "b.p.q": 23, "b.p.r": 25,
	}
	marks, twice, _, err := findMarks([]byte(text))
	if err != nil || twice != nil {
		t.Fatal(err, twice)
	}
	for path, line := range want {
		if marks[path].line != line {
			t.Errorf("%s is at line %d, want %d", path, marks[path].line, line)
		}
	}
	for path := range marks {
		if want[path] == 0 {
			t.Errorf("%s is not in the text", path)
		}
	}
}

func TestRedactURLShowsNoSecret(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                "",
		"embedded":                        "embedded",
		"host:4222":                       "host:4222",
		"wss://host":                      "wss://host",
		"wss://host:1/a/btcusdt@trade":    "wss://host:1/a/btcusdt@trade",
		"wss://host/a%2Fb?token=hidden":   "wss://host/a%2Fb",
		"wss://host?hidden":               "wss://host",
		"wss://host/#hidden":              "wss://host/",
		"wss://hidden@host/a":             "wss://host/a",
		"wss://user:hidden@[::1]:443/a":   "wss://[::1]:443/a",
		"nats://user:hid/hidden@host":     "nats://…",
		"nats://user:hid%hidden@host":     "nats://…",
		"nats://user:hid?hidden@host":     "nats://…",
		"user:hidden@host":                "…",
		"host?hidden":                     "…",
		"hidden@host?://":                 "…",
		"//user:hidden@host":              "//host",
		"wss://user:hidden@":              "wss://…",
		"mailto:hidden@host":              "…",
		"wss://host\x7f/hidden?a=hidden%": "wss://…",
	} {
		if got := RedactURL(raw); got != want {
			t.Errorf("RedactURL(%q) = %q, want %q", raw, got, want)
		}
	}
	for raw, want := range map[string]string{
		"host":                             "host",
		"nats://u:hidden@a,nats://b?hid":   "nats://a,nats://b",
		"nats://u:hid,hidden@a:1,nats://b": "nats://…,…,nats://b",
		"nats://u:1,hidden,hidden@a":       "nats://u:1,…,…",
	} {
		if got := RedactURLs(raw); got != want {
			t.Errorf("RedactURLs(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestRatesAndSizesAreWrittenAsTheyAreRead(t *testing.T) {
	for _, s := range []string{"1KiB", "16MiB", "3GiB", "0B", "1000B", "1025KiB"} {
		n, ok := parseSize(s)
		if got := formatSize(n); !ok || got != s {
			t.Errorf("%s becomes %s", s, got)
		}
	}
	for s, want := range map[string]int{"1024": 1024, "2kB": 2000, "2KB": 2000, "3MB": 3e6, "1GB": 1e9, "7 B": 7} {
		if n, ok := parseSize(s); !ok || n != want {
			t.Errorf("%s is %d bytes", s, n)
		}
	}
	for _, s := range []string{"", "B", "KiB", "1Ki", "1 k B", "0x1", "1kBB", "1tB", "+1", " 1",
		"9223372036854775808", "8589934592GiB"} {
		if n, ok := parseSize(s); ok {
			t.Errorf("%q is %d bytes", s, n)
		}
	}
	for _, s := range []string{"1/2s", "10/1m", "3/1h", "3/1h30m", "1/1h0m1s", "5/500ms"} {
		var r Rate
		d := &decoder{}
		if rate(&r)(d, "", s); r.String() != s || d.problems != nil {
			t.Errorf("%s becomes %s", s, r)
		}
	}
}
