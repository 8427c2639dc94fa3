package answer

import (
	"cmp"
	"fmt"
	"slices"

	"feedmux/internal/config"
	"feedmux/internal/control/local"
	"feedmux/pool"
	"feedmux/shard"
)

// Topics are those that c wants, the most wanted first, with what s, which has a ledger, knows of them. label is the protocol's.
func Topics(c *config.Feed, label func(config.Topic) string, s pool.Status) []local.TopicEntry {
	lines := make(map[shard.Topic]int, len(s.Ledger))
	for i, line := range s.Ledger {
		lines[line.Topic] = i
	}
	entries := make([]local.TopicEntry, len(c.Topics))
	for i, t := range c.Topics {
		entries[i] = local.TopicEntry{Topic: t.Name, Priority: t.Priority, Options: t.Options, From: local.FromRunTime}
		if t.Place.File != "" {
			entries[i].Where = Where(t)
			entries[i].From = local.FromConfig
			if t.Place.File == c.TopicsFile {
				entries[i].From = local.FromFile
			}
		}
		name := t.Name
		if label != nil {
			name = label(t)
		}
		if at, there := lines[shard.Topic(name)]; there {
			entries[i].State, entries[i].Reason = s.Ledger[at].State.String(), s.Ledger[at].Reason
		}
	}
	slices.SortStableFunc(entries, func(a, b local.TopicEntry) int { return cmp.Compare(b.Priority, a.Priority) })
	return entries
}

// Where is the line that lists a topic, for people.
func Where(t config.Topic) string { return fmt.Sprintf("%s:%d", t.Place.File, t.Place.Line) }
