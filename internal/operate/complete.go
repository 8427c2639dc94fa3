package operate

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"feedmux/internal/console"
	"feedmux/internal/control/local"
)

// Bounds of what a shell is offered: whoever pressed TAB waits, and reads.
const (
	offerWithin = time.Second
	mostOffered = 500
)

// wantedTopics and addedTopics say which topics a command offers.
func wantedTopics(local.TopicEntry) bool  { return true }
func addedTopics(t local.TopicEntry) bool { return t.From == local.FromRunTime }

// completing offers a shell the feeds of the running daemon, and behind one of them its topics that are offered; none where
// offered is nil, and no more than most arguments, if that is given. Never files: where no daemon answers, nothing.
func (a *asking) completing(offered func(local.TopicEntry) bool, most ...int) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), offerWithin)
		defer cancel()
		var names []string
		switch {
		case len(most) > 0 && len(args) >= most[0]:
		case len(args) == 0:
			names = a.feeds(ctx)
		case offered != nil:
			topics, _ := a.client().Topics(ctx, args[0]) // what came of it is seen
			for _, t := range topics {
				if offered(t) && !slices.Contains(args[1:], t.Topic) {
					names = append(names, t.Topic)
				}
			}
		}
		names = slices.DeleteFunc(names, func(name string) bool { // a shell splits what it gets into lines, and those at tabs
			return !strings.HasPrefix(name, begun) || console.Clean(name) != name
		})
		return names[:min(len(names), mostOffered)], cobra.ShellCompDirectiveNoFileComp
	}
}

// feeds are those of the running daemon; none where it does not answer.
func (a *asking) feeds(ctx context.Context) (names []string) {
	body, err := a.client().Status(ctx, nil)
	if err != nil {
		return nil
	}
	var report struct{ Feeds []struct{ Feed string } }
	if json.Unmarshal(body, &report) != nil {
		return nil
	}
	for _, f := range report.Feeds {
		names = append(names, f.Feed)
	}
	return names
}

// fixed says what a flag may be; not a file, where there is nothing to offer.
func fixed(c *cobra.Command, flag string, values ...string) {
	err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // there is no such flag
	}
}
