package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

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
of all topics of a feed, or of those that are named, which it need not want yet. It
holds up nothing: a terminal that is too slow misses events, and a line says how many.`,
		Example: `  feedmux tail twitch
  feedmux tail twitch video-playback-by-id.123 --count 10
  feedmux tail kite --format json | jq .payload.last_price`,
		Args:              takes(-1, "FEED"),
		ValidArgsFunction: a.completing(wantedTopics),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format %s: there are text and json", format)
			}
			client := a.client()
			if err := unwanted(args[0], unknown(c.Context(), client, args[0], args[1:])); err != nil {
				fmt.Fprintf(c.ErrOrStderr(), "feedmux: %v: events come once it does\n", err)
			}
			t := tail{out: c.OutOrStdout(), asJSON: format == "json", most: most}
			switch err := client.Tail(c.Context(), args[0], args[1:], t.print); {
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
	fixed(c, "format", "text", "json")
	fixed(c, "count")
	a.flags(c)
	return c
}

// unknown are those of the topics that a feed is known not to want. Who tails it waits for the answer no longer than two seconds.
func unknown(ctx context.Context, client *local.Client, feed string, topics []string) (unknown []string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, name := range topics {
		_, err := client.Status(ctx, url.Values{"feed": {feed}, "topic": {name}})
		if no := (*local.Error)(nil); errors.As(err, &no) && no.Kind == local.NotFound && no.Field == "topic" {
			unknown = append(unknown, name)
		}
	}
	return unknown
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
