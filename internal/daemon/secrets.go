package daemon

import (
	"fmt"
	"log/slog"

	"feedmux/internal/config"
	"feedmux/internal/daemon/settings"
	"feedmux/internal/secret"
	"feedmux/limiter"
	"feedmux/shard"
)

// Window is a rate of the configuration.
func Window(r config.Rate) limiter.Window { return settings.Window(r) }

// Placement is a feed's.
func Placement(f *config.Feed) (shard.Placement, error) { return settings.Placement(f) }

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

// secretless is a sentence for people, where err says why f's secret cannot be had now.
func (f *feed) secretless(err error) []string {
	if err == nil {
		return nil
	}
	then := "going on with the last one"
	if !f.secret.State().Good {
		then = "going on without"
	}
	return []string{fmt.Sprintf("feed %s: the secret cannot be had: %v; %s", f.name, err, then)}
}
