package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"feedmux/internal/console"
	"feedmux/internal/control/local"
)

func (a asking) statusCommand() *cobra.Command {
	var watch, asJSON bool
	c := &cobra.Command{
		Use:   "status [FEED [TOPIC]]",
		Short: "Show what a running daemon does: everything, one feed, or one topic",
		Long: `Status shows readiness, delivery, and each feed with its slots, gaps, and topics
without a place, with what to do where something is wrong. For one feed it lists the
topics in trouble first. For one topic it answers: is it quiet, or broken?

Rates are averages since the start; with --watch they are those of the last second.`,
		Example: `  feedmux status
  feedmux status twitch
  feedmux status twitch video-playback-by-id.123
  feedmux status --watch
  feedmux status --json | jq .readiness`,
		Args:              takes(2),
		ValidArgsFunction: a.completing(wantedTopics, 2),
		RunE: func(c *cobra.Command, args []string) error {
			s := status{client: a.client(), out: c.OutOrStdout(), asJSON: asJSON, args: args}
			if watch {
				return a.failed(s.watch(c.Context()))
			}
			page, err := s.page(c.Context(), nil)
			if err != nil {
				return a.failed(err)
			}
			_, err = io.WriteString(s.out, page)
			return a.failed(err)
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on, each second, until Ctrl-C")
	c.Flags().BoolVar(&asJSON, "json", false, "print the JSON of /api/status")
	a.flags(c)
	return c
}

// status asks and shows, once or many times.
type status struct {
	client *local.Client
	out    io.Writer
	asJSON bool
	args   []string // feed and topic, as far as they were given

	last *console.Report
}

// page asks, and lays out what the daemon says. before is what it said a moment ago; nil: not asked then.
func (s *status) page(ctx context.Context, before *console.Report) (string, error) {
	query := url.Values{}
	if len(s.args) > 0 {
		query.Set("feed", s.args[0])
		query.Set("ledger", "1")
	}
	if len(s.args) > 1 {
		query.Set("topic", s.args[1])
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body, err := s.client.Status(ctx, query)
	if err != nil {
		return "", err
	}
	if s.asJSON {
		var text bytes.Buffer
		err := json.Indent(&text, body, "", "  ")
		return string(console.CleanJSON(text.Bytes())), err
	}
	if s.last, err = console.Read(body, time.Now()); err != nil {
		return "", err
	}
	look, _ := console.LookFor(s.out)
	look.Before = before
	page, found := "", true
	switch len(s.args) {
	case 0:
		page = console.Overview(s.last, look)
	case 1:
		page, found = console.FeedPage(s.last, s.args[0], look)
	default:
		page, found = console.TopicPage(s.last, s.args[0], s.args[1], look)
	}
	if !found { // the daemon knows it, so its loop did not answer
		page = console.Overview(s.last, look)
	}
	return page, nil
}

// watch shows a page each second until ctx ends. It goes on while the daemon is away, once it was there.
func (s *status) watch(ctx context.Context) error {
	if _, terminal := console.LookFor(s.out); terminal {
		fmt.Fprint(s.out, "\x1b[2J")
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for first := true; ; first = false {
		page, err := s.page(ctx, s.last)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			page, s.last = console.Clean(err.Error())+"\n", nil
		}
		if look, terminal := console.LookFor(s.out); terminal { // it may have another size by now
			page = look.Redraw(page)
		} else if !s.asJSON {
			page += "\n"
		}
		if _, err := io.WriteString(s.out, page); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
