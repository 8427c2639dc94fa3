package config

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"feedmux/internal/config/marks"
)

// decodeFeeds decodes every [[feed]].
func decodeFeeds(d *decoder, at string, v any) {
	elements, ok := list(v)
	if !ok {
		if _, table := v.(map[string]any); table {
			d.report(at, "must be a list of tables: write [[feed]], not [feed]")
			return
		}
		d.wrongType(at, "a list of tables", v)
		return
	}
	names := map[string]*Feed{}
	for i, e := range elements {
		key := marks.Index(at, i)
		tree, ok := e.(map[string]any)
		if !ok {
			d.wrongType(key, "a table", e)
			continue
		}
		f := d.feed(key, tree)
		d.feeds = append(d.feeds, f)
		if other := names[f.Name]; other != nil && f.Name != "" {
			d.report(marks.Join(key, "name"), "%q is the name of %s already", f.Name, other.Key)
			continue
		}
		names[f.Name] = f
	}
}

// feed decodes one [[feed]]. Its protocol comes first, as defaults and ceilings depend on it.
func (d *decoder) feed(key string, tree map[string]any) *Feed {
	name, _ := tree["protocol"].(string)
	p := d.protocol(name)
	f := newFeed(key, p)
	f.Protocol = name
	d.table(key, tree, feedFields(f, p))

	if d.clean(key+".limits", key+".dial") && f.Dial.InFlight > f.Limits.Connections {
		d.report(key+".dial.in_flight", "%d is more than %d, the connections of this feed",
			f.Dial.InFlight, f.Limits.Connections)
	}
	// Pings are due within half the jitter of their times, so two may be as near as this.
	nearest := time.Duration(float64(f.Ping.Interval) * (1 - f.Ping.Jitter))
	if d.clean(key+".ping") && f.Ping.Timeout > nearest {
		d.report(key+".ping.timeout", "%s is more than %s: the next ping may be due so soon after one "+
			"(interval %s, jitter %g)", formatDuration(f.Ping.Timeout), formatDuration(nearest),
			formatDuration(f.Ping.Interval), f.Ping.Jitter)
	}
	if d.clean(key+".backoff") && f.Backoff.Base > f.Backoff.Max {
		d.report(key+".backoff.base", "%s is more than %s, the max of this feed",
			formatDuration(f.Backoff.Base), formatDuration(f.Backoff.Max))
	}
	if f.URL == "" && d.clean(key+".protocol", key+".url") {
		d.report(key+".url", "is missing: %s has no upstream of its own", f.Protocol)
	}
	if f.TopicsFile != "" {
		d.readTopics(f)
	} else if len(f.Topics) == 0 && d.clean(key+".topics", key+".topics_file") {
		d.report(key+".topics", "a feed needs topics, here or in a topics_file")
	}
	f.Topics = mergeTopics(f.Topics)
	return f
}

// protocol is what is known of the protocol called name. A name that is wrong has a problem of its own, so nothing else
// is held against a feed of it.
func (d *decoder) protocol(name string) Protocol {
	p, ok := d.opts.Protocols[name]
	if !ok {
		p = Protocol{Connections: maxConnections, TopicsPerConnection: math.MaxInt32, SubscribeBatch: math.MaxInt32}
	}
	p.Connections = min(p.Connections, maxConnections)
	if p.Ping == 0 {
		p.Ping = 25 * time.Second
	}
	return p
}

func decodeProtocol(p *string) decodeFunc {
	return func(d *decoder, at string, v any) {
		text(p, func(s string) string {
			if _, ok := d.opts.Protocols[s]; ok {
				return ""
			}
			return oneOf(slices.Sorted(maps.Keys(d.opts.Protocols))...)(s)
		})(d, at, v)
	}
}

// decodeTopics decodes topics that are strings or tables.
func decodeTopics(p *[]Topic) decodeFunc {
	return func(d *decoder, at string, v any) {
		elements, ok := list(v)
		if !ok {
			d.wrongType(at, "an array of topics", v)
			return
		}
		for i, e := range elements {
			key := marks.Index(at, i)
			t := Topic{Place: d.place(key)}
			switch e := e.(type) {
			case unsetString: // reported already
			case string:
				text(&t.Name, nonEmpty)(d, key, e)
			case map[string]any:
				d.table(key, e, topicFields(&t))
			default:
				d.wrongType(key, `a string or { topic = "…", priority = … }`, e)
			}
			if t.Name != "" {
				*p = append(*p, t)
			}
		}
	}
}

var commentStart = regexp.MustCompile(`(^|\s)#`)

// maxTopicsFile is the longest topics_file, in bytes: over a million topics.
const maxTopicsFile = 64 * mib

// readTopics adds the topics of f.TopicsFile: one a line, without the spaces around it. A # at the beginning or after
// a space begins a comment. A file without topics is right: something else may fill it later.
func (d *decoder) readTopics(f *Feed) {
	key := f.Key + ".topics_file"
	data, err := readFile(f.TopicsFile, maxTopicsFile)
	if err == nil && !utf8.Valid(data) {
		err = fmt.Errorf("%s is not UTF-8 text", f.TopicsFile)
	}
	if err != nil {
		d.report(key, "%v", err)
		return
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		n++
		if comment := commentStart.FindStringIndex(line); comment != nil {
			line = line[:comment[0]]
		}
		if name := strings.TrimSpace(line); name != "" {
			f.Topics = append(f.Topics, Topic{Name: name, Place: Place{f.TopicsFile, n, key}})
		}
	}
}

// mergeTopics leaves one of each name, at its first place and with its highest priority.
func mergeTopics(topics []Topic) []Topic {
	first := make(map[string]int, len(topics))
	merged := topics[:0]
	for _, t := range topics {
		if i, ok := first[t.Name]; ok {
			merged[i].Priority = max(merged[i].Priority, t.Priority)
			continue
		}
		first[t.Name] = len(merged)
		merged = append(merged, t)
	}
	return merged
}

// decodeAuth decodes [feed.auth], which is either the token itself or holds it as a table of its own.
func decodeAuth(s *Secret) decodeFunc {
	return func(d *decoder, at string, v any) {
		tree, ok := v.(map[string]any)
		if !ok {
			d.wrongType(at, "a table", v)
			return
		}
		d.table(at, tree, authFields(s))
		_, file := tree["file"]
		_, env := tree["env"]
		_, token := tree["token"]
		switch {
		case token && (file || env):
			d.report(marks.Join(at, "token"), "[feed.auth] is short for [feed.auth.token]: use one of them")
		case s.File != "" && s.Env != "":
			d.report(at, "has both file and env: use one of them")
		}
	}
}

// resolve finds the file that a key names. A credential that systemd did not hand over keeps its name, which no file
// has: reading it fails with that name.
func (d *decoder) resolve(name string) string {
	credential, ok := strings.CutPrefix(name, "credential:")
	switch {
	case ok:
		if dir, set := d.opts.Env("CREDENTIALS_DIRECTORY"); set {
			return filepath.Join(dir, credential)
		}
		return name
	case name == "" || filepath.IsAbs(name):
		return name
	}
	return filepath.Join(d.dir, name)
}

// reportFeed is the Report for keys of f. A topic is found by its index in f.Topics.
func (d *decoder) reportFeed(f *Feed) Report {
	return func(key, format string, args ...any) {
		var i int
		if n, _ := fmt.Sscanf(key, "topics[%d]", &i); n == 1 && i >= 0 && i < len(f.Topics) {
			d.reportAt(f.Topics[i].Place, format, args...)
			return
		}
		if key == "" {
			d.report(f.Key, format, args...)
			return
		}
		d.report(f.Key+"."+key, format, args...)
	}
}
