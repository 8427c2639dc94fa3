package pubsub

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DecodeOptions reads [feed.options]: auth_topics, a list of topic names. Everything that is wrong is reported, each
// with its key as it stands below the feed ("options.auth_topics[0]"); what is right is returned.
func DecodeOptions(tree map[string]any, report func(key, format string, args ...any)) (authTopics []string) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := "options." + name
		if name != "auth_topics" {
			report(key, "unknown key; twitch-pubsub knows auth_topics")
			continue
		}
		list, ok := tree[name].([]any)
		if !ok {
			report(key, "must be a list of topic names")
			continue
		}
		for i, item := range list {
			key := fmt.Sprintf("%s[%d]", key, i)
			name, ok := item.(string)
			if !ok {
				report(key, "must be a string")
				continue
			}
			name = strings.TrimSuffix(name, ".")
			if err := check(name); err != nil {
				report(key, "%v", err)
				continue
			}
			authTopics = append(authTopics, name)
		}
	}
	return authTopics
}
