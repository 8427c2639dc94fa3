// Package settings is what a feed's configuration says, in the words of those who need it: its pool and its account.
package settings

import (
	"fmt"

	"feedmux/internal/account"
	"feedmux/internal/config"
	"feedmux/internal/conn"
	"feedmux/internal/daemon/network"
	"feedmux/internal/protocol"
	"feedmux/limiter"
	"feedmux/pool"
	"feedmux/shard"
)

// Of is what may change of f's pool while it runs. The files that it names are read now.
func Of(f *config.Feed, limits protocol.Limits) (pool.Settings, error) {
	placement, err := Placement(f)
	if err != nil {
		return pool.Settings{}, err
	}
	secure, err := network.TLS(f)
	if err != nil {
		return pool.Settings{}, err
	}
	s := pool.Settings{
		Conn: conn.Settings{
			DialTimeout:    f.Dial.Timeout,
			TLS:            secure,
			Local:          f.LocalAddress,
			PingInterval:   f.Ping.Interval,
			PingJitter:     f.Ping.Jitter,
			PingTimeout:    f.Ping.Timeout,
			Silence:        f.Ping.Silence,
			SubscribeBatch: f.Limits.SubscribeBatch,
			SubscribeRate:  Window(f.Limits.SubscribeRate),
			MaxMessage:     f.MaxMessage,
			MaxAge:         f.MaxAge,
			Backoff:        backoffOf(f, limits),
		},
		TopicsPerConnection: f.Limits.TopicsPerConnection,
		Placement:           placement,
		Dwell:               f.Dwell,
	}
	via, err := network.Proxy(f)
	if err == nil && via != nil {
		s.Conn.Proxy = *via
	}
	return s, err
}

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

// Overflow is a feed's.
func Overflow(f *config.Feed) (pool.Overflow, error) {
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

// Account is what f's upstream counts together with others, as far as the configuration says it.
func Account(f *config.Feed) account.Options {
	o := account.Options{
		Name: f.Account, Connections: f.Limits.Connections,
		Dials: Window(f.Dial.Rate), InFlight: f.Dial.InFlight, Hold: f.Limits.Hold,
	}
	if f.Shared != nil {
		o.Connections = f.Shared.Connections
	}
	return o
}
