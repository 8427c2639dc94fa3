package config

import (
	"fmt"
	"math"
	"regexp"
	"time"

	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
)

// field is one key that a table may have.
type field = strict.Field

// This file is the list of all keys: where each value goes, and what it must be.

func (l *loader) rootFields(c *Config) []field {
	return []field{
		{Name: "nats", Table: []field{
			{Name: "url", Decode: strict.Guarded(&c.NATS.URL, RedactURLs, natsURL)},
			{Name: "name", Decode: strict.Text(&c.NATS.Name, strict.NonEmpty)},
			{Name: "buffer", Decode: strict.Size(&c.NATS.Buffer, 64*strict.KiB, strict.GiB)},
			{Name: "delivery", Decode: strict.Text(&c.NATS.Delivery, delivery)},
			{Name: "headers", Decode: strict.Text(&c.NATS.Headers, strict.OneOf("none", "minimal", "full"))},
			{Name: "embedded", Table: []field{
				{Name: "listen", Decode: strict.Text(&c.NATS.Embedded.Listen, listenAddress)},
				{Name: "store_dir", Decode: strict.FileName(&c.NATS.Embedded.StoreDir)},
			}},
		}},
		{Name: "http", Table: []field{
			{Name: "listen", Decode: strict.Text(&c.HTTP.Listen, listenAddress)},
			{Name: "ready", Decode: strict.Share(&c.HTTP.Ready, 1)},
			{Name: "pprof", Decode: strict.Boolean(&c.HTTP.Pprof)},
		}},
		{Name: "log", Table: []field{
			{Name: "level", Decode: strict.Text(&c.Log.Level, strict.OneOf("debug", "info", "warn", "error"))},
			{Name: "format", Decode: strict.Text(&c.Log.Format, strict.OneOf("auto", "text", "json"))},
		}},
		{Name: "account", Decode: l.decodeAccounts, Table: []field{{Name: "NAME", Table: accountFields(&Account{})}}},
		{Name: "feed", Decode: l.decodeFeeds, Table: l.feedFields(&Feed{}, Protocol{})},
	}
}

var feedName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// Times are bounded so that no figure makes a busy loop or a wait without an end.
const tick, hour, day = 100 * time.Millisecond, time.Hour, 24 * time.Hour

const (
	nameForm   = "1 to 32 of a-z, 0-9, _ and -"
	ourCeiling = "the most that feedmux opens to one account"
)

// accountFields are the keys of one [account.NAME].
func accountFields(a *Account) []field {
	return []field{
		{Name: "connections", Decode: strict.Number(&a.Connections, 1, maxConnections, ourCeiling)},
		{Name: "dial_rate", Decode: strict.Rate(&a.DialRate.N, &a.DialRate.Per)},
		{Name: "in_flight", Decode: strict.Number(&a.InFlight, 1, maxConnections, "")},
		{Name: "hold", Decode: strict.Duration(&a.Hold, tick, hour)},
	}
}

// feedFields are the keys of one [[feed]] of protocol p.
func (l *loader) feedFields(f *Feed, p Protocol) []field {
	ceiling := fmt.Sprintf("the most that %s allows", f.Protocol)
	connections := ceiling
	if p.Connections == maxConnections {
		connections = ourCeiling
	}
	return []field{
		{Name: "name", Required: true, Decode: strict.Text(&f.Name, strict.Matching(feedName, nameForm))},
		{Name: "protocol", Required: true, Decode: l.decodeProtocol(&f.Protocol)},
		{Name: "url", Decode: strict.Guarded(&f.URL, RedactURL, upstreamURL)},
		{Name: "account", Decode: strict.Text(&f.Account, func(s string) string {
			if s == "" {
				return ""
			}
			return strict.Matching(feedName, nameForm)(s)
		})},
		{Name: "topics", Decode: decodeTopics(&f.Topics, p.TopicKeys), Table: topicFields(&Topic{}, p.TopicKeys)},
		{Name: "topics_file", Decode: strict.FileName(&f.TopicsFile)},
		{Name: "subject", Decode: strict.Text(&f.Subject, strict.NonEmpty)},
		{Name: "payload", Decode: strict.Text(&f.Payload, func(s string) string {
			if s == payloadFrame && p.NoFrame != "" {
				return fmt.Sprintf("is not for %s: %s", f.Protocol, p.NoFrame)
			}
			return strict.OneOf(payloadEvent, payloadFrame)(s)
		})},
		{Name: "overflow", Decode: strict.Text(&f.Overflow, strict.OneOf("park", "turns", "reject"))},
		{Name: "dwell", Decode: strict.Duration(&f.Dwell, time.Second, day)},
		{Name: "placement", Decode: strict.Text(&f.Placement, strict.OneOf("pack", "spread"))},
		{Name: "max_message", Decode: strict.Size(&f.MaxMessage, strict.KiB, 16*strict.MiB)},
		{Name: "max_age", Decode: strict.DurationOrNever(&f.MaxAge, time.Second, 30*day)},
		{Name: "limits", Table: []field{
			{Name: "connections", Decode: strict.Number(&f.Limits.Connections, 1, p.Connections, connections)},
			{Name: "topics_per_connection",
				Decode: strict.Number(&f.Limits.TopicsPerConnection, 1, p.TopicsPerConnection, ceiling)},
			{Name: "reserve", Decode: strict.Number(&f.Limits.Reserve, 0, maxConnections-1, "")},
			{Name: "hold", Decode: strict.Duration(&f.Limits.Hold, tick, hour)},
			{Name: "subscribe_batch", Decode: strict.Number(&f.Limits.SubscribeBatch, 1, p.SubscribeBatch, ceiling)},
			{Name: "subscribe_rate", Decode: strict.Rate(&f.Limits.SubscribeRate.N, &f.Limits.SubscribeRate.Per)},
		}},
		{Name: "dial", Table: []field{
			{Name: "rate", Decode: strict.Rate(&f.Dial.Rate.N, &f.Dial.Rate.Per)},
			{Name: "in_flight", Decode: strict.Number(&f.Dial.InFlight, 1, maxConnections, "")},
			{Name: "timeout", Decode: strict.Duration(&f.Dial.Timeout, tick, hour)},
		}},
		{Name: "ping", Table: []field{
			{Name: "interval", Decode: strict.Duration(&f.Ping.Interval, tick, hour)},
			{Name: "jitter", Decode: strict.Share(&f.Ping.Jitter, 0.5)},
			{Name: "timeout", Decode: strict.Duration(&f.Ping.Timeout, tick, hour)},
			{Name: "silence", Decode: strict.Duration(&f.Ping.Silence, 0, day)},
		}},
		{Name: "backoff", Table: []field{
			{Name: "base", Decode: strict.Duration(&f.Backoff.Base, time.Millisecond, day)},
			{Name: "max", Decode: strict.Duration(&f.Backoff.Max, time.Millisecond, day)},
			{Name: "settle", Decode: strict.Duration(&f.Backoff.Settle, time.Millisecond, day)},
		}},
		{Name: "auth", Decode: decodeAuth(&f.Auth), Table: authFields(&f.Auth)},
		{Name: "options", Decode: func(d *strict.Decoder, at string, v any) {
			tree, ok := v.(map[string]any)
			if !ok {
				d.WrongType(at, "a table", v)
				return
			}
			for _, name := range p.FileOptions {
				if file, ok := tree[name].(string); ok {
					strict.FileName(&file)(d, marks.Join(at, name), file)
					tree[name] = file
				}
			}
			f.Options = tree
		}},
	}
}

// topicFields are the keys of a topic that is written as a table, those of the protocol last.
func topicFields(t *Topic, own []string) []field {
	fields := []field{
		{Name: "topic", Required: true, Decode: strict.Text(&t.Name, strict.NonEmpty)},
		{Name: "priority", Decode: strict.Number(&t.Priority, math.MinInt32, math.MaxInt32, "")},
	}
	for _, name := range own {
		fields = append(fields, field{Name: name, Decode: func(_ *strict.Decoder, _ string, v any) {
			if t.Options == nil {
				t.Options = map[string]any{}
			}
			t.Options[name] = v
		}})
	}
	return fields
}

// authFields are those of the token itself and of the table that may hold it.
func authFields(s *Secret) []field {
	return append(secretFields(s), field{Name: "token", Table: secretFields(s)})
}

func secretFields(s *Secret) []field {
	return []field{
		{Name: "file", Decode: strict.FileName(&s.File)},
		{Name: "env", Decode: strict.Guarded(&s.Env, hidden, func(name string) string {
			if name == "" || strict.IsVariable(name) {
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
	return strict.OneOf("core")(s)
}
