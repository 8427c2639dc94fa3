package scaiwave

import (
	"maps"
	"slices"
	"strconv"
)

// Settings are what [feed.options] says.
type Settings struct {
	Tenant string // "": any

	start string // a position; "": now
}

// Start is the position after which a feed begins that has none of its own yet; nil: with what comes from now on.
func (s Settings) Start() []byte {
	if s.start == "" {
		return nil
	}
	return []byte(s.start)
}

// DecodeOptions reads [feed.options]: tenant and start. Everything that is wrong is reported, each with its key as it
// stands below the feed ("options.start"); what is right is returned.
func DecodeOptions(tree map[string]any, report func(key, format string, args ...any)) (s Settings) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := "options." + name
		switch name {
		case "tenant":
			tenant, ok := tree[name].(string)
			if !ok || tenant == "" {
				report(key, "must be the id of a tenant, a string; leave the key out to take any")
				continue
			}
			s.Tenant = tenant
		case "start":
			start, ok := position(tree[name])
			if !ok {
				report(key, `must be "now", or a position: an integer from 0 on`)
				continue
			}
			s.start = start
		default:
			report(key, "unknown key; scaiwave knows tenant and start")
		}
	}
	return s
}

// position reads a value of start.
func position(v any) (start string, ok bool) {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10), v >= 0
	case string:
		if v == "now" {
			return "", true
		}
		return v, isPosition([]byte(v))
	}
	return "", false
}
