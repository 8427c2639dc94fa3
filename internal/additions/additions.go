// Package additions keeps the topics that people added to a feed while it ran: its run-time topics, beside those of its
// configuration and of its file of topics. They outlive the process.
package additions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"

	"feedmux/internal/config"
)

// List is a feed's run-time topics, each name once, in the order in which they were added. It is not changed once made.
type List []config.Topic

// Done says what a change did to each topic that it named, or that it took away.
type Done struct{ Added, Removed, Changed, Unchanged []string }

// Add is l with topics: those that are in it get the priority and the options that are given.
func (l List) Add(topics []config.Topic) (List, Done) {
	var d Done
	next, at := slices.Clone(l), l.places()
	for _, t := range topics {
		i, there := at[t.Name]
		switch {
		case !there:
			at[t.Name] = len(next)
			next = append(next, t)
			d.Added = append(d.Added, t.Name)
		case same(next[i], t):
			d.Unchanged = append(d.Unchanged, t.Name)
		default:
			next[i] = t
			d.Changed = append(d.Changed, t.Name)
		}
	}
	return next, d
}

// Remove is l without topics.
func (l List) Remove(topics []config.Topic) (List, Done) {
	var d Done
	at, gone := l.places(), make(map[string]bool)
	for _, t := range topics {
		if _, there := at[t.Name]; there {
			gone[t.Name] = true
			d.Removed = append(d.Removed, t.Name)
		} else {
			d.Unchanged = append(d.Unchanged, t.Name)
		}
	}
	next := slices.DeleteFunc(slices.Clone(l), func(t config.Topic) bool { return gone[t.Name] })
	return next, d
}

// Set is topics, in their order.
func (l List) Set(topics []config.Topic) (List, Done) {
	_, d := l.Add(topics)
	next := List(slices.Clone(topics))
	stays := next.places()
	for _, t := range l {
		if _, there := stays[t.Name]; !there {
			d.Removed = append(d.Removed, t.Name)
		}
	}
	return next, d
}

// places is where each topic is.
func (l List) places() map[string]int {
	at := make(map[string]int, len(l))
	for i, t := range l {
		at[t.Name] = i
	}
	return at
}

func same(a, b config.Topic) bool {
	return a.Priority == b.Priority && reflect.DeepEqual(a.Options, b.Options)
}

// Bad is a topic that cannot be wanted, and why.
type Bad struct {
	Topic string
	Err   error
}

// Good is the largest part of l, found by halves, that check has nothing against, and what was left out, each with why.
// A list of which all is good costs one check, one with much that is bad costs many. It fails once ctx ends.
func (l List) Good(ctx context.Context, check func(List) error) (good List, bad []Bad, err error) {
	var try func(part List)
	try = func(part List) {
		if len(part) == 0 || ctx.Err() != nil {
			return
		}
		err := check(slices.Concat(good, part))
		switch {
		case err == nil:
			good = append(good, part...)
		case len(part) == 1:
			bad = append(bad, Bad{part[0].Name, err})
		default:
			try(part[:len(part)/2])
			try(part[len(part)/2:])
		}
	}
	try(l)
	if ctx.Err() != nil {
		return nil, nil, fmt.Errorf("looking for run-time topics that cannot be wanted: %w", context.Cause(ctx))
	}
	return good, bad, nil
}

// Store keeps a value beyond the end of the process. Load fails with fs.ErrNotExist where nothing was saved.
type Store interface {
	Load(v any) error
	Save(v any) error
}

// kept is what is stored.
type kept struct {
	Feed   string  `json:"feed"` // for people
	Topics []entry `json:"topics"`
}

type entry struct {
	Topic    string         `json:"topic"`
	Priority int            `json:"priority,omitempty"`
	Options  map[string]any `json:"options,omitempty"`
}

// Load is what was saved last; nothing, where nothing was.
func Load(s Store) (List, error) {
	var k kept
	if err := s.Load(&k); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading the run-time topics: %w", err)
	}
	l := make(List, len(k.Topics))
	for i, e := range k.Topics {
		l[i] = config.Topic{Name: e.Topic, Priority: e.Priority, Options: e.Options, Place: config.RunTime()}
	}
	return l, nil
}

// Save keeps l.
func (l List) Save(feed string, s Store) error {
	k := kept{feed, make([]entry, len(l))}
	for i, t := range l {
		k.Topics[i] = entry{t.Name, t.Priority, t.Options}
	}
	if err := s.Save(k); err != nil {
		return fmt.Errorf("keeping the run-time topics: %w", err)
	}
	return nil
}
