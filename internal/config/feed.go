package config

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
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
		l.Report(key+".url", "is missing: %s has no upstream of its own", f.Protocol)
	}
	if f.TopicsFile != "" {
		l.readTopics(f)
	} else if len(f.Topics) == 0 && l.Clean(key+".topics", key+".topics_file") {
		l.Report(key+".topics", "a feed needs topics, here or in a topics_file")
	}
	if p.NeedsSecret && f.Auth == (Secret{}) && l.Clean(key+".auth") {
		l.Report(key+".auth", "is missing: %s asks everybody for a token; say where it is, with file or env", f.Protocol)
	}
	f.Topics = l.mergeTopics(f.Topics, p.Label)
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
		p = Protocol{Connections: maxConnections, TopicsPerConnection: math.MaxInt32, SubscribeBatch: math.MaxInt32}
	}
	p.Connections = min(p.Connections, maxConnections)
	if p.Ping == 0 {
		p.Ping = 25 * time.Second
	}
	return p
}

func (l *loader) decodeProtocol(p *string) strict.DecodeFunc {
	return func(d *strict.Decoder, at string, v any) {
		strict.Text(p, func(s string) string {
			if _, ok := l.opts.Protocols[s]; ok {
				return ""
			}
			return strict.OneOf(slices.Sorted(maps.Keys(l.opts.Protocols))...)(s)
		})(d, at, v)
	}
}

// decodeTopics decodes topics that are strings or tables.
func decodeTopics(p *[]Topic, own []string) strict.DecodeFunc {
	return func(d *strict.Decoder, at string, v any) {
		elements, ok := strict.List(v)
		if !ok {
			d.WrongType(at, "an array of topics", v)
			return
		}
		for i, e := range elements {
			key := marks.Index(at, i)
			t := Topic{Place: d.PlaceOf(key)}
			d.Value(key, e, field{Decode: decodeTopic(&t, own)})
			if t.Name != "" {
				*p = append(*p, t)
			}
		}
	}
}

// decodeTopic decodes one; own are the keys of the protocol. There are few keys, so each unknown one names them all.
func decodeTopic(t *Topic, own []string) strict.DecodeFunc {
	return func(d *strict.Decoder, at string, v any) {
		switch v := v.(type) {
		case string:
			strict.Text(&t.Name, strict.NonEmpty)(d, at, v)
		case map[string]any:
			fields := topicFields(t, own)
			known := make(map[string]any, len(v))
			for _, name := range slices.Sorted(maps.Keys(v)) {
				if slices.ContainsFunc(fields, func(f field) bool { return f.Name == name }) {
					known[name] = v[name]
				} else {
					d.Report(marks.Join(at, name), "unknown key; a topic has %s", enumerate(fields))
				}
			}
			d.Table(at, known, fields)
		default:
			d.WrongType(at, `a string or { topic = "…", priority = … }`, v)
		}
	}
}

// enumerate is "topic, priority and mode".
func enumerate(fields []field) string {
	text := ""
	for i, f := range fields {
		switch i {
		case 0:
		case len(fields) - 1:
			text += " and "
		default:
			text += ", "
		}
		text += f.Name
	}
	return text
}

var commentStart = regexp.MustCompile(`(^|\s)#`)

// maxTopicsFile is the longest topics_file, in bytes: over a million topics.
const maxTopicsFile = 64 * strict.MiB

// readTopics adds the topics of f.TopicsFile: one a line, without the spaces around it. A # at the beginning or after
// a space begins a comment. A file without topics is right: something else may fill it later.
func (l *loader) readTopics(f *Feed) {
	key := f.Key + ".topics_file"
	data, err := readFile(f.TopicsFile, maxTopicsFile)
	if err == nil && !utf8.Valid(data) {
		err = fmt.Errorf("%s is not UTF-8 text", f.TopicsFile)
	}
	if err != nil {
		l.Report(key, "%v", err)
		return
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		n++
		if comment := commentStart.FindStringIndex(line); comment != nil {
			line = line[:comment[0]]
		}
		if name := strings.TrimSpace(line); name != "" {
			f.Topics = append(f.Topics, Topic{Name: name, Place: Place{File: f.TopicsFile, Line: n, Key: key}})
		}
	}
}

// mergeTopics leaves one of each name, in the order of their first places, with its highest priority and its options. Topics
// that are called by other labels stay apart; nil: each is called by its name.
func (l *loader) mergeTopics(topics []Topic, label func(Topic) string) []Topic {
	type spelling struct{ name, label string }
	first := make(map[spelling]int, len(topics))
	merged := topics[:0]
	for _, t := range topics {
		s := spelling{name: t.Name}
		if label != nil {
			s.label = label(t)
		}
		i, ok := first[s]
		if !ok {
			i = len(merged)
			first[s] = i
			merged = append(merged, t)
		}
		m := &merged[i]
		m.Priority = max(m.Priority, t.Priority)
		switch {
		case t.Options == nil:
		case m.Options == nil:
			m.Options, m.Place = t.Options, t.Place
		case !reflect.DeepEqual(t.Options, m.Options):
			l.ReportAt(t.Place, "%s has other options at %s:%d (%s)",
				l.Quote(t.Place.Key+".topic", t.Name), m.Place.File, m.Place.Line, m.Place.Key)
		}
	}
	return merged
}

// decodeAuth decodes [feed.auth], which is either the token itself or holds it as a table of its own.
func decodeAuth(s *Secret) strict.DecodeFunc {
	return func(d *strict.Decoder, at string, v any) {
		tree, ok := v.(map[string]any)
		if !ok {
			d.WrongType(at, "a table", v)
			return
		}
		d.Table(at, tree, authFields(s))
		_, file := tree["file"]
		_, env := tree["env"]
		_, token := tree["token"]
		switch {
		case token && (file || env):
			d.Report(marks.Join(at, "token"), "[feed.auth] is short for [feed.auth.token]: use one of them")
		case s.File != "" && s.Env != "":
			d.Report(at, "has both file and env: use one of them")
		}
	}
}

// topicKey matches the path of a topic, or of one of its keys.
var topicKey = regexp.MustCompile(`^topics\[(\d+)\](\..*)?$`)

// reportFeed is the Report for keys of f. A topic is found by its index in f.Topics.
func (l *loader) reportFeed(f *Feed) Report {
	return func(key, format string, args ...any) {
		if m := topicKey.FindStringSubmatch(key); m != nil {
			if i, err := strconv.Atoi(m[1]); err == nil && i < len(f.Topics) {
				l.reportTopic(f.Topics[i].Place, m[2], format, args...)
				return
			}
		}
		if key == "" {
			l.Report(f.Key, format, args...)
			return
		}
		l.Report(f.Key+"."+key, format, args...)
	}
}

// reportTopic tells a problem with the topic that stands at a place, or with the key below it, such as ".mode".
func (l *loader) reportTopic(at Place, below, format string, args ...any) {
	if key := at.Key + below; below != "" && l.Has(key) {
		at = l.PlaceOf(key)
	}
	l.ReportAt(at, format, args...)
}
