package config

import (
	"fmt"
	"math"
	"regexp"
	"time"
)

// This file is the list of all keys: where each value goes, and what it must be.

func rootFields(c *Config) []field {
	return []field{
		{name: "nats", table: []field{
			{name: "url", decode: guarded(&c.NATS.URL, RedactURLs, natsURL)},
			{name: "name", decode: text(&c.NATS.Name, nonEmpty)},
			{name: "buffer", decode: size(&c.NATS.Buffer, 64*kib, gib)},
			{name: "delivery", decode: text(&c.NATS.Delivery, delivery)},
			{name: "headers", decode: text(&c.NATS.Headers, oneOf("none", "minimal", "full"))},
			{name: "embedded", table: []field{
				{name: "listen", decode: text(&c.NATS.Embedded.Listen, listenAddress)},
				{name: "store_dir", decode: fileName(&c.NATS.Embedded.StoreDir)},
			}},
		}},
		{name: "http", table: []field{
			{name: "listen", decode: text(&c.HTTP.Listen, listenAddress)},
			{name: "ready", decode: share(&c.HTTP.Ready, 1)},
			{name: "pprof", decode: boolean(&c.HTTP.Pprof)},
		}},
		{name: "log", table: []field{
			{name: "level", decode: text(&c.Log.Level, oneOf("debug", "info", "warn", "error"))},
			{name: "format", decode: text(&c.Log.Format, oneOf("auto", "text", "json"))},
		}},
		{name: "feed", decode: decodeFeeds, table: feedFields(&Feed{}, Protocol{})},
	}
}

var (
	feedName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// feedFields are the keys of one [[feed]] of protocol p.
func feedFields(f *Feed, p Protocol) []field {
	// Times are bounded so that no figure makes a busy loop or a wait without an end.
	const tick, hour, day = 100 * time.Millisecond, time.Hour, 24 * time.Hour

	ceiling := fmt.Sprintf("the most that %s allows", f.Protocol)
	connections := ceiling
	if p.Connections == maxConnections {
		connections = "the most that feedmux opens to one account"
	}
	return []field{
		{name: "name", required: true, decode: text(&f.Name, matching(feedName, "1 to 32 of a-z, 0-9, _ and -"))},
		{name: "protocol", required: true, decode: decodeProtocol(&f.Protocol)},
		{name: "url", decode: guarded(&f.URL, RedactURL, upstreamURL)},
		{name: "topics", decode: decodeTopics(&f.Topics), table: topicFields(&Topic{})},
		{name: "topics_file", decode: fileName(&f.TopicsFile)},
		{name: "subject", decode: text(&f.Subject, nonEmpty)},
		{name: "placement", decode: text(&f.Placement, oneOf("pack", "spread"))},
		{name: "max_message", decode: size(&f.MaxMessage, kib, 16*mib)},
		{name: "limits", table: []field{
			{name: "connections", decode: number(&f.Limits.Connections, 1, p.Connections, connections)},
			{name: "topics_per_connection",
				decode: number(&f.Limits.TopicsPerConnection, 1, p.TopicsPerConnection, ceiling)},
			{name: "subscribe_batch", decode: number(&f.Limits.SubscribeBatch, 1, p.SubscribeBatch, ceiling)},
			{name: "subscribe_rate", decode: rate(&f.Limits.SubscribeRate)},
		}},
		{name: "dial", table: []field{
			{name: "rate", decode: rate(&f.Dial.Rate)},
			{name: "in_flight", decode: number(&f.Dial.InFlight, 1, maxConnections, "")},
			{name: "timeout", decode: duration(&f.Dial.Timeout, tick, hour)},
		}},
		{name: "ping", table: []field{
			{name: "interval", decode: duration(&f.Ping.Interval, tick, hour)},
			{name: "jitter", decode: share(&f.Ping.Jitter, 0.5)},
			{name: "timeout", decode: duration(&f.Ping.Timeout, tick, hour)},
			{name: "silence", decode: duration(&f.Ping.Silence, 0, day)},
		}},
		{name: "backoff", table: []field{
			{name: "base", decode: duration(&f.Backoff.Base, time.Millisecond, day)},
			{name: "max", decode: duration(&f.Backoff.Max, time.Millisecond, day)},
			{name: "settle", decode: duration(&f.Backoff.Settle, time.Millisecond, day)},
		}},
		{name: "auth", decode: decodeAuth(&f.Auth), table: authFields(&f.Auth)},
		{name: "options", decode: func(d *decoder, at string, v any) {
			tree, ok := v.(map[string]any)
			if !ok {
				d.wrongType(at, "a table", v)
				return
			}
			f.Options = tree
		}},
	}
}

// topicFields are the keys of a topic that is written as a table.
func topicFields(t *Topic) []field {
	return []field{
		{name: "topic", required: true, decode: text(&t.Name, nonEmpty)},
		{name: "priority", decode: number(&t.Priority, math.MinInt32, math.MaxInt32, "")},
	}
}

// authFields are those of the token itself and of the table that may hold it.
func authFields(s *Secret) []field {
	return append(secretFields(s), field{name: "token", table: secretFields(s)})
}

func secretFields(s *Secret) []field {
	return []field{
		{name: "file", decode: fileName(&s.File)},
		{name: "env", decode: guarded(&s.Env, hidden, func(name string) string {
			if name == "" || variable.MatchString(name) {
				return ""
			}
			return "must be the name of an environment variable"
		})},
	}
}

// hidden shows nothing of a value that may be the secret itself, put in the wrong place.
func hidden(string) string { return "…" }

func delivery(s string) string {
	if s == "jetstream" || s == "ordered" {
		return "does not exist yet: core is the only delivery so far"
	}
	return oneOf("core")(s)
}
