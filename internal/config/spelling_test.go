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
