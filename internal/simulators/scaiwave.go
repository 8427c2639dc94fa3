package simulators

import (
	"context"
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"feedmux/internal/sim/scaiwave"
)

func scaiWaveCommand(serving serving) *cobra.Command {
	o := scaiwave.Options{Others: 0.1, Chunks: 0.1, Typing: 0.05, Presence: 0.02, Holes: 0.1}.WithDefaults()
	o.Rate = 10
	c := &cobra.Command{
		Use:   "scaiwave",
		Short: "Simulate ScaiWave: its stream and its sync",
		Long: `A ScaiWave that runs here: the stream of events at /v1/stream, and /v1/sync beside it,
which has the newest of them still and can be paged through or waited at. Some events
(chunks, typing, presence) have no position: sync does not have them.

Give the URL that it prints to a feed as its url; without --token any token is good, but
there must be one. Try the other channel by hand:

  curl -H 'Authorization: Bearer any' 'http://127.0.0.1:8424/v1/sync?since=0&limit=5'

Every rule and every fault is a flag; what is drawn by chance comes from --seed. A rule
that is given a negative figure is switched off. Faults of requests to sync are shares of
them; all others strike the stream, and those with -every need an open one to happen.`,
		Example: `  feedmux sim scaiwave                                         # a healthy upstream
  feedmux sim scaiwave --reset-every 10s --rate 1000           # a busy one that drops connections
  feedmux sim scaiwave --silence-every 2m                      # silent drops: no Close, no pings
  feedmux sim scaiwave --token abc                             # any other token: 4001 and 401
  feedmux sim scaiwave --takeover-every 1m                     # somebody else signs in with the token
  feedmux sim scaiwave --hello-delay 3s                        # the hello that says the token is good is slow
  feedmux sim scaiwave --sync-errors 0.3 --sync-limits 0.2     # sync is in trouble: 503 and 429
  feedmux sim scaiwave --sync-cuts 0.5                         # answers that end in their middle
  feedmux sim scaiwave --refuse 1                              # the stream is away: only sync is left
  feedmux sim scaiwave --keep 100 --rebuild-every 5m           # it forgets, and starts over
  feedmux sim scaiwave --race --late-every 10s                 # events where a careless client loses them`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			return serving.run(c, &o.Options, "scaiwave", "/v1/stream", func(ctx context.Context, l net.Listener) error {
				return scaiwave.New(o).Serve(ctx, l)
			})
		},
	}
	f := c.Flags()
	f.SortFlags = false
	serving.flags(f, scaiWaveListens)
	scaiWaveFlags(f, &o)
	return c
}

// scaiWaveFlags makes a flag of every option but Record, which is for tests, and Saturate, which is not known here.
func scaiWaveFlags(f *pflag.FlagSet, o *scaiwave.Options) {
	upstreamFlags(f, &o.Options)

	f.IntVar(&o.Rooms, "rooms", o.Rooms, "events happen in so many")
	f.Float64Var(&o.Others, "others", o.Others, "`share` of the events with a position that are reactions, redactions and the like")
	f.Float64Var(&o.Chunks, "chunks", o.Chunks, "`share` of all events that are chunks, without a position")
	f.Float64Var(&o.Typing, "typing", o.Typing, "`share` of all events that are typing, without a position")
	f.Float64Var(&o.Presence, "presence", o.Presence, "`share` of all events that are presence, without a position or a room")
	f.Float64Var(&o.Holes, "holes", o.Holes, "`share` of the positions that are followed by a hole")
	f.Float64Var(&o.Duplicate, "duplicate", 0, "`share` of the events with a position that are sent twice in a row")
	f.Float64Var(&o.Unknown, "unknown", 0, "`share` of all events that are followed by a frame of an unknown type")

	f.StringVar(&o.Tenant, "tenant", o.Tenant, "tenant_id in hello and in events")
	f.StringVar(&o.ServerName, "server-name", o.ServerName, "server_name in hello")
	f.StringVar(&o.Token, "token", "", "the only good token (default: any is good)")
	f.BoolVar(&o.EndSockets, "end-sockets", false, "close the sockets of a token that is no longer good, with 4001")
	f.IntVar(&o.Keep, "keep", o.Keep, "events that sync still has")
	f.BoolVar(&o.JSONPing, "json-ping", false, `ping with {"type":"ping"} instead of WebSocket pings`)

	f.DurationVar(&o.HelloDelay, "hello-delay", 0, "before hello; the events that happen meanwhile are in sync only")
	f.Float64Var(&o.HelloLoss, "hello-loss", 0, "`share` of the connections that get neither hello nor events")
	f.BoolVar(&o.Race, "race", false, "an event between each last page of sync and the next hello")
	f.DurationVar(&o.SyncDelay, "sync-delay", 0, "before each answer of sync")
	f.Float64Var(&o.SyncErrors, "sync-errors", 0, "`share` of the requests to sync that are answered --sync-error-status")
	f.IntVar(&o.SyncErrorStatus, "sync-error-status", o.SyncErrorStatus, "of --sync-errors")
	f.Float64Var(&o.SyncLimits, "sync-limits", 0, "`share` of them that are answered 429")
	f.DurationVar(&o.SyncRetryAfter, "sync-retry-after", o.SyncRetryAfter, "told with it")
	f.IntVar(&o.SyncGone, "sync-gone", 0, "HTTP `status`, 403 or 404, that answers each of them")
	f.Float64Var(&o.SyncCuts, "sync-cuts", 0, "`share` of them whose answer ends in its middle, with a FIN")
	f.Float64Var(&o.SyncResets, "sync-resets", 0, "`share` of them whose answer ends in its middle, with a RST")
	f.Float64Var(&o.SyncSilences, "sync-silences", 0, "`share` of them that are never answered")

	every := everyFlags(f)
	every(&o.TakeoverEvery, "takeover", "Close 4003 duplicate_connection")
	every(&o.PingTimeoutEvery, "ping-timeout", "Close 4003 ping_timeout, though pings were answered")
	every(&o.ExpireEvery, "expire", "Close 4001, though the token is good when it is tried again")
	every(&o.GarbageEvery, "garbage", "a text message that is not JSON")
	every(&o.OversizeEvery, "oversize", "a chunk of --oversize-bytes")
	f.IntVar(&o.OversizeBytes, "oversize-bytes", o.OversizeBytes, "of --oversize-every")
	f.DurationVar(&o.LateEvery, "late-every", 0, "about so often: an event becomes visible after one with a higher position")
	f.DurationVar(&o.RebuildEvery, "rebuild-every", 0, "about so often: the server starts over, with positions from 1 and no events")
}
