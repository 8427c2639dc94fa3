package subject

import (
	"errors"
	"fmt"
	"strings"
)

// Template says on which subject each topic of a feed is published. The zero Template is not valid.
type Template struct {
	before, after string // what stands around {topic}, separators included
}

// Parse reads a template such as "feed.{feed}.{topic}". Variables fill whole tokens. {topic} is needed, and
// once; {feed} may be left out. Every other token is letters, digits, '_' and '-'. The first is not a variable, does not
// begin with '_', and is not "feedmux".
func Parse(s string) (Template, error) {
	tokens := strings.Split(s, ".")
	topics := 0
	for i, token := range tokens {
		switch {
		case token == "":
			return Template{}, errors.New("a token is empty: every '.' needs something on both sides")
		case token == "{topic}":
			topics++
		case token == "{feed}":
		case strings.HasPrefix(token, "{") && strings.HasSuffix(token, "}"):
			return Template{}, fmt.Errorf("unknown variable %s: there are {feed} and {topic}", token)
		case strings.ContainsAny(token, "{}"):
			return Template{}, fmt.Errorf("%q: a variable fills a whole token", token)
		case i == 0 && strings.HasPrefix(token, "$"):
			return Template{}, errors.New("subjects that begin with '$' belong to the NATS server")
		case EncodeToken(token) != token:
			return Template{}, fmt.Errorf("%q: a token is letters, digits, '_' and '-'", token)
		}
	}
	switch first := tokens[0]; {
	case first[0] == '{':
		return Template{}, errors.New("the first token is a word, not a variable")
	case first[0] == '_':
		return Template{}, errors.New("subjects that begin with '_' belong to NATS clients")
	case first == NoticeRoot:
		return Template{}, fmt.Errorf("subjects that begin with %q are for notices", NoticeRoot)
	case topics != 1:
		return Template{}, errors.New("{topic} is needed exactly once")
	}
	before, after, _ := strings.Cut(s, "{topic}")
	return Template{before, after}, nil
}

// Root is the first token: the same for every subject of the template.
func (t Template) Root() string {
	root, _, _ := strings.Cut(t.before, ".")
	return root
}

// Subject is where topic is published. The error is ErrTooLong.
func (t Template) Subject(feed, topic string) (string, error) {
	before, after := t.around(feed)
	s := before + EncodeTopic(topic) + after
	if len(s) > MaxLength {
		return "", ErrTooLong
	}
	// A topic that could not be announced is not taken either.
	if _, err := Notice(longestKind, feed, topic); err != nil {
		return "", err
	}
	return s, nil
}

// Topic gives the topic whose Subject is subject; ok is false if no topic of the feed has that subject.
func (t Template) Topic(feed, subject string) (topic string, ok bool) {
	before, after := t.around(feed)
	encoded, ok := strings.CutPrefix(subject, before)
	if !ok {
		return "", false
	}
	encoded, ok = strings.CutSuffix(encoded, after)
	if !ok {
		return "", false
	}
	topic, err := DecodeTopic(encoded)
	if err != nil {
		return "", false
	}
	_, err = t.Subject(feed, topic)
	return topic, err == nil
}

// around is what stands before and behind the topics of a feed.
func (t Template) around(feed string) (before, after string) {
	name := EncodeToken(feed)
	return strings.ReplaceAll(t.before, "{feed}", name), strings.ReplaceAll(t.after, "{feed}", name)
}
