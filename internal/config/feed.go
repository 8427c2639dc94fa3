package config

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"feedmux/internal/config/forms"
	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
	"feedmux/internal/config/topics"
)

// decodeFeeds decodes every [[feed]].
func (l *loader) decodeFeeds(_ *strict.Decoder, at string, v any) {
	elements, ok := strict.List(v)
	if !ok {
		if _, table := v.(map[string]any); table {
			l.Report(at, "must be a list of tables: write [[feed]], not [feed]")
			return
		}
		l.WrongType(at, "a list of tables", v)
		return
	}
	names := map[string]*Feed{}
	for i, e := range elements {
		key := marks.Index(at, i)
		tree, ok := e.(map[string]any)
		if !ok {
			l.WrongType(key, "a table", e)
			continue
		}
		f := l.feed(key, tree)
		l.feeds = append(l.feeds, f)
		if other := names[f.Name]; other != nil && f.Name != "" {
			l.Report(marks.Join(key, "name"), "%q is the name of %s already", f.Name, other.Key)
			continue
		}
		names[f.Name] = f
	}
}

// feed decodes one [[feed]]. Its protocol comes first, as defaults and ceilings depend on it.
func (l *loader) feed(key string, tree map[string]any) *Feed {
	name, _ := tree["protocol"].(string)
	p := l.protocol(name)
	f := newFeed(key, p)
	f.Protocol = name
	l.Table(key, tree, l.feedFields(f, p))

	// Pings are due within half the jitter of their times, so two may be as near as this.
	nearest := time.Duration(float64(f.Ping.Interval) * (1 - f.Ping.Jitter))
	if l.Clean(key+".ping") && f.Ping.Timeout > nearest {
		l.Report(key+".ping.timeout", "%s is more than %s: the next ping may be due so soon after one "+
			"(interval %s, jitter %g)", strict.FormatDuration(f.Ping.Timeout), strict.FormatDuration(nearest),
			strict.FormatDuration(f.Ping.Interval), f.Ping.Jitter)
	}
	if l.Clean(key+".backoff") && f.Backoff.Base > f.Backoff.Max {
		l.Report(key+".backoff.base", "%s is more than %s, the max of this feed",
			strict.FormatDuration(f.Backoff.Base), strict.FormatDuration(f.Backoff.Max))
	}
	if f.URL == "" && l.Clean(key+".protocol", key+".url") {
		form := ""
		if p.URLForm != "" {
			form = ": url = \"" + p.URLForm + "\""
		}
		l.Report(key+".url", "is missing: %s has no upstream of its own%s", f.Protocol, form)
	}
	if f.TLS != (TLS{}) && forms.IsPlain(f.URL) && l.Clean(key+".url", key+".tls") {
		l.Report(key+".tls", "needs wss://: there is no TLS to %s", RedactURL(f.URL))
	}
	if l.Clean(key+".url", key+".proxy") {
		if why := forms.Way(f.Proxy, f.URL, l.opts.Env); why != "" {
			l.Report(key+".proxy", "%s", why)
		}
	}
	if f.TopicsFile != "" {
		l.readTopics(f)
	} else if len(f.Listed) == 0 && l.Clean(key+".topics", key+".topics_file") {
		l.Report(key+".topics", "a feed needs topics, here or in a topics_file")
	}
	if p.NeedsSecret && !f.Auth.IsSet() && l.Clean(key+".auth") {
		l.Report(key+".auth", "is missing: %s asks everybody for a token; say where it is, with file, env or command", f.Protocol)
	}
	l.mergeTopics(f, p)
	l.join(f)
	return f
}

// checkLimits looks for limits of f that are right by themselves and not together. Its share of an account is known.
func (l *loader) checkLimits(f *Feed) {
	limits, key := f.Limits, f.Key+".limits."
	if !l.Clean(key + "connections") {
		return
	}
	if f.Shared == nil && l.Clean(f.Key+".dial.in_flight") && f.Dial.InFlight > limits.Connections {
		l.Report(f.Key+".dial.in_flight", "%d is more than %d, the connections of this feed", f.Dial.InFlight, limits.Connections)
	}
	if !l.Clean(key + "reserve") {
		return
	}
	if limits.Reserve >= limits.Connections {
		l.Report(key+"reserve", "%d is not less than %d, the connections of this feed", limits.Reserve, limits.Connections)
		return
	}
	if f.Overflow == "reject" && l.Clean(key+"topics_per_connection") && len(f.Topics) > limits.Capacity() {
		topics := slices.Clone(f.Topics)
		slices.SortStableFunc(topics, func(a, b Topic) int { return cmp.Compare(b.Priority, a.Priority) })
		l.Report(f.Key+".overflow", "%d topics are more than (%d - %d) × %d = %d, which is "+
			"(connections - reserve) × topics_per_connection; the first without a place is %s",
			len(topics), limits.Connections, limits.Reserve, limits.TopicsPerConnection, limits.Capacity(),
			l.quoteTopic(topics[limits.Capacity()]))
	}
}

// quoteTopic shows the name of a topic, and where it was listed.
func (l *loader) quoteTopic(t Topic) string {
	at := t.Place.Key
	switch {
	case t.Place.File == "":
		return fmt.Sprintf("%q (%s)", t.Name, at)
	case strings.HasSuffix(at, ".topics_file"):
		at = "" // the value there is the name of the file
	case l.Has(at + ".topic"):
		at += ".topic"
	}
	return fmt.Sprintf("%s (%s:%d)", l.Quote(at, t.Name), t.Place.File, t.Place.Line)
}

// protocol is what is known of the protocol called name. A name that is wrong has a problem of its own, so nothing else
// is held against a feed of it.
func (l *loader) protocol(name string) Protocol {
	p, ok := l.opts.Protocols[name]
	if !ok {
		p = Protocol{
			Connections: maxConnections, TopicsPerConnection: math.MaxInt32, SubscribeBatch: math.MaxInt32,
			TopicKeys: []string{topics.AnyKey},
		}
	}
	p.Connections = min(p.Connections, maxConnections)
	if p.Ping == 0 {
		p.Ping = 25 * time.Second
	}
	return p
}

// protocolName is the kind of a feed's protocol.
func (l *loader) protocolName(p *string) strict.Kind {
	return strict.Text(p, strict.OneOf(slices.Sorted(maps.Keys(l.opts.Protocols))...))
}

// readTopics fills f.FromFile.
func (l *loader) readTopics(f *Feed) {
	key := f.Key + ".topics_file"
	list, err := topics.Read(f.TopicsFile)
	if err != nil {
		l.Report(key, "%v", err)
		return
	}
	for i := range list {
		list[i].Place.Key = key
	}
	f.FromFile = list
}

// mergeTopics fills f.Topics.
func (l *loader) mergeTopics(f *Feed, p Protocol) {
	var clashes []topics.Clash
	f.Topics, clashes = topics.Merge(p.Label, f.Listed, f.FromFile)
	for _, c := range clashes {
		at := c.Topic.Place
		l.ReportAt(at, "%s has other options at %s:%d (%s)", l.Quote(at.Key+".topic", c.Topic.Name), c.First.File, c.First.Line, c.First.Key)
	}
}

// decodeAuth decodes [feed.auth], which is either the token itself or holds it as a table of its own.
func decodeAuth(s *Secret) strict.DecodeFunc {
	return func(d *strict.Decoder, at string, v any) {
		tree, ok := v.(map[string]any)
		if !ok {
			d.WrongType(at, "a table", v)
			return
		}
		if _, ok := tree["token"].(string); ok {
			d.Report(marks.Join(at, "token"), "a token never stands in the configuration: use file, env or command")
			tree = maps.Clone(tree)
			delete(tree, "token")
		}
		d.Table(at, tree, authFields(s))
		if _, token := tree["token"]; token && len(tree) > 1 {
			d.Report(marks.Join(at, "token"), "[feed.auth] is short for [feed.auth.token]: use one of them")
			return
		}
		places := 0
		for _, set := range []bool{s.File != "", s.Env != "", s.Command != nil} {
			if set {
				places++
			}
		}
		if places > 1 {
			d.Report(at, "has more than one of file, env and command: use one of them")
		}
	}
}

// topicKey matches the path of a topic, or of one of its keys.
var topicKey = regexp.MustCompile(`^topics\[(\d+)\](\..*)?$`)

// placeIn finds a key of f. A topic goes by its index in f.Topics, and is where it is listed.
func (l *loader) placeIn(f *Feed, key string) Place {
	if m := topicKey.FindStringSubmatch(key); m != nil {
		if i, err := strconv.Atoi(m[1]); err == nil && i < len(f.Topics) {
			at, below := f.Topics[i].Place, m[2]
			if below != "" && l.Has(at.Key+below) {
				return l.PlaceOf(at.Key + below)
			}
			return at
		}
	}
	if key == "" {
		return l.PlaceOf(f.Key)
	}
	return l.PlaceOf(f.Key + "." + key)
}
