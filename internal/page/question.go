package page

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"feedmux/internal/diagnosis"
	"feedmux/internal/topic"
)

// question is what an address asks for.
type question struct {
	Feed  string // whose ledger; "": none, where there are several feeds
	State string // "": any; diagnosis.Dark, or the name of a topic.State
	Q     string // what the topic or its subject must hold, in upper or lower case
	Page  int    // from 1
	Topic string // "": no topic's own view
}

// states are what can be asked for, in the order of the form.
func states() []string {
	all := []string{diagnosis.Dark}
	for _, s := range topic.States() {
		all = append(all, s.String())
	}
	return all
}

// parse is strict, as /api/status is: a misspelt parameter would look like an answer.
func parse(query string) (question, error) {
	q := question{Page: 1}
	values, err := url.ParseQuery(query)
	if err != nil {
		return q, fmt.Errorf("read the query: %w", err)
	}
	for key, given := range values {
		if len(given) > 1 {
			return q, fmt.Errorf("%s: given %d times", key, len(given))
		}
		switch v := given[0]; key {
		case "feed":
			q.Feed = v
		case "q":
			q.Q = strings.ToValidUTF8(v, "\ufffd")
		case "topic":
			q.Topic = v
		case "state":
			if v != "" && !slices.Contains(states(), v) {
				return q, fmt.Errorf("state: %q is none; there are %q", v, states())
			}
			q.State = v
		case "page":
			if q.Page, err = strconv.Atoi(v); err != nil || q.Page < 1 {
				return q, fmt.Errorf("page: must be a number from 1 on, not %q", v)
			}
		default:
			return q, fmt.Errorf("%q: no such parameter; there are feed, state, q, page and topic", key)
		}
	}
	if q.Topic != "" && q.Feed == "" {
		return q, fmt.Errorf("topic: needs feed too")
	}
	return q, nil
}

// link is the address that asks q. It is relative, so that a proxy in front may put the page anywhere.
func (q question) link() string {
	v := make(url.Values)
	for key, value := range map[string]string{"feed": q.Feed, "state": q.State, "q": q.Q, "topic": q.Topic} {
		if value != "" {
			v.Set(key, value)
		}
	}
	if q.Page > 1 {
		v.Set("page", strconv.Itoa(q.Page))
	}
	return "?" + v.Encode()
}
