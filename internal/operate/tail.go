package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"feedmux/internal/console"
	"feedmux/internal/control/local"
)

// errEnough ends a tail that has shown what it was asked for.
var errEnough = errors.New("enough")

func (a asking) tailCommand() *cobra.Command {
	var format string
	var most uint64
	c := &cobra.Command{
		Use:   "tail FEED [TOPIC…]",
		Short: "Print events as they come, one a line",
		Long: `Tail prints the events that a running daemon hands to NATS, as they come, until Ctrl-C:
of all topics of a feed, or of those that are named. It holds up nothing: a terminal
that is too slow misses events, and a line says how many.`,
		Example: `  feedmux tail twitch
  feedmux tail twitch video-playback-by-id.123 --count 10
  feedmux tail kite --format json | jq .payload.last_price`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format %s: there are text and json", format)
			}
			t := tail{out: c.OutOrStdout(), asJSON: format == "json", most: most}
			switch err := a.client().Tail(c.Context(), args[0], args[1:], t.print); {
			case errors.Is(err, errEnough), errors.Is(err, context.Canceled):
				return nil
			case err != nil:
				return a.failed(err)
			}
			return a.failed(errors.New("feedmux ended"))
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text (time, topic, payload) or json: a `form`")
	c.Flags().Uint64VarP(&most, "count", "n", 0, "end after so many events; 0: go on")
	a.flags(c)
	return c
}

type tail struct {
	out    io.Writer
	asJSON bool
	most   uint64 // 0: any number
	seen   uint64
}

func (t *tail) print(l local.Line) error {
	var text string
	switch {
	case t.asJSON:
		line, err := json.Marshal(l)
		if err != nil {
			return err
		}
		text = string(console.CleanJSON(line))
	case l.LeftOut > 0:
		text = fmt.Sprintf("… %s left out: this terminal was too slow", console.Counted(int(l.LeftOut), "event"))
	default:
		text = fmt.Sprintf("%s %s %s", l.Time.Local().Format("15:04:05.000"), console.Clean(string(l.Topic)), console.Clean(l.Body()))
	}
	if _, err := fmt.Fprintln(t.out, text); err != nil {
		return err
	}
	if l.LeftOut == 0 {
		t.seen++
	}
	if t.most > 0 && t.seen == t.most {
		return errEnough
	}
	return nil
}
