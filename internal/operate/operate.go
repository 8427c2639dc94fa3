// Package operate has the commands that talk to a running daemon over its control socket: status, topics, renew, reload
// and tail.
package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

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

// takes checks that a command gets what needed names, and at most so many more; any number where more is negative. What is
// "" is a mistake, such as a variable of a script that is not set.
func takes(more int, needed ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		most := len(needed) + more
		switch empty := slices.Index(args, ""); {
		case empty >= 0:
			return fmt.Errorf("argument %d is \"\": %s", empty+1, c.UseLine())
		case len(args) < len(needed):
			return fmt.Errorf("%s needs %s: %s", c.Name(), strings.Join(needed[len(args):], " and "), c.UseLine())
		case more >= 0 && len(args) > most:
			return fmt.Errorf("%q is one argument too many: %s", args[most], c.UseLine())
		}
		return nil
	}
}

// unwanted says that a feed does not want topics that were named.
func unwanted(feed string, topics []string) error {
	if len(topics) == 0 {
		return nil
	}
	for i, name := range topics {
		topics[i] = console.Clean(name)
	}
	return errors.New("feed " + feed + " does not want " + strings.Join(topics, ", "))
}
