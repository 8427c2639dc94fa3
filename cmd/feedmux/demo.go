package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"feedmux/internal/config"
	"feedmux/internal/control/local"
	"feedmux/internal/daemon"
	"feedmux/internal/dialects"
	"feedmux/internal/sim/twitch"
)

// demoOptions are what the demo may be asked for.
type demoOptions struct {
	topics   int
	duration time.Duration // 0: until it is told to end
	rate     float64
	cutEvery time.Duration
	verbose  bool
}

func demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "See the whole of feedmux at work, in one process on loopback",
		Long: `Demo runs everything in one process, on free ports of loopback that it prints: a
simulated Twitch PubSub, an embedded NATS server, the daemon, and a subscriber that
prints what arrives.

It wants more topics than the upstream allows (10 connections of 50), so that the cap
and the ledger can be seen at work; and it cuts a connection now and then, so that a
gap can be seen to open and close.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.topics < 1 || o.topics > 100_000 {
				return fmt.Errorf("--topics is %d: it must be from 1 to 100000", o.topics)
			}
			if o.duration < 0 || o.cutEvery < 0 || o.rate < 0 || o.rate > 100_000 {
				return fmt.Errorf("--for and --cut-every cannot be negative, --rate is from 0 to 100000")
			}
			ctx := c.Context()
			if o.duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, o.duration)
				defer cancel()
			}
			return failed(demo(ctx, c.OutOrStdout(), c.ErrOrStderr(), o))
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.topics, "topics", 1850, "topics to want")
	f.DurationVar(&o.duration, "for", 0, "end after so long (default: until Ctrl-C)")
	f.Float64Var(&o.rate, "rate", 1000, "events a second from the simulated upstream")
	f.DurationVar(&o.cutEvery, "cut-every", 8*time.Second, "cut a connection about so often; 0: never")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the daemon's log too")
	return c
}

// demo runs until ctx ends. It ends what it started in the order in which events flow, backwards: the simulated
// upstream outlives the daemon, so that the daemon's good manners at its end can be seen too.
func demo(ctx context.Context, out, errOut io.Writer, o demoOptions) error {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var so twitch.PubSubOptions
	so.Seed, so.Rate, so.ResetEvery = uint64(time.Now().UnixNano()), o.rate, o.cutEvery
	s := twitch.NewPubSub(so)
	simulating, endSim := context.WithCancel(context.WithoutCancel(ctx))
	var simulator sync.WaitGroup
	simulator.Go(func() { s.Serve(simulating, upstream) })
	defer simulator.Wait()
	defer endSim()

	state, err := os.MkdirTemp("", "feedmux-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(state)
	cfg, err := config.Parse("demo", []byte(demoConfig(upstream.Addr().String(), o.topics)), dialects.LoadOptions())
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if o.verbose {
		log, _ = newLogger(errOut, cfg.Log)
	}
	d, err := newDaemon(daemon.Options{Config: cfg, Dir: state, Log: log})
	if err != nil {
		return err
	}
	natsURL := "nats://" + d.NATSAddr().String()
	v, err := newViewer(out, natsURL, d)
	if err != nil {
		d.Close()
		return err
	}
	plans, err := planOf(cfg)
	if err != nil {
		d.Close()
		return err
	}
	cuts := "no connection is cut"
	if o.cutEvery > 0 {
		cuts = fmt.Sprintf("a connection is cut about every %s", o.cutEvery)
	}
	fmt.Fprintf(out, `feedmux demo: everything in one process, on loopback

  upstream   ws://%s: a simulated Twitch PubSub, %g events/s, %s
  NATS       %s: try nats sub -s %s 'feed.>'
  HTTP       http://%s: open it in a browser; /api/status, /metrics, /readyz
  control    feedmux status --socket %s

`, upstream.Addr(), o.rate, cuts, natsURL, natsURL, d.Addr(), filepath.Join(state, local.Name))
	if err := plans[0].print(out); err != nil {
		d.Close()
		return err
	}
	fmt.Fprint(out, `
Each second, one character for each of the connections:
# all of its topics are confirmed   + connected   - dialing   x waiting or leaving   · not needed

`)

	var viewing sync.WaitGroup
	err = d.Run(ctx, func() {
		viewing.Go(func() { v.run(ctx) })
	})
	viewing.Wait()
	v.close()
	return err
}

// demoConfig is the demo's configuration, as a user would write it.
func demoConfig(upstream string, topics int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
[nats]
url = "embedded"

[nats.embedded]
listen = "127.0.0.1:0"

[http]
listen = "127.0.0.1:0"

[[feed]]
name     = "twitch"
protocol = "twitch-pubsub"
url      = "ws://%s"
topics   = [
`, upstream)
	kinds := []string{"video-playback-by-id", "hype-train-events-v1", "raid", "predictions-channel-v1"}
	for i := range topics {
		fmt.Fprintf(&b, "  %q,\n", fmt.Sprintf("%s.%d", kinds[i%len(kinds)], 1000+i/len(kinds)))
	}
	b.WriteString(`]

[feed.dial]
rate = "5/1s"

[feed.ping]
interval = "5s"
timeout  = "2s"

[feed.backoff]
settle = "5s"
`)
	return b.String()
}
