package config

import (
	"slices"
	"strings"
)

// subjectTemplate checks the form of a template: tokens separated by dots, each a literal or one {variable}. extra
// are variables beside feed and topic.
func subjectTemplate(extra []string) func(string) string {
	variables := []string{"{feed}", "{topic}"}
	for _, v := range extra {
		variables = append(variables, "{"+v+"}")
	}
	return func(template string) string {
		tokens := strings.Split(template, ".")
		if !slices.Contains(tokens, "{topic}") {
			return "must have {topic} as one of its tokens"
		}
		for _, token := range tokens {
			switch {
			case token == "":
				return "has an empty token"
			case slices.Contains(variables, token):
			case strings.HasPrefix(token, "{") && strings.HasSuffix(token, "}"):
				return "has an unknown variable: there are " + strings.Join(variables, ", ")
			case strings.ContainsAny(token, "{}"):
				return "has a variable that is only a part of a token"
			case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '*' || r == '>' }):
				return "has a space, a wildcard or a character beyond ASCII"
			}
		}
		switch first := tokens[0]; {
		case first[0] == '{':
			return "must begin with a literal token"
		case first == "feedmux":
			return "must not begin with feedmux: notices have their subjects there"
		case first[0] == '$' || first[0] == '_':
			return "must not begin with $ or _: NATS has its own subjects there"
		}
		return ""
	}
}
