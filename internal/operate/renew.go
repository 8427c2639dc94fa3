package operate

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a asking) renewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "renew FEED",
		Short: "Hand every connection of a feed over to a new one",
		Long: `Renew replaces a feed's connections one after another, as fast as its dial budget lets
it. Where a place is free, the new connection stands before the old one is closed, and
no event is missed. Use it when settings wait for the next connection after a reload,
or when a connection is open and quiet. It also ends the wait for another program that
uses the same credential (cause duplicate_connection).`,
		Example: "  feedmux renew twitch\n  feedmux status twitch --watch",
		Args:    takes(0, "FEED"),

		ValidArgsFunction: a.completing(nil),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.client().Renew(c.Context(), args[0]); err != nil {
				return a.failed(err)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "Every open connection of %s is being replaced; see \"feedmux status %s\".\n", args[0], args[0])
			return a.failed(err)
		},
	}
	a.flags(c)
	return c
}
