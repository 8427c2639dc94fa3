package dialects

import (
	"feedmux/internal/config"
	"feedmux/internal/daemon/dialect"
	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/secret"
)

func twitchPubSub() Dialect {
	return Dialect{
		Protocol: config.Protocol{
			URL:                 pubsub.DefaultURL,
			Connections:         pubsub.Connections,
			TopicsPerConnection: pubsub.TopicsPerConnection,
			SubscribeBatch:      pubsub.SubscribeBatch,
			Ping:                pubsub.PingInterval,
			Account:             wayOf, // Twitch counts by address: all that goes to one host from one of ours
			Check: func(f *config.Feed, report config.Report) {
				p := pubsub.New(pubsub.DecodeOptions(f.Options, report))
				checkTopics(p, f, report)
				checkPace(f, report)
			},
		},
		Dialect: dialect.Dialect{
			New: func(f *config.Feed, s *secret.Secret) (protocol.Protocol, error) {
				o := pubsub.DecodeOptions(f.Options, ignore)
				o.URL, o.Token, o.Frame = f.URL, tokenOf(s), f.WantsFrame()
				return pubsub.New(o), nil
			},
		},
	}
}
