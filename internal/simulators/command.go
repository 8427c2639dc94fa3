// Package simulators has the "sim" commands: simulated upstreams for people, on loopback.
package simulators

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"feedmux/internal/sim/upstream"
)

// Command is "sim" with a command for each protocol. failed marks an error that is not one of usage.
func Command(failed func(error) error) *cobra.Command {
	c := &cobra.Command{
		Use:   "sim PROTOCOL",
		Short: "Run a simulated upstream that obeys the real one's limits and breaks on request",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("sim needs a protocol: twitch-pubsub, kite or scaiwave")
		},
	}
	c.AddCommand(twitchCommand(serving{failed: failed}), kiteCommand(serving{failed: failed}), scaiWaveCommand(serving{failed: failed}))
	return c
}

// Where each of them listens by itself: they run side by side, and beside the daemon.
const (
	twitchListens   = "127.0.0.1:8423"
	scaiWaveListens = "127.0.0.1:8424"
	kiteListens     = "127.0.0.1:8425"
)

// serving is what all of them have in common.
type serving struct {
	listen  string
	verbose bool
	failed  func(error) error
}

func (s *serving) flags(f *pflag.FlagSet, listen string) {
	f.StringVar(&s.listen, "listen", listen, "`address` to listen on; port 0 takes a free one")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "log connections, what clients ask, and faults")
}

// run says where the upstream answers, and lets it.
func (s *serving) run(c *cobra.Command, o *upstream.Options, name, path string, serve func(context.Context, net.Listener) error) error {
	if s.verbose {
		o.Log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return s.failed(fmt.Errorf("--listen %s: %w", s.listen, err))
	}
	fmt.Fprintf(c.OutOrStdout(), "%s simulator at ws://%s%s (Ctrl-C ends it)\n", name, l.Addr(), path)
	return s.failed(serve(c.Context(), l))
}
