package wants

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"feedmux/internal/additions"
	"feedmux/internal/config"
)

// passes is how often what is left is looked at again: a protocol may say the next thing only once the first is gone.
const passes = 4

// sift takes out of added what cannot be wanted, as far as that is said of a topic: those that have other options where f lists
// them, those that the protocol refuses, those whose subject is taken, and then those past the capacity. What it leaves may
// still be bad.
func (r Rules) sift(c *config.Config, f *config.Feed, added additions.List) (rest additions.List, bad []additions.Bad) {
	rest = added
	without := func(why map[string]error) (any bool) {
		var left additions.List
		for _, t := range rest {
			if err := why[t.Name]; err != nil {
				bad = append(bad, additions.Bad{Topic: t.Name, Err: err})
			} else {
				left = append(left, t)
			}
		}
		rest = left
		return len(why) > 0
	}
	without(r.clashes(f, rest))
	for _, look := range []func(*config.Feed, config.Report){r.Protocols[f.Protocol].Check, r.between(c)} {
		for i := 0; i < passes && look != nil && without(r.blamed(f, rest, look)); i++ {
		}
	}
	without(r.past(f, rest))
	return rest, bad
}

// clashes are those of added that f lists with other options.
func (r Rules) clashes(f *config.Feed, added additions.List) map[string]error {
	why, listed := make(map[string]error), make(map[string][]config.Topic)
	for _, t := range slices.Concat(f.Listed, f.FromFile) {
		listed[t.Name] = append(listed[t.Name], t)
	}
	for _, t := range added {
		if at := listed[t.Name]; at != nil {
			if _, err := config.MergeTopics(r.Protocols[f.Protocol], at, []config.Topic{t}); err != nil {
				why[t.Name] = err
			}
		}
	}
	return why
}

// between holds a feed against the others of c, as if it were the last of them: so what meets is said of its topics. nil: there
// is no such check.
func (r Rules) between(c *config.Config) func(*config.Feed, config.Report) {
	if r.Check == nil {
		return nil
	}
	return func(f *config.Feed, report config.Report) {
		with := *c
		with.Feeds = slices.DeleteFunc(slices.Clone(c.Feeds), func(o *config.Feed) bool { return o.Name == f.Name })
		with.Feeds = append(with.Feeds, f)
		r.Check(&with, func(key, format string, args ...any) {
			if below, ok := strings.CutPrefix(key, f.Key+"."); ok {
				report(below, format, args...)
			}
		})
	}
}

// blamed are those of added that look has something against, with why, where f wants them all.
func (r Rules) blamed(f *config.Feed, added additions.List, look func(*config.Feed, config.Report)) map[string]error {
	g := *f
	g.Topics, _ = config.MergeTopics(r.Protocols[f.Protocol], f.Listed, f.FromFile, added)
	mine := make(map[string]bool, len(added))
	for _, t := range added {
		mine[t.Name] = true
	}
	why := make(map[string]error)
	look(&g, func(key, format string, args ...any) {
		i, below := topicIn(key)
		if i < 0 || i >= len(g.Topics) || !mine[g.Topics[i].Name] || why[g.Topics[i].Name] != nil {
			return
		}
		what := strconv.Quote(g.Topics[i].Name)
		if below != "" {
			what += " " + below
		}
		why[g.Topics[i].Name] = fmt.Errorf("%s: %s", what, fmt.Sprintf(format, args...))
	})
	return why
}

// past are those of added for which f has no room, where it rejects such.
func (r Rules) past(f *config.Feed, added additions.List) map[string]error {
	if f.Overflow != "reject" {
		return nil
	}
	type spelling struct{ name, label string }
	there, label := make(map[spelling]bool), r.Protocols[f.Protocol].Label
	is := func(t config.Topic) spelling {
		if label == nil {
			return spelling{name: t.Name}
		}
		return spelling{t.Name, label(t)}
	}
	for _, t := range slices.Concat(f.Listed, f.FromFile) {
		there[is(t)] = true
	}
	why, room := make(map[string]error), f.Limits.Capacity()
	for _, t := range added {
		if s := is(t); !there[s] && len(there) >= room {
			why[t.Name] = fmt.Errorf("%q: the feed has room for %d topics, and overflow = \"reject\"", t.Name, room)
		} else {
			there[s] = true
		}
	}
	return why
}

// topicIn reads the key of a topic, as topics[3].mode: its index, and what is below. -1: it is another key.
func topicIn(key string) (index int, below string) {
	of, ok := strings.CutPrefix(key, "topics[")
	if !ok {
		return -1, ""
	}
	number, below, _ := strings.Cut(of, "]")
	index, err := strconv.Atoi(number)
	if err != nil {
		return -1, ""
	}
	return index, strings.TrimPrefix(below, ".")
}

// Refused is the first of topics, by itself and beside the others of the list, that the protocol of f would not take: which one,
// what of it ("": all of it), and why. nil: there is none.
func (r Rules) Refused(f *config.Feed, topics []config.Topic) (which int, below string, why error) {
	look := r.Protocols[f.Protocol].Check
	if look == nil {
		return -1, "", nil
	}
	g := *f
	g.Topics = topics
	look(&g, func(key, format string, args ...any) {
		if i, part := topicIn(key); i >= 0 && i < len(topics) && (why == nil || i < which) {
			which, below, why = i, part, fmt.Errorf("%q: %s", topics[i].Name, fmt.Sprintf(format, args...))
		}
	})
	return which, below, why
}
