package simulators

import (
	"context"
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"feedmux/internal/sim/twitch"
)

func twitchCommand(serving serving) *cobra.Command {
	o := twitch.PubSubOptions{}.WithDefaults()
	o.Rate = 100
	c := &cobra.Command{
		Use:   "twitch-pubsub",
		Short: "Simulate Twitch PubSub",
		Long: `A Twitch PubSub that runs here: it answers LISTEN, UNLISTEN and PING, keeps the real
one's limits, and sends frames that Twitch really sent, with topic and times put in.

Give the URL that it prints to a feed as its url. Every rule and every fault is a flag;
what is drawn by chance comes from --seed, so a run can be repeated. A rule that is
given a negative figure is switched off.`,
		Example: `  feedmux sim twitch-pubsub                                    # a healthy upstream
  feedmux sim twitch-pubsub --reset-every 10s --rate 1000      # a busy one that drops connections
  feedmux sim twitch-pubsub --bad-topics 'raid.*'              # some topics do not exist
  feedmux sim twitch-pubsub --life 45s --close-code 1001       # no connection grows older
  feedmux sim twitch-pubsub --reconnect-every 10s              # it asks for hand-overs
  feedmux sim twitch-pubsub --refuse 1 --refuse-status 401     # a credential that is dead
  feedmux sim twitch-pubsub --connections 3 --starve           # a cap that is felt, not told`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			return serving.run(c, &o.Options, "twitch-pubsub", "", func(ctx context.Context, l net.Listener) error {
				return twitch.NewPubSub(o).Serve(ctx, l)
			})
		},
	}
	f := c.Flags()
	f.SortFlags = false
	serving.flags(f, twitchListens)
	pubSubFlags(f, &o)
	return c
}

// pubSubFlags makes a flag of every option but Record, which is for tests.
func pubSubFlags(f *pflag.FlagSet, o *twitch.PubSubOptions) {
	upstreamFlags(f, &o.Options)
	f.Lookup("rate").Usage = "events a second, over all topics listened to"
	f.Lookup("connections").Usage = "most connections at a time"
	f.Lookup("ws-ping").Usage = "between the server's own WebSocket pings"
	f.Lookup("ws-pong").Usage = "without an answer to one for so long: Close 4100"
	f.Lookup("backlog").Usage = "messages that may wait for a client that reads nothing"
	f.BoolVar(&o.Saturate, "saturate", false, "send as fast as each client reads instead")

	f.Float64Var(&o.Duplicate, "duplicate", 0, "`share` of the events that are sent twice in a row")
	f.Float64Var(&o.Unknown, "unknown", 0, "`share` of the events that are followed by a frame of an unknown type")
	f.BoolVar(&o.Spaces, "spaces", false, "put more white space into frames than is needed")
	f.BoolVar(&o.Newline, "newline", false, "end each frame with a line feed")

	f.IntVar(&o.TopicsPerConnection, "topics-per-connection", o.TopicsPerConnection, "most topics on a connection")
	f.StringVar(&o.TooManyTopics, "too-many-topics", o.TooManyTopics, "`error` that answers a LISTEN past that")
	f.IntVar(&o.TopicsPerListen, "topics-per-listen", o.TopicsPerListen, "more in one LISTEN end the connection at once")
	f.DurationVar(&o.FirstListen, "first-listen", o.FirstListen, "a connection without a LISTEN for so long is closed")
	f.DurationVar(&o.Idle, "idle", o.Idle, "a connection without a PING for so long is closed")
	f.StringSliceVar(&o.TokenTopics, "token-topics", o.TokenTopics, "`prefixes` of topics that need a token")
	f.StringVar(&o.Token, "token", "", "the only good token (default: any is good)")
	f.StringSliceVar(&o.BadTopics, "bad-topics", nil, "`patterns` of topics that do not exist")

	f.DurationVar(&o.PongDelay, "pong-delay", 0, "before each PONG")
	f.Float64Var(&o.PongLoss, "pong-loss", 0, "`share` of the PINGs that are not answered")
	f.DurationVar(&o.ResponseDelay, "response-delay", 0, "before each RESPONSE")
	f.Float64Var(&o.ResponseLoss, "response-loss", 0, "`share` of the asks that are not answered")
	f.Float64Var(&o.ServerErrors, "server-errors", 0, "`share` of the LISTENs that are answered ERR_SERVER")
	f.StringSliceVar(&o.PoisonTopics, "poison-topics", nil, "`patterns` of topics whose LISTEN ends the connection")
	f.IntVar(&o.PoisonCode, "poison-code", o.PoisonCode, "of --poison-topics, like --close-code")

	every := everyFlags(f)
	every(&o.ReconnectEvery, "reconnect", "RECONNECT, and Close after --reconnect-grace")
	f.DurationVar(&o.ReconnectGrace, "reconnect-grace", o.ReconnectGrace, "of --reconnect-every")
	every(&o.GarbageEvery, "garbage", "a text message that is not JSON")
	every(&o.OversizeEvery, "oversize", "a MESSAGE of --oversize-bytes")
	f.IntVar(&o.OversizeBytes, "oversize-bytes", o.OversizeBytes, "of --oversize-every")
	every(&o.RevokeEvery, "revoke", "AUTH_REVOKED for a topic that needs a token")
}
