// Package dialects is the table of protocols: what the configuration must know of each, and what the daemon must. It is the
// only package that knows every protocol. To add one, add it to all.
//
// What it knows, it holds configurations against: options and topics, each protocol by itself, and subjects, all feeds
// together.
package dialects

import (
	"context"
	"fmt"

	"feedmux/internal/config"
	"feedmux/internal/daemon/dialect"
	"feedmux/internal/secret"
	"feedmux/shard"
)

// Dialect is one protocol.
type Dialect struct {
	config.Protocol
	dialect.Dialect

	// claims are the topics of a feed that may have a subject of their own, now or later. What of it is not known yet is none
	// of their Values. nil: those that its protocol has nothing against.
	claims func(*config.Feed) []shard.Wanted
	// distinct is the variable of subjects that tells topics apart as well as {topic} does; "": none does.
	distinct string
	// values is how many an event has that names an aside.
	values int
	// messages is how many it takes to ask for a batch; nil: one.
	messages func(batch []shard.Wanted) int
}

// all are the protocols that a feed may name.
func all() map[string]Dialect {
	return map[string]Dialect{"twitch-pubsub": twitchPubSub(), "kite": kiteTicker(), "scaiwave": scaiWave()}
}

// Of is the protocol of a feed whose configuration was checked.
func Of(f *config.Feed) (Dialect, error) {
	d, ok := all()[f.Protocol]
	if !ok {
		return Dialect{}, fmt.Errorf("feed %s: protocol %q is not known", f.Name, f.Protocol)
	}
	return d, nil
}

// LoadOptions are what a configuration is checked against: all that feedmux can do.
func LoadOptions() config.LoadOptions {
	protocols := make(map[string]config.Protocol)
	for name, d := range all() {
		protocols[name] = d.Protocol
	}
	return config.LoadOptions{Protocols: protocols, Check: checkSubjects}
}

// Daemon is the protocols as the daemon must know them, for its Options.
func Daemon() map[string]dialect.Dialect {
	list := make(map[string]dialect.Dialect)
	for name, d := range all() {
		list[name] = d.Dialect
	}
	return list
}

// Messages is how many it takes to ask for a batch of topics.
func (d Dialect) Messages(batch []shard.Wanted) int {
	if d.messages == nil {
		return 1
	}
	return d.messages(batch)
}

// ignore is for what the configuration's check has reported.
func ignore(string, string, ...any) {}

// tokenOf fetches the secret; nil where there is none.
func tokenOf(s *secret.Secret) func(context.Context) (string, error) {
	if s == nil {
		return nil
	}
	return func(ctx context.Context) (string, error) { return s.Value(ctx) }
}
