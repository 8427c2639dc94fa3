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
	if !reflect.DeepEqual(counts(a), counts(b)) {
		t.Errorf("%+v %+v\nis not\n%+v %+v", a, a.Feeds[0], b, b.Feeds[0])
	}
}
