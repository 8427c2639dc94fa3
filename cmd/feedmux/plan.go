package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/daemon"
	"feedmux/internal/dialects"
	"feedmux/internal/protocol"
	"feedmux/shard"
)

// plan is what a feed would do, worked out from its configuration alone.
type plan struct {
	Feed        string      `json:"feed"`
	Protocol    string      `json:"protocol"`
	URL         string      `json:"url"`
	Account     string      `json:"account"`
	Topics      int         `json:"topics"`
	Placed      int         `json:"placed"`
	Unplaced    int         `json:"unplaced"`
	LeastWanted shard.Topic `json:"first_unplaced,omitempty"` // the most wanted of those without a place
	Connections int         `json:"connections"`              // that the placed topics need
	Limit       int         `json:"connections_limit"`
	PerSlot     int         `json:"topics_per_connection"`
	DialRate    string      `json:"dial_rate"`
	Seconds     float64     `json:"all_confirmed_after_s"`
	Subject     string      `json:"sample_subject"`
	Reserve     int         `json:"reserve,omitempty"`        // connections kept back for hand-over
	Share       bool        `json:"shares_account,omitempty"` // the account is other feeds' too
	Apart       []string    `json:"counted_apart,omitempty"`  // what the upstream counts the feeds of the account by, where it is more than one
	Dwell       string      `json:"dwell,omitempty"`          // how long a turn is, where topics take turns
	MaxAge      string      `json:"max_age,omitempty"`        // at which connections are handed over
	Refused     []string    `json:"refused,omitempty"`        // topics that cannot be asked for as things are, each with its reason
	Token       *time.Time  `json:"token_dies,omitempty"`     // the next time at which tokens die
	NoSecret    string      `json:"no_secret,omitempty"`      // why the secret cannot be had now

	asking time.Duration // until the last connection has asked for all, and it counts as confirmed
}

// planOf plans all feeds. Those that share an account share its dial budget, so each is done when all are.
func planOf(c *config.Config) ([]plan, error) {
	plans := make([]plan, len(c.Feeds))
	dials := make(map[string]int) // by account
	for i, f := range c.Feeds {
		var err error
		if plans[i], err = planFeed(f); err != nil {
			return nil, err
		}
		dials[f.Account] += plans[i].Connections
	}
	for i, f := range c.Feeds {
		if p := &plans[i]; p.Connections > 0 {
			// The last connection dials last, and then says its asks as fast as it may.
			last := daemon.Window(f.Dial.Rate).After(dials[f.Account]-1) + p.asking
			p.Seconds = last.Seconds()
		}
	}
	apart := countedApart(c)
	for i, f := range c.Feeds {
		plans[i].Apart = apart[f.Shared]
	}
	return plans, nil
}

// countedApart are, for each account whose feeds the upstream counts apart, the names that it does so by.
func countedApart(c *config.Config) map[*config.Account][]string {
	names := make(map[*config.Account][]string)
	for _, f := range c.Feeds {
		d, err := dialects.Of(f)
		if err != nil || f.Shared == nil || d.Account == nil {
			continue
		}
		if name := d.Account(f); !slices.Contains(names[f.Shared], name) {
			names[f.Shared] = append(names[f.Shared], name)
		}
	}
	maps.DeleteFunc(names, func(_ *config.Account, by []string) bool { return len(by) == 1 })
	return names
}

func planFeed(f *config.Feed) (plan, error) {
	d, err := dialects.Of(f)
	if err != nil {
		return plan{}, err
	}
	proto, err := d.New(f, nil)
	if err != nil {
		return plan{}, err
	}
	source, err := d.SourceOf(f, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return plan{}, err
	}
	subjects, err := d.SubjectsOf(f)
	if err != nil {
		return plan{}, err
	}
	placement, err := daemon.Placement(f)
	if err != nil {
		return plan{}, err
	}
	var wanted []shard.Wanted
	var refused []string
	for _, w := range source.Wanted() {
		if err := proto.Check(protocol.Topic{Name: w.Topic, Options: w.Options}); err != nil {
			refused = append(refused, fmt.Sprintf("%s: %v", w.Topic, err))
			continue
		}
		wanted = append(wanted, w)
	}
	room := make(shard.Room, f.Limits.Connections-f.Limits.Reserve)
	for i := range room {
		room[i] = f.Limits.TopicsPerConnection
	}
	placed, unplaced := shard.Assign(nil, wanted, room, placement)
	load := make([][]shard.Wanted, len(room))
	used := 0
	for _, w := range wanted {
		if slot, ok := placed[w.Topic]; ok {
			if load[slot] == nil {
				used++
			}
			load[slot] = append(load[slot], w)
		}
	}
	p := plan{
		Feed: f.Name, Protocol: f.Protocol, URL: config.RedactURL(f.URL), Account: f.Account,
		Topics: len(wanted) + len(refused), Placed: len(placed), Unplaced: len(unplaced), Refused: refused,
		Connections: used, Limit: f.Limits.Connections, Reserve: f.Limits.Reserve, Share: f.Shared != nil, PerSlot: f.Limits.TopicsPerConnection,
		DialRate: daemon.Window(f.Dial.Rate).String(),
	}
	if len(unplaced) > 0 {
		p.LeastWanted = unplaced[0]
	}
	if f.Overflow == "turns" {
		p.Dwell = f.Dwell.String()
	}
	if f.MaxAge > 0 {
		p.MaxAge = f.MaxAge.String()
	}
	for _, topics := range load {
		p.asking = max(p.asking, asking(d, f, proto.Limits(), topics))
	}
	if f.Auth.IsSet() {
		if err := daemon.SecretSource(f).Check(); err != nil {
			p.NoSecret = err.Error()
		}
	}
	if d.TokenDies != nil {
		if at := d.TokenDies(f, time.Now()); !at.IsZero() {
			p.Token = &at
		}
	}
	if len(wanted) > 0 {
		if p.Subject, err = subjects.Topic(wanted[0]); err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

// assumedAfter is how long a topic must go unrefused, where the upstream answers no ask.
const assumedAfter = 2 * time.Second

// asking is how long one connection takes from its first message until these topics are confirmed.
func asking(d dialects.Dialect, f *config.Feed, l protocol.Limits, topics []shard.Wanted) time.Duration {
	messages := 0
	for batch := range slices.Chunk(topics, f.Limits.SubscribeBatch) {
		messages += d.Messages(batch)
	}
	var takes time.Duration
	if messages > 0 {
		takes = daemon.Window(f.Limits.SubscribeRate).After(messages - 1)
		if l.Answers == protocol.Assumed {
			takes += assumedAfter
		}
	}
	return takes
}

// print writes the plan for people.
func (p plan) print(w io.Writer) error {
	fmt.Fprintf(w, "feed %s\n", p.Feed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("protocol", "%s at %s", p.Protocol, p.URL)
	topics := fmt.Sprintf("%s: %s placed, %s unplaced", count(p.Topics, "topic"), thousands(p.Placed), thousands(p.Unplaced))
	if p.Unplaced > 0 {
		topics += fmt.Sprintf(" (%d × %d have room for %s; the first without a place is %s)",
			p.Limit-p.Reserve, p.PerSlot, thousands((p.Limit-p.Reserve)*p.PerSlot), p.LeastWanted)
		if p.Dwell != "" {
			topics += "; they take turns of " + p.Dwell
		}
	}
	row("topics", "%s", topics)
	if n := len(p.Refused); n > 0 {
		const shown = 3
		text := strings.Join(p.Refused[:min(n, shown)], "; ")
		if n > shown {
			text += fmt.Sprintf("; and %s more", thousands(n-shown))
		}
		row("refused", "%s: %s", thousands(n), text)
	}
	connections := fmt.Sprintf("%d needed, at most %d to %s", p.Connections, p.Limit, p.Account)
	if p.Share {
		connections = fmt.Sprintf("%d needed, at most %d of those of account %s", p.Connections, p.Limit, p.Account)
	}
	if p.Reserve > 0 {
		connections += fmt.Sprintf(", %d of them for hand-over only", p.Reserve)
	} else if p.MaxAge != "" && p.Connections == p.Limit {
		connections += fmt.Sprintf(
			"; none is left for hand-over, so each has a short gap every %s (limits.reserve = 1 avoids that)", p.MaxAge)
	}
	row("connections", "%s", connections)
	if p.Apart != nil {
		row("account", "%s is shared by choice: the upstream counts its feeds apart (%s), so each could have an account of its own",
			p.Account, strings.Join(p.Apart, ", "))
	}
	row("confirmed", "all after about %s at a dial rate of %s",
		time.Duration(p.Seconds*float64(time.Second)).Round(100*time.Millisecond), p.DialRate)
	if p.Subject != "" {
		row("subject", "%s", p.Subject)
	}
	if p.NoSecret != "" {
		row("secret", "is not there now: %s; what needs it waits until it is", p.NoSecret)
	}
	if p.Token != nil {
		row("token", "dies at %s %s: without a new one, connections that break after that stay down",
			p.Token.Format("15:04"), p.Token.Location())
	}
	return t.Flush()
}

// count is "1 topic", "1,850 topics".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	var parts []string
	for len(s) > 3 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), ",")
}
