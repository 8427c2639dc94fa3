// Package operate has the commands that talk to a running daemon over its control socket: status, topics, renew, reload
// and tail.
package operate

import (
	"encoding/json"
	"io"
	"os"

	"github.com/spf13/cobra"

	"feedmux/internal/console"
	"feedmux/internal/control/local"
)

// Commands are all of them. failed marks an error that is not one of usage; misconfigured marks one that only editing the
// configuration cures.
func Commands(failed, misconfigured func(error) error) []*cobra.Command {
	a := asking{failed: failed, misconfigured: misconfigured}
	return []*cobra.Command{a.statusCommand(), a.topicsCommand(), a.renewCommand(), a.reloadCommand(), a.tailCommand()}
}

// asking is what the commands have in common. Each has its own.
type asking struct {
	socket                string
	failed, misconfigured func(error) error
}

func (a *asking) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.socket, "socket", "", "the daemon's control socket, a `file`; by default it is\n"+
		"$FEEDMUX_SOCKET, or looked for in $RUNTIME_DIRECTORY, /run/feedmux\nand the state directory")
}

func (a *asking) client() *local.Client { return local.NewClient(a.socket, os.Getenv) }

// printJSON writes JSON for programs that a terminal shows as it is.
func printJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(console.CleanJSON(text), '\n'))
	return err
}
