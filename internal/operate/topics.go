package operate

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"feedmux/internal/console"
	"feedmux/internal/control/local"
)

func (a asking) topicsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "topics",
		Short: "List a running daemon's topics, and change those that were added at run time",
		Long: `Topics lists what a feed wants: topics of the configuration, of its topics_file, and
those that were added at run time. The latter can be changed here, without a reload;
they are kept over restarts.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("topics needs to know what to do: list, add, remove or set")
		},
	}
	c.AddCommand(a.listTopicsCommand(), a.changeTopicsCommand(local.Add), a.changeTopicsCommand(local.Remove), a.changeTopicsCommand(local.Set))
	return c
}

func (a asking) listTopicsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list FEED [TOPIC…]",
		Short: "List the topics that a feed wants: state, priority, where each comes from, and why it is in trouble",
		Long: `List prints what a feed wants, or those of the topics that are named. It fails where it
does not want one of these.`,
		Example: `  feedmux topics list twitch
  feedmux topics list twitch --json | jq -r '.[] | select(.state == "unplaced") | .topic'`,
		Args:              takes(-1, "FEED"),
		ValidArgsFunction: a.completing(wantedTopics),
		RunE: func(c *cobra.Command, args []string) error {
			topics, err := a.client().Topics(c.Context(), args[0])
			if err != nil {
				return a.failed(err)
			}
			missing := unwanted(args[0], only(&topics, args[1:]))
			switch {
			case asJSON:
				err = printJSON(c.OutOrStdout(), topics)
			case len(topics) > 0 || missing == nil:
				err = printTopics(c.OutOrStdout(), topics)
			}
			return a.failed(cmp.Or(err, missing))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	a.flags(c)
	return c
}

// only leaves the topics that are named, and returns the names of none. No names are all topics.
func only(topics *[]local.TopicEntry, names []string) (unknown []string) {
	if len(names) == 0 {
		return nil
	}
	*topics = slices.DeleteFunc(*topics, func(t local.TopicEntry) bool { return !slices.Contains(names, t.Topic) })
	for _, name := range names {
		if !slices.ContainsFunc(*topics, func(t local.TopicEntry) bool { return t.Topic == name }) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// printTopics has a column for reasons only where there are some.
func printTopics(w io.Writer, topics []local.TopicEntry) error {
	reasons := slices.ContainsFunc(topics, func(t local.TopicEntry) bool { return t.Reason != "" })
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	head := "TOPIC\tSTATE\tPRIORITY\tOPTIONS\tFROM"
	if reasons {
		head += "\tREASON"
	}
	fmt.Fprintln(table, head)
	for _, t := range topics {
		from := string(t.From)
		if t.Where != "" {
			from = t.Where
		}
		var options []string
		for _, key := range slices.Sorted(maps.Keys(t.Options)) {
			options = append(options, fmt.Sprintf("%s=%v", key, t.Options[key]))
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s", console.Clean(t.Topic), console.Clean(t.State), t.Priority,
			console.Clean(strings.Join(options, " ")), console.Clean(from)) // the longest last
		if reasons {
			fmt.Fprintf(table, "\t%s", console.Clean(t.Reason))
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range bytes.Lines(b.Bytes()) { // without the spaces before a reason that is not there
		if _, err := fmt.Fprintf(w, "%s\n", bytes.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// changing says what the commands that change topics do.
var changing = map[local.Verb]struct {
	short, long, example string
	offered              func(local.TopicEntry) bool // whether a topic is offered to be named
}{
	local.Add: {
		"Want more topics, without a reload",
		"Add wants these topics too. One that was added before gets the priority and the options\nthat are given now.",
		"  feedmux topics add twitch video-playback-by-id.123 raid.123\n" +
			"  feedmux topics add kite NSE:INFY --option mode=full --priority 5\n" +
			"  feedmux topics add twitch - < topics.txt",
		addedTopics, // to change their priority or options
	},
	local.Remove: {
		"Want topics no more that were added at run time",
		"Remove gives topics up that were added at run time. Those of the configuration or of a\nfile are removed there.",
		"  feedmux topics remove twitch raid.123",
		addedTopics,
	},
	local.Set: {
		"Say which topics were added at run time: these, and no others",
		"Set makes these the topics that were added at run time: others that were are given up.\nTopics of the configuration and of files stay.",
		"  feedmux topics set twitch - < topics.txt\n  feedmux topics set twitch --none",
		addedTopics,
	},
}

func (a asking) changeTopicsCommand(verb local.Verb) *cobra.Command {
	var asJSON, none bool
	var priority int
	var options []string
	about := changing[verb]
	c := &cobra.Command{
		Use:     string(verb) + " FEED TOPIC…",
		Short:   about.short,
		Long:    about.long + "\n\n\"-\" reads topics from standard input, one a line; \"#\" begins a comment.",
		Example: about.example,
		Args:    takes(-1, "FEED"),

		ValidArgsFunction: a.completing(about.offered),
		RunE: func(c *cobra.Command, args []string) error {
			names, err := topicNames(args[1:], c.InOrStdin())
			switch {
			case err != nil:
				return a.failed(err)
			case none && len(names) > 0:
				return errors.New("--none goes without topics")
			case !none && len(args) == 1:
				return fmt.Errorf("%s needs topics, or \"-\" to read them from standard input", verb)
			case !none && len(names) == 0:
				return a.failed(errors.New("standard input has no topics: nothing was changed"))
			}
			own, err := parseOptions(options)
			if err != nil {
				return err
			}
			change := local.Change{Feed: args[0], Verb: verb}
			for _, name := range names {
				change.Topics = append(change.Topics, local.Topic{Name: name, Priority: priority, Options: own})
			}
			done, err := a.client().ChangeTopics(c.Context(), change)
			if err != nil {
				return a.failed(err)
			}
			if asJSON {
				return a.failed(printJSON(c.OutOrStdout(), done))
			}
			return a.failed(printChange(c.OutOrStdout(), change.Feed, done))
		},
	}
	if verb != local.Remove {
		c.Flags().IntVarP(&priority, "priority", "p", 0, "how wanted they are: a higher `number` gets a place first")
		c.Flags().StringArrayVarP(&options, "option", "o", nil, "an option of the protocol, as `key=value`; may be given again")
		fixed(c, "priority")
		fixed(c, "option")
	}
	if verb == local.Set {
		c.Flags().BoolVar(&none, "none", false, "give up all that were added at run time")
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	a.flags(c)
	return c
}

func printChange(w io.Writer, feed string, done local.ChangeResult) error {
	var parts []string
	for _, p := range []struct {
		name   string
		topics []string
	}{{"added", done.Added}, {"removed", done.Removed}, {"changed", done.Changed}, {"unchanged", done.Unchanged}} {
		if n := len(p.topics); n > 0 {
			parts = append(parts, p.name+" "+console.Count(n))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing changed"}
	}
	text := fmt.Sprintf("%s; feed %s wants %s now", strings.Join(parts, ", "), feed, console.Counted(done.Wanted, "topic"))
	if done.Unplaced > 0 {
		text += fmt.Sprintf(",\n%s of them without a place: it has room for %s", console.Count(done.Unplaced), console.Count(done.Capacity))
	}
	if n := len(done.Stay); n > 0 {
		text += fmt.Sprintf("\n%s still wanted, since a file lists %s: %s", itIs(n), them(n), firstOf(done.Stay, func(t local.ListedTopic) string {
			return console.Clean(t.Topic + " (" + t.Where + ")")
		}))
	}
	if n := len(done.NotWanted); n > 0 {
		text += fmt.Sprintf("\n%s wanted by nobody: %s", itIs(n), firstOf(done.NotWanted, console.Clean))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func itIs(n int) string {
	if n == 1 {
		return "1 is"
	}
	return console.Count(n) + " are"
}

func them(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// firstOf names the first few of a list.
func firstOf[T any](list []T, name func(T) string) string {
	const most = 5
	var names []string
	for _, one := range list[:min(len(list), most)] {
		names = append(names, name(one))
	}
	text := strings.Join(names, ", ")
	if n := len(list) - most; n > 0 {
		text += fmt.Sprintf(" and %s more", console.Count(n))
	}
	return text
}

// topicNames are the arguments, each once, and what stdin lists in place of "-".
func topicNames(args []string, stdin io.Reader) ([]string, error) {
	var names []string
	seen := make(map[string]bool)
	add := func(name string) {
		if name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, arg := range args {
		if arg != "-" {
			add(arg)
			continue
		}
		lines := bufio.NewScanner(stdin)
		for lines.Scan() {
			text := " " + strings.ReplaceAll(lines.Text(), "\t", " ")
			text, _, _ = strings.Cut(text, " #") // as in a topics_file
			add(strings.TrimSpace(text))
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("reading topics from standard input: %w", err)
		}
	}
	return names, nil
}

// parseOptions reads key=value. A value is a number or true or false where it looks so; in quotes it is text.
func parseOptions(list []string) (map[string]any, error) {
	var options map[string]any
	for _, text := range list {
		key, value, found := strings.Cut(text, "=")
		_, twice := options[key]
		if !found || key == "" || twice || key == "topic" || key == "priority" {
			return nil, fmt.Errorf("--option %s: must be key=value, each key once", text)
		}
		if options == nil {
			options = make(map[string]any)
		}
		options[key] = optionValue(value)
	}
	return options, nil
}

func optionValue(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, "0123456789") {
		return f
	}
	if quoted, err := strconv.Unquote(text); err == nil && strings.HasPrefix(text, `"`) {
		return quoted
	}
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	return text
}
