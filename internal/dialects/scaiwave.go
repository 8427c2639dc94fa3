package dialects

import (
	"context"
	"strings"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/daemon/dialect"
	"feedmux/internal/protocol"
	"feedmux/internal/protocol/scaiwave"
	"feedmux/internal/secret"
	"feedmux/shard"
)

func scaiWave() Dialect {
	return Dialect{
		Protocol: config.Protocol{
			Connections:         scaiwave.Connections,
			TopicsPerConnection: scaiwave.TopicsPerConnection,
			SubscribeBatch:      scaiwave.SubscribeBatch,
			Ping:                scaiwave.PingInterval,
			BackoffMax:          30 * time.Second,
			Subject:             scaiwave.DefaultSubject,
			NoFrame:             "events that are caught up come another way, and in no frame",
			URLForm:             "wss://HOST/v1/stream",
			NeedsSecret:         true,
			Account: func(f *config.Feed) string {
				if !f.Auth.IsSet() {
					return "scaiwave-" + f.Name // that it is missing is told by itself
				}
				return "scaiwave-" + fingerprint(tokenAtLoad(f))
			},
			Check: func(f *config.Feed, report config.Report) {
				scaiwave.DecodeOptions(f.Options, report)
				if err := scaiwave.CheckURL(f.URL); err != nil {
					report("url", "%v", err)
				}
				checkTopics(scaiwave.New(scaiwave.Options{}), f, report)
				checkPace(f, report)
			},
		},
		Dialect: dialect.Dialect{
			New: func(f *config.Feed, s *secret.Secret) (protocol.Protocol, error) {
				o := scaiwave.DecodeOptions(f.Options, ignore)
				return scaiwave.New(scaiwave.Options{URL: f.URL, Token: tokenOf(s), Tenant: o.Tenant}), nil
			},
			Variables: scaiwave.Variables(),
			Values: func(w shard.Wanted) [][]byte {
				room, typ := scaiwave.Fields(w.Topic)
				return [][]byte{known(room), known(typ)}
			},
			Start: func(f *config.Feed) []byte { return scaiwave.DecodeOptions(f.Options, ignore).Start() },
			Scope: func(f *config.Feed) string { return hostOf(f) + " " + scaiwave.DecodeOptions(f.Options, ignore).Tenant },
		},
		messages: func([]shard.Wanted) int { return 0 }, // nothing is asked
	}
}

// tokenAtLoad is a feed's token, or where it is kept if it cannot be read now, or only by running something.
func tokenAtLoad(f *config.Feed) string {
	if f.Auth.Command != nil {
		return strings.Join(f.Auth.Command, "\x00")
	}
	source := secret.Source{File: f.Auth.File, Env: f.Auth.Env}
	if value, err := secret.New(source, secret.Options{}).Value(context.Background()); err == nil && value != "" {
		return value
	}
	return source.File + source.Env
}

// known is a value that all events of a topic have; nil where it is empty, which is any.
func known(value string) []byte {
	if value == "" {
		return nil
	}
	return []byte(value)
}
