package simulators

import (
	"context"
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"feedmux/internal/sim/kite"
)

func kiteCommand(serving serving) *cobra.Command {
	o := kite.Options{}.WithDefaults()
	o.Rate = 100
	c := &cobra.Command{
		Use:   "kite",
		Short: "Simulate the ticker of Kite Connect",
		Long: `A Kite ticker that runs here: it answers subscribe, unsubscribe and mode, keeps the real
one's limits, and makes up prices for whatever instrument is asked for. Each tick of a
tradable instrument raises its volume_traded by one, so that a tick that is lost shows.

Give the URL that it prints to a feed as its url. Any api_key and access_token are good
unless --token says otherwise, but there must be some. Every rule and every fault is a
flag; what is drawn by chance comes from --seed. A rule that is given a negative figure is
switched off. Faults with -every need an open connection to happen.`,
		Example: `  feedmux sim kite                                             # a healthy upstream
  feedmux sim kite --rate 20000                                # a busy day
  feedmux sim kite --rate 0                                    # a quiet market: heartbeats alone
  feedmux sim kite --silence-every 1m                          # open, and no heartbeat any more
  feedmux sim kite --heartbeat-stop-every 1m                   # only the heartbeats stop
  feedmux sim kite --token abc                                 # any other access_token: 403
  feedmux sim kite --token-dies 10m --reset-every 5m           # 403 until there is a new one
  feedmux sim kite --reset-every 30s --linger 20s              # dropped sockets still count: 429
  feedmux sim kite --reset-every 30s --linger-instruments 20s  # so do their instruments
  feedmux sim kite --instruments-per-connection 100            # fewer than 3000 fit
  feedmux sim kite --order-every 5s                            # orders, told to every socket of the key
  feedmux sim kite --odd 0.01                                  # ticks that contradict themselves
  feedmux sim kite --truncate-every 5s --unknown-packets 0.1   # frames that do not add up`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			return serving.run(c, &o.Options, "kite", "", func(ctx context.Context, l net.Listener) error {
				return kite.NewTicker(o).Serve(ctx, l)
			})
		},
	}
	f := c.Flags()
	f.SortFlags = false
	serving.flags(f, kiteListens)
	kiteFlags(f, &o)
	return c
}

// kiteFlags makes a flag of every option but Record, which is for tests, and Saturate, which is not known here.
func kiteFlags(f *pflag.FlagSet, o *kite.Options) {
	upstreamFlags(f, &o.Options)
	f.Lookup("rate").Usage = "ticks a second, over all instruments subscribed to"
	f.Lookup("connections").Usage = "most connections at a time, for each api_key"

	f.DurationVar(&o.Batch, "batch", o.Batch, "ticks gather for so long and leave together")
	f.IntVar(&o.PacketsPerFrame, "packets-per-frame", o.PacketsPerFrame, "most packets in a frame")
	f.BoolVar(&o.Preamble, "preamble", false, "begin with texts that no document knows")

	f.StringVar(&o.Token, "token", "", "the only good access_token (default: any is good)")
	f.IntVar(&o.InstrumentsPerConnection, "instruments-per-connection", o.InstrumentsPerConnection, "most on a connection")
	f.DurationVar(&o.Heartbeat, "heartbeat", o.Heartbeat, "between heartbeats")
	f.BoolVar(&o.HeartbeatIdle, "heartbeat-idle", false, "only where nothing else was sent for so long")
	f.BoolVar(&o.ModeSubscribes, "mode-subscribes", false, "a mode subscribes to what is not, instead of leaving it out")

	f.DurationVar(&o.TokenDies, "token-dies", 0, "an access_token is refused with 403 so long after it was first good")
	f.DurationVar(&o.Linger, "linger", 0, "a connection that dropped without a Close still counts for so long: 429")
	f.DurationVar(&o.LingerInstruments, "linger-instruments", 0, "its instruments count on the next one for so long")
	f.Float64Var(&o.Odd, "odd", 0, "`share` of the ticks that contradict themselves")
	f.Float64Var(&o.UnknownPackets, "unknown-packets", 0, "`share` of the ticks that a packet of an unknown length follows")

	every := everyFlags(f)
	every(&o.OrderEvery, "order", "an order postback, which goes to all of its api_key")
	f.BoolVar(&o.OrderToOne, "order-to-one", false, "it goes to the one connection alone")
	every(&o.MessageEvery, "message", "a text of the broker's")
	every(&o.ErrorEvery, "error", "an error text, which means nothing")
	every(&o.UnknownTextEvery, "unknown-text", "a text of an unknown type")
	every(&o.GarbageEvery, "garbage", "a text that is not JSON, or JSON of another shape")
	every(&o.TruncateEvery, "truncate", "a binary frame that ends before it should; no new tick is in it")
	every(&o.TrailingEvery, "trailing", "a binary frame with bytes left behind its last packet")
	every(&o.HeartbeatStopEvery, "heartbeat-stop", "no heartbeats any more; everything else goes on")
}
