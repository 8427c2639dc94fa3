package config

import (
	"fmt"
	"regexp"
	"time"

	"feedmux/internal/config/forms"
	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
	"feedmux/internal/config/topics"
)

// field is one key that a table may have.
type field = strict.Field

// This file is the list of all keys: where each value goes, what it must be, and when a reload makes it count.

func (l *loader) rootFields(c *Config) []field {
	return []field{
		{Name: "nats", Table: []field{
			{Name: "url", Reach: Restart, Kind: strict.Guarded(&c.NATS.URL, RedactURLs, forms.NATS)},
			{Name: "name", Reach: Restart, Kind: strict.Text(&c.NATS.Name, strict.NonEmpty)},
			{Name: "buffer", Reach: Restart, Kind: strict.Size(&c.NATS.Buffer, 64*strict.KiB, strict.GiB)},
			{Name: "delivery", Reach: Restart, Kind: strict.Text(&c.NATS.Delivery, delivery)},
			{Name: "headers", Reach: Restart, Kind: strict.Text(&c.NATS.Headers, strict.OneOf("none", "minimal", "full"))},
			{Name: "creds_file", Reach: Restart, Kind: strict.FileName(&c.NATS.CredsFile)},
			{Name: "nkey_file", Reach: Restart, Kind: strict.FileName(&c.NATS.NKeyFile)},
			{Name: "user", Reach: Restart, Kind: strict.Text(&c.NATS.User, anything)},
			{Name: "password_file", Reach: Restart, Kind: strict.FileName(&c.NATS.PasswordFile)},
			{Name: "token_file", Reach: Restart, Kind: strict.FileName(&c.NATS.TokenFile)},
			{Name: "context", Reach: Restart, Kind: strict.Text(&c.NATS.Context, forms.Context)},
			{Name: "tls", Table: []field{
				{Name: "ca_file", Reach: Restart, Kind: strict.Authorities(&c.NATS.TLS.CAFile)},
				{Name: "cert_file", Reach: Restart, Kind: strict.FileName(&c.NATS.TLS.CertFile)},
				{Name: "key_file", Reach: Restart, Kind: strict.FileName(&c.NATS.TLS.KeyFile)},
				{Name: "first", Reach: Restart, Kind: strict.Boolean(&c.NATS.TLS.First)},
			}},
			{Name: "embedded", Table: []field{
				{Name: "listen", Reach: Restart, Kind: strict.Text(&c.NATS.Embedded.Listen, forms.Listen(usualNATS))},
				{Name: "store_dir", Reach: Restart, Kind: strict.FileName(&c.NATS.Embedded.StoreDir)},
			}},
		}},
		{Name: "http", Table: []field{
			{Name: "listen", Reach: Restart, Kind: strict.Text(&c.HTTP.Listen, forms.Listen(usualHTTP))},
			{Name: "ready", Reach: Now, Kind: strict.Share(&c.HTTP.Ready, 1)},
			{Name: "pprof", Reach: Restart, Kind: strict.Boolean(&c.HTTP.Pprof)},
		}},
		{Name: "log", Table: []field{
			{Name: "level", Reach: Now, Kind: strict.Text(&c.Log.Level, strict.OneOf("debug", "info", "warn", "error"))},
			{Name: "format", Reach: Restart, Kind: strict.Text(&c.Log.Format, strict.OneOf("auto", "text", "json"))},
		}},
		{Name: "account", Kind: custom(l.decodeAccounts), Table: []field{{Name: "NAME", Table: accountFields(&Account{})}}},
		{Name: "feed", Kind: custom(l.decodeFeeds), Table: l.feedFields(&Feed{}, Protocol{})},
	}
}

var feedName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// Times are bounded so that no figure makes a busy loop or a wait without an end.
const tick, hour, day = 100 * time.Millisecond, time.Hour, 24 * time.Hour

// youngest is the least max_age: a connection that is handed over before it is warm never serves.
const youngest = 10 * time.Second

const (
	nameForm   = "1 to 32 of a-z, 0-9, _ and -"
	ourCeiling = "the most that feedmux opens to one account"
)

// accountFields are the keys of one [account.NAME].
func accountFields(a *Account) []field {
	return []field{
		{Name: "connections", Reach: Restart, Kind: strict.Number(&a.Connections, 1, maxConnections, ourCeiling)},
		{Name: "dial_rate", Reach: Restart, Kind: strict.Rate(&a.DialRate.N, &a.DialRate.Per)},
		{Name: "in_flight", Reach: Restart, Kind: strict.Number(&a.InFlight, 1, maxConnections, "")},
		{Name: "hold", Reach: Restart, Kind: strict.Duration(&a.Hold, tick, hour)},
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
		{Name: "name", Reach: Restart, Required: true, Kind: strict.Text(&f.Name, strict.Matching(feedName, nameForm))},
		{Name: "protocol", Reach: Restart, Required: true, Kind: l.protocolName(&f.Protocol)},
		{Name: "url", Reach: Restart, Kind: strict.Guarded(&f.URL, RedactURL, forms.Upstream)},
		{Name: "account", Reach: Restart, Kind: strict.Text(&f.Account, func(s string) string {
			if s == "" {
				return ""
			}
			return strict.Matching(feedName, nameForm)(s)
		})},
		{Name: "topics", Reach: Now, Kind: custom(topics.Array(&f.Listed, p.TopicKeys)),
			Table: within(Now, topics.Fields(&Topic{}, p.TopicKeys))},
		{Name: "topics_file", Reach: Now, Kind: strict.FileName(&f.TopicsFile)},
		{Name: "subject", Reach: Restart, Kind: strict.Text(&f.Subject, strict.NonEmpty)},
		{Name: "payload", Reach: Restart, Kind: strict.Text(&f.Payload, func(s string) string {
			if s == payloadFrame && p.NoFrame != "" {
				return fmt.Sprintf("is not for %s: %s", f.Protocol, p.NoFrame)
			}
			return strict.OneOf(payloadEvent, payloadFrame)(s)
		})},
		{Name: "overflow", Reach: Restart, Kind: strict.Text(&f.Overflow, strict.OneOf("park", "turns", "reject"))},
		{Name: "dwell", Reach: Now, Kind: strict.Duration(&f.Dwell, time.Second, day)},
		{Name: "placement", Reach: Now, Kind: strict.Text(&f.Placement, strict.OneOf("pack", "spread"))},
		{Name: "max_message", Reach: NextLife, Kind: strict.Size(&f.MaxMessage, strict.KiB, 16*strict.MiB)},
		{Name: "max_age", Reach: NextLife, Kind: strict.DurationOrNever(&f.MaxAge, youngest, 30*day)},
		{Name: "proxy", Reach: Restart, Kind: strict.Guarded(&f.Proxy, RedactURL, forms.Proxy)},
		{Name: "local_address", Reach: Restart, Kind: forms.LocalAddress(&f.LocalAddress)},
		{Name: "tls", Table: []field{
			{Name: "ca_file", Reach: NextLife, Kind: strict.Authorities(&f.TLS.CAFile)},
			{Name: "server_name", Reach: NextLife, Kind: strict.Text(&f.TLS.ServerName, forms.ServerName)},
		}},
		{Name: "limits", Table: []field{
			{Name: "connections", Reach: Restart, Kind: strict.Number(&f.Limits.Connections, 1, p.Connections, connections)},
			{Name: "topics_per_connection", Reach: Now,
				Kind: strict.Number(&f.Limits.TopicsPerConnection, 1, p.TopicsPerConnection, ceiling)},
			{Name: "reserve", Reach: Restart, Kind: strict.Number(&f.Limits.Reserve, 0, maxConnections-1, "")},
			{Name: "hold", Reach: Restart, Kind: strict.Duration(&f.Limits.Hold, tick, hour)},
			{Name: "subscribe_batch", Reach: NextLife, Kind: strict.Number(&f.Limits.SubscribeBatch, 1, p.SubscribeBatch, ceiling)},
			{Name: "subscribe_rate", Reach: NextLife, Kind: strict.Rate(&f.Limits.SubscribeRate.N, &f.Limits.SubscribeRate.Per)},
		}},
		{Name: "dial", Table: []field{
			{Name: "rate", Reach: Restart, Kind: strict.Rate(&f.Dial.Rate.N, &f.Dial.Rate.Per)},
			{Name: "in_flight", Reach: Restart, Kind: strict.Number(&f.Dial.InFlight, 1, maxConnections, "")},
			{Name: "timeout", Reach: NextLife, Kind: strict.Duration(&f.Dial.Timeout, tick, hour)},
		}},
		{Name: "ping", Table: []field{
			{Name: "interval", Reach: NextLife, Kind: strict.Duration(&f.Ping.Interval, tick, hour)},
			{Name: "jitter", Reach: NextLife, Kind: strict.Share(&f.Ping.Jitter, 0.5)},
			{Name: "timeout", Reach: NextLife, Kind: strict.Duration(&f.Ping.Timeout, tick, hour)},
			{Name: "silence", Reach: NextLife, Kind: strict.Duration(&f.Ping.Silence, 0, day)},
		}},
		{Name: "backoff", Table: []field{
			{Name: "base", Reach: NextLife, Kind: strict.Duration(&f.Backoff.Base, time.Millisecond, day)},
			{Name: "max", Reach: NextLife, Kind: strict.Duration(&f.Backoff.Max, time.Millisecond, day)},
			{Name: "settle", Reach: NextLife, Kind: strict.Duration(&f.Backoff.Settle, time.Millisecond, day)},
		}},
		{Name: "auth", Kind: custom(decodeAuth(&f.Auth)), Table: authFields(&f.Auth)},
		{Name: "options", Reach: Restart, Kind: custom(func(d *strict.Decoder, at string, v any) {
			tree, ok := v.(map[string]any)
			if !ok {
				d.WrongType(at, "a table", v)
				return
			}
			for _, name := range p.FileOptions {
				if file, ok := tree[name].(string); ok {
					strict.FileName(&file).Decode(d, marks.Join(at, name), file)
					tree[name] = file
				}
			}
			f.Options = tree
		})},
	}
}

// custom is the kind of what is read by a function of its own, and not shown by itself.
func custom(decode strict.DecodeFunc) strict.Kind { return strict.Kind{Decode: decode} }

// authFields are those of the token itself and of the table that may hold it.
func authFields(s *Secret) []field {
	return append(secretFields(s), field{Name: "token", Table: secretFields(s)})
}

func secretFields(s *Secret) []field {
	return []field{
		{Name: "file", Reach: Now, Kind: strict.FileName(&s.File)},
		{Name: "env", Reach: Now, Kind: strict.Kind{
			Show: func() string { return s.Env },
			Decode: strict.Guarded(&s.Env, hidden, func(name string) string {
				if name == "" || strict.IsVariable(name) {
					return ""
				}
				return "must be the name of an environment variable"
			}).Decode,
		}},
		{Name: "command", Reach: Now, Kind: forms.Command(&s.Command)},
		{Name: "refresh_before", Reach: Now, Kind: strict.Duration(&s.RefreshBefore, 0, day)},
	}
}

// within gives all of fields one reach.
func within(reach Reach, fields []field) []field {
	for i := range fields {
		fields[i].Reach = reach
	}
	return fields
}

func anything(string) string { return "" }

// hidden shows nothing of a value that may be the secret itself, put in the wrong place.
func hidden(string) string { return "…" }

func delivery(s string) string {
	if s == "jetstream" || s == "ordered" {
		return "does not exist yet: core is the only delivery so far"
	}
	return strict.OneOf("core")(s)
}
