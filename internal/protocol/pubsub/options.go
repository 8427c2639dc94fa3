package pubsub

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DecodeOptions reads [feed.options]: auth_topics and full_errors, lists of words. Everything that is wrong is reported,
// each with its key as it stands below the feed ("options.auth_topics[0]"); what is right is returned.
func DecodeOptions(tree map[string]any, report func(key, format string, args ...any)) (o Options) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := "options." + name
		switch name {
		case "auth_topics":
			o.AuthTopics = decodeList(tree[name], func(s string) (string, error) {
				s = strings.TrimSuffix(s, ".")
				return s, check(s)
			}, key, report)
		case "full_errors":
			o.FullErrors = decodeList(tree[name], func(s string) (string, error) {
				if s == "" {
					return s, errors.New("cannot be empty: that is the upstream's word for yes")
				}
				return s, nil
			}, key, report)
		default:
			report(key, "unknown key; twitch-pubsub knows auth_topics and full_errors")
		}
	}
	return o
}

// decodeList reads a list of strings.
func decodeList(v any, read func(string) (string, error), key string, report func(key, format string, args ...any)) (words []string) {
	list, ok := v.([]any)
	if !ok {
		report(key, "must be a list of strings")
		return nil
	}
	for i, item := range list {
		key := fmt.Sprintf("%s[%d]", key, i)
		s, ok := item.(string)
		if !ok {
			report(key, "must be a string")
			continue
		}
		word, err := read(s)
		if err != nil {
			report(key, "%v", err)
			continue
		}
		words = append(words, word)
	}
	return words
}
