package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func manCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "man",
		Short: "Print the manual page",
		Long: `Man prints the manual page feedmux(1). With --dir it writes the pages of all commands
into a folder instead, as the packages have them.

The date on a page is that of $SOURCE_DATE_EPOCH, if it is set, else today.`,
		Example: "  feedmux man | man -l -\n  feedmux man --dir /usr/local/share/man/man1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			root := c.Root()
			root.DisableAutoGenTag = true
			keepLines(root)
			root.Long += files
			header := &doc.GenManHeader{Title: "FEEDMUX", Section: "1", Source: "feedmux " + version(), Manual: "feedmux"}
			if dir == "" {
				return failed(doc.GenMan(root, header, c.OutOrStdout()))
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return failed(fmt.Errorf("making a folder for the pages: %w", err))
			}
			header.Title = "" // each page has its own
			if err := doc.GenManTree(root, header, dir); err != nil {
				return failed(fmt.Errorf("writing the pages: %w", err))
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "write all pages into this `folder`")
	return c
}

// files is a section of feedmux(1): where a machine has what the output, the log and the other pages name.
const files = `

# FILES

` + defaultConfig + `
: the configuration, where --config names no other.

/var/lib/feedmux
: under systemd: what outlives a restart.

/run/feedmux/control.sock
: under systemd: the socket through which "feedmux status" and others speak to the daemon.

/usr/share/doc/feedmux
: where a package was installed: the pages. docs/troubleshooting.md, which "feedmux status" names, is
/usr/share/doc/feedmux/docs/troubleshooting.md, and every other page stands there in the same way.
config.example.toml has every key.
`

// keepLines makes what is indented in the help texts stay as it is on a page: pages are made by way of Markdown, which
// wants four columns and an empty line before.
func keepLines(c *cobra.Command) {
	var b strings.Builder
	text := true // and no line that is kept
	for line := range strings.Lines(c.Long) {
		if indented := strings.HasPrefix(line, "  "); indented && text {
			b.WriteString("\n")
			text = false
		} else if !indented {
			text = true
		}
		if !text {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	c.Long = b.String()
	for _, sub := range c.Commands() {
		keepLines(sub)
	}
}
