package topics

import (
	"math"
	"reflect"
	"slices"

	"feedmux/internal/config/strict"
)

// Topic is a wanted topic.
type Topic struct {
	Name     string
	Priority int            // higher is more wanted
	Options  map[string]any // the protocol's own keys, as decoded from TOML; nil: there are none
	Place    strict.Place   // where it is listed
}

// RunTime is the Key of the Place of a topic that no file lists.
const RunTime = "run-time"

// Clash is a topic with other options than the same topic has at an earlier place.
type Clash struct {
	Topic Topic
	First strict.Place
}

// Merge leaves one topic of each name, in the order of their first places, with the highest priority. The first one with
// options is the one whose options count, and whose Place it has. Topics that label calls differently stay apart; nil: each is
// called by its name. The lists are not changed.
func Merge(label func(Topic) string, lists ...[]Topic) (merged []Topic, clashes []Clash) {
	type spelling struct{ name, label string }
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	first := make(map[spelling]int, n)
	merged = slices.Grow(merged, n)
	for _, list := range lists {
		for _, t := range list {
			s := spelling{name: t.Name}
			if label != nil {
				s.label = label(t)
			}
			i, ok := first[s]
			if !ok {
				first[s] = len(merged)
				merged = append(merged, t)
				continue
			}
			m := &merged[i]
			m.Priority = max(m.Priority, t.Priority)
			switch {
			case t.Options == nil:
			case m.Options == nil:
				m.Options, m.Place = t.Options, t.Place
			case !reflect.DeepEqual(t.Options, m.Options):
				clashes = append(clashes, Clash{t, m.Place})
			}
		}
	}
	return merged, clashes
}

// AnyKey stands for all keys that a topic of a protocol may have, where it is not known which these are.
const AnyKey = "*"

// Fields are the keys of a topic that is written as a table, those of its protocol last.
func Fields(t *Topic, own []string) []strict.Field {
	fields := []strict.Field{
		{Name: "topic", Required: true, Kind: strict.Text(&t.Name, strict.NonEmpty)},
		{Name: "priority", Kind: strict.Number(&t.Priority, math.MinInt32, math.MaxInt32, "")},
	}
	for _, name := range own {
		fields = append(fields, strict.Field{Name: name, Kind: strict.Kind{Decode: func(_ *strict.Decoder, _ string, v any) {
			if t.Options == nil {
				t.Options = map[string]any{}
			}
			t.Options[name] = v
		}}})
	}
	return fields
}
