package operate

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"feedmux/internal/console"
	"feedmux/internal/control/local"
)

func (a asking) reloadCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "Make a running daemon read its configuration again",
		Long: `Reload makes the daemon read its configuration again, and says of each key that changed
whether it counts from now on, with the next connection ("feedmux renew FEED" makes that
now), or after a restart. Topics that stay keep their connection. A topics_file that was
held because it had become much shorter is taken.

A bad configuration changes nothing: all of its problems are printed, and the exit code
is 78.`,
		Example: "  feedmux reload\n  feedmux check && feedmux reload",
		Args:    takes(0),
		RunE: func(c *cobra.Command, _ []string) error {
			done, err := a.client().Reload(c.Context())
			if err != nil {
				return a.failed(err)
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), done)
			} else if len(done.Problems) == 0 {
				err = printReload(c.OutOrStdout(), done)
			}
			if err == nil && len(done.Problems) > 0 {
				text := strings.Join(done.Problems, "\n")
				return a.misconfigured(errors.New(cleanLines(text) + "\n" + console.Counted(len(done.Problems), "problem") + "; nothing was changed"))
			}
			return a.failed(err)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	a.flags(c)
	return c
}

func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = console.Clean(line)
	}
	return strings.Join(lines, "\n")
}

func printReload(w io.Writer, done local.ReloadResult) error {
	var b strings.Builder
	for _, part := range []struct {
		heading string
		lines   []local.ChangeLine
	}{
		{"in force now:", done.Applied},
		{"waiting for the next connection (\"feedmux renew FEED\" makes that now):", done.NextLife},
		{"waiting for a restart of feedmux:", done.Restart},
	} {
		if len(part.lines) > 0 {
			fmt.Fprintln(&b, part.heading)
		}
		for _, l := range part.lines {
			fmt.Fprintf(&b, "  %s: %s → %s\n", console.Clean(l.Key), orNone(l.Old), orNone(l.New))
		}
	}
	for _, h := range done.Held {
		fmt.Fprintf(&b, "%s of feed %s was held, and is taken now: %s, before %s\n", console.Clean(h.File), h.Feed, console.Counted(h.New, "topic"), console.Count(h.Old))
	}
	if b.Len() == 0 {
		b.WriteString("nothing has changed\n")
	}
	for _, w := range done.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", console.Clean(w))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orNone(value string) string {
	if value == "" {
		return "(none)"
	}
	return console.Clean(value)
}
