package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
	"feedmux/internal/config/values"
)

// What the file says key by key, and when a change of it counts: see package values.
type (
	Reach  = values.Reach
	Value  = values.Value
	Change = values.Change
)

const (
	Now      = values.Now
	NextLife = values.NextLife
	Restart  = values.Restart
)

// Key is one that the file may have.
type Key struct {
	Path  string // as feed.ping.interval, account.NAME.hold or nats.url
	Reach Reach
}

// Keys are all of them that have a value, sorted. Those that a protocol gives its topics and its options are not among them.
func Keys() []Key {
	var keys []Key
	var add func(at string, fields []field)
	add = func(at string, fields []field) {
		for _, f := range fields {
			path := marks.Join(at, f.Name)
			if f.Reach != "" {
				keys = append(keys, Key{path, f.Reach})
			}
			add(path, f.Table)
		}
	}
	add("", (&loader{}).rootFields(defaults()))
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.Path, b.Path) })
	return keys
}

// origin is what a Config was made of.
type origin struct {
	file      *strict.Decoder
	protocols map[string]Protocol
}

// Values are what counts, in the order of the table of keys: defaults too. c must be one that was loaded.
func (c *Config) Values() []Value {
	l := &loader{Decoder: c.origin.file, opts: LoadOptions{Protocols: c.origin.protocols}}
	whole := func(string) string { return "default" }
	all := l.values("", "", l.rootFields(c), whole)
	for _, a := range c.Accounts {
		all = append(all, l.values(a.Key, a.Key, accountFields(a), whole)...)
	}
	for _, f := range c.Feeds {
		all = append(all, l.feedValues(f)...)
	}
	return all
}

// Diff is what a reload changes: feeds and accounts go by their names, whatever their order. Both must have been loaded.
func Diff(old, now *Config) []Change { return values.Diff(old.set(), now.set()) }

// set is c as it is compared.
func (c *Config) set() values.Set {
	set := values.Set{Values: c.Values(), Parts: map[string]values.Part{}}
	for _, a := range c.Accounts {
		set.Parts[a.Key] = values.Part{Words: plural(a.Connections, "connection")}
	}
	for _, f := range c.Feeds {
		set.Parts["feed."+f.Name] = values.Part{
			Words: f.Protocol + ", " + plural(len(f.Topics), "topic"), Topics: f.Topics, Secret: f.Auth.IsSet(),
		}
	}
	return set
}

// values are those of a table. key is its path as Value says it, at the one in the file, and otherwise says where what is
// not in the file is from.
func (l *loader) values(key, at string, fields []field, otherwise func(name string) string) (list []Value) {
	for _, f := range fields {
		path, place := marks.Join(key, f.Name), marks.Join(at, f.Name)
		if f.Show == nil {
			if f.Decode == nil {
				below := func(name string) string { return otherwise(marks.Join(f.Name, name)) }
				list = append(list, l.values(path, place, f.Table, below)...)
			}
			continue
		}
		v := Value{Key: path, Reach: f.Reach, Exact: f.Show(), From: l.Origin(place)}
		if v.Text = v.Exact; f.Redact != nil {
			v.Text = f.Redact(v.Exact)
		}
		if v.From == "" {
			v.From = otherwise(f.Name)
		}
		list = append(list, v)
	}
	return list
}

func (l *loader) feedValues(f *Feed) []Value {
	key, p := "feed."+f.Name, l.protocol(f.Protocol)
	fields := l.feedFields(f, p)
	has, usual := exact(fields), exact(l.feedFields(newFeed("", l.protocol("")), p)) // usual: whatever the protocol
	list := l.values(key, f.Key, fields, func(name string) string {
		shared := []string{"dial.rate", "dial.in_flight", "limits.hold", "limits.connections"}
		switch {
		case f.Shared != nil && slices.Contains(shared, name):
			return "[" + f.Shared.Key + "]"
		case has[name] != usual[name]:
			return "default of " + f.Protocol
		}
		return "default"
	})

	account := slices.IndexFunc(list, func(v Value) bool { return v.Key == key+".account" })
	if f.Shared == nil { // what it is called follows from other keys, and from the secret
		list[account].Exact = ""
	}
	topics := Value{Key: key + ".topics", Text: plural(len(f.Topics), "topic"), Reach: Now, From: l.Origin(f.Key + ".topics")}
	if len(f.FromFile) > 0 {
		topics.From = strings.TrimSpace(topics.From + " " + filepath.Base(f.TopicsFile))
	}
	list = slices.Insert(list, account+1, topics) // where the table of keys has it

	list = append(list, l.authValues(f)...)
	for _, name := range slices.Sorted(maps.Keys(f.Options)) {
		list = append(list, l.option(f, name, p))
	}
	return list
}

// exact are the values of a table by their keys.
func exact(fields []field) map[string]string {
	byKey := map[string]string{}
	nowhere := &loader{Decoder: &strict.Decoder{}}
	for _, v := range nowhere.values("", "", fields, func(string) string { return "" }) {
		byKey[v.Key] = v.Exact
	}
	return byKey
}

// authValues are those of [feed.auth], whichever way it is written.
func (l *loader) authValues(f *Feed) []Value {
	at := marks.Join(f.Key, "auth")
	if l.Has(marks.Join(at, "token")) {
		at = marks.Join(at, "token")
	}
	usual := newFeed("", l.protocol("")).Auth.RefreshBefore
	return l.values("feed."+f.Name+".auth", at, secretFields(&f.Auth), func(name string) string {
		if name == "refresh_before" && f.Auth.RefreshBefore != usual {
			return "default of " + f.Protocol
		}
		return "default"
	})
}

// option is one of [feed.options].
func (l *loader) option(f *Feed, name string, p Protocol) Value {
	at := marks.Join(f.Key+".options", name)
	v := Value{Key: marks.Join("feed."+f.Name+".options", name), Reach: Restart, From: l.Origin(at)}
	text, isText := f.Options[name].(string)
	if !isText {
		data, err := json.Marshal(f.Options[name])
		if err != nil { // nan, for one
			data = fmt.Append(nil, f.Options[name])
		}
		text = string(data)
	}
	v.Text, v.Exact = RedactURL(text), text
	if slices.Contains(p.HiddenOptions, name) || l.Expanded(at) {
		v.Text = hidden(text)
	}
	return v
}
