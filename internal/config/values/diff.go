package values

import (
	"fmt"
	"reflect"
	"strings"

	"feedmux/internal/config/topics"
)

// Set is the values of one configuration.
type Set struct {
	Values []Value
	Parts  map[string]Part // the feeds and accounts, as Change.Key has them
}

// Part is what is compared of a feed or an account beside its values.
type Part struct {
	Words  string // for people; not empty
	Topics []topics.Topic
	Secret bool // there is a place for one
}

// Diff is what a reload changes: feeds and accounts go by their names, whatever their order.
func Diff(old, now Set) []Change {
	was := map[string]Value{}
	for _, v := range old.Values {
		was[v.Key] = v
	}
	var changes []Change
	told := map[string]bool{}
	whole := func(part, from, to string) {
		if told[part] {
			return
		}
		told[part] = true
		reach := Restart
		if strings.HasPrefix(part, "feed.") {
			reach = Now
		}
		changes = append(changes, Change{part, reach, from, to})
	}
	one := func(part string, v Value, from, to string) {
		if from == to {
			to += " (it differs in what is not shown)"
		}
		reach := v.Reach
		if strings.HasPrefix(v.Key, part+".auth.") && old.Parts[part].Secret != now.Parts[part].Secret {
			reach = Restart // who had no secret has nothing that follows one
		}
		changes = append(changes, Change{v.Key, reach, from, to})
	}
	for _, v := range now.Values {
		part, b := partOf(v.Key), was[v.Key]
		delete(was, v.Key)
		switch {
		case part != "" && old.Parts[part].Words == "":
			whole(part, "", now.Parts[part].Words)
		case v.Key == part+".topics":
			if diff := topicsDiff(old.Parts[part].Topics, now.Parts[part].Topics); diff != "" {
				one(part, v, b.Text, v.Text+": "+diff)
			}
		case strings.HasPrefix(v.From, "[") && strings.HasPrefix(b.From, "["): // told of the account
		case b.Exact != v.Exact:
			one(part, v, b.Text, v.Text)
		}
	}
	for _, v := range old.Values { // what is left of them, in their order
		part := partOf(v.Key)
		if _, left := was[v.Key]; !left {
			continue
		}
		if part != "" && now.Parts[part].Words == "" {
			whole(part, old.Parts[part].Words, "")
		} else {
			one(part, v, v.Text, "")
		}
	}
	return changes
}

// partOf is the feed or account that a key is of: "" for [nats], [http] and [log]. Names have no dots.
func partOf(key string) string {
	kind, rest, _ := strings.Cut(key, ".")
	if kind != "feed" && kind != "account" {
		return ""
	}
	name, _, _ := strings.Cut(rest, ".")
	return kind + "." + name
}

// topicsDiff counts what is different; "": nothing is.
func topicsDiff(old, now []topics.Topic) string {
	had, has := byName(old), byName(now)
	var added, removed, changed int
	for name, t := range has {
		switch h, ok := had[name]; {
		case !ok:
			added++
		case !reflect.DeepEqual(h, t):
			changed++
		}
	}
	for name := range had {
		if _, ok := has[name]; !ok {
			removed++
		}
	}
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{added, "added"}, {removed, "removed"}, {changed, "changed"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

// byName are topics without their places. One name may be listed under several labels.
func byName(list []topics.Topic) map[string][]topics.Topic {
	topicsOf := make(map[string][]topics.Topic, len(list))
	for _, t := range list {
		topicsOf[t.Name] = append(topicsOf[t.Name], topics.Topic{Priority: t.Priority, Options: t.Options})
	}
	return topicsOf
}
