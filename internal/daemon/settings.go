package daemon

import (
	"fmt"
	"log/slog"

	"feedmux/internal/config"
	"feedmux/internal/protocol"
	"feedmux/internal/secret"
	"feedmux/limiter"
	"feedmux/pool"
	"feedmux/shard"
)

// Window is a rate of the configuration.
func Window(r config.Rate) limiter.Window { return limiter.Window{N: r.N, Per: r.Per} }

// Placement is a feed's.
func Placement(f *config.Feed) (shard.Placement, error) {
	switch f.Placement {
	case "pack":
		return shard.Pack, nil
	case "spread":
		return shard.Spread, nil
	}
	return 0, fmt.Errorf("feed %s: placement %q is not known", f.Name, f.Placement)
}

func overflowOf(f *config.Feed) (pool.Overflow, error) {
	switch f.Overflow {
	case "park":
		return pool.Park, nil
	case "turns":
		return pool.Turns, nil
	case "reject":
		return pool.Reject, nil
	}
	return 0, fmt.Errorf("feed %s: overflow %q is not known", f.Name, f.Overflow)
}

func backoffOf(f *config.Feed, limits protocol.Limits) limiter.Backoff {
	return limiter.Backoff{Base: f.Backoff.Base, Max: f.Backoff.Max, Settle: f.Backoff.Settle, AtOnce: limits.RetryAtOnce}
}

// SecretSource is where a feed's secret is.
func SecretSource(f *config.Feed) secret.Source {
	return secret.Source{File: f.Auth.File, Env: f.Auth.Env, Command: f.Auth.Command}
}

// secretOf is the secret of a feed; nil where none is configured. That it cannot be had is a line in the log, once for
// each reason.
func secretOf(f *config.Feed, log *slog.Logger) *secret.Secret {
	if !f.Auth.IsSet() {
		return nil
	}
	return secret.New(SecretSource(f), secret.Options{
		RefreshBefore: f.Auth.RefreshBefore, Seed: seed(),
		Log: func(err error) {
			log.Warn("the secret cannot be had: going on with the last one, or without", "feed", f.Name, "error", err)
		},
	})
}
