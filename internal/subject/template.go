package subject

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Template says on which subject the events of a feed are published. The zero Template is not valid.
type Template struct {
	tokens []token
}

// token is a literal, or a variable.
type token struct {
	literal string
	value   int // literal == "": ofFeed, ofTopic, or which of the protocol's own variables
}

const ofFeed, ofTopic = -1, -2

// wild stands in a pattern for a value that is not known.
const wild = "*"

// Parse reads a template such as "feed.{feed}.{topic}". Variables fill whole tokens: {feed}, {topic}, and those that the
// protocol has of its own, whose values are later given in the same order. {topic} may stand once, and must where there
// are no others. Every other token is letters, digits, '_' and '-'. The first is not a variable, does not begin with '_',
// and is not "feedmux".
func Parse(s string, variables ...string) (Template, error) {
	var t Template
	for i, text := range strings.Split(s, ".") {
		name, closed := strings.CutSuffix(strings.TrimPrefix(text, "{"), "}")
		own := slices.Index(variables, name)
		switch {
		case text == "":
			return Template{}, errors.New("a token is empty: every '.' needs something on both sides")
		case text == "{topic}":
			t.tokens = append(t.tokens, token{value: ofTopic})
		case text == "{feed}":
			t.tokens = append(t.tokens, token{value: ofFeed})
		case text[0] == '{' && closed && own >= 0:
			t.tokens = append(t.tokens, token{value: own})
		case text[0] == '{' && closed:
			return Template{}, fmt.Errorf("unknown variable %s: there are %s", text, list(variables))
		case strings.ContainsAny(text, "{}"):
			return Template{}, fmt.Errorf("%q: a variable fills a whole token", text)
		case i == 0 && text[0] == '$':
			return Template{}, errors.New("subjects that begin with '$' belong to the NATS server")
		case EncodeToken(text) != text:
			return Template{}, fmt.Errorf("%q: a token is letters, digits, '_' and '-'", text)
		default:
			t.tokens = append(t.tokens, token{literal: text})
		}
	}
	topics := t.count(ofTopic)
	switch first := t.Root(); {
	case first == "":
		return Template{}, errors.New("the first token is a word, not a variable")
	case first[0] == '_':
		return Template{}, errors.New("subjects that begin with '_' belong to NATS clients")
	case first == NoticeRoot:
		return Template{}, fmt.Errorf("subjects that begin with %q are for notices", NoticeRoot)
	case len(variables) == 0 && topics != 1:
		return Template{}, errors.New("{topic} is needed exactly once")
	case topics > 1:
		return Template{}, errors.New("{topic} may stand only once")
	}
	return t, nil
}

// list names all variables for people.
func list(own []string) string {
	text := "{feed}"
	for _, name := range own {
		text += ", {" + name + "}"
	}
	return text + " and {topic}"
}

func (t Template) count(value int) (n int) {
	for _, k := range t.tokens {
		if k == (token{value: value}) {
			n++
		}
	}
	return n
}

// Root is the first token: the same for every subject of the template.
func (t Template) Root() string { return t.tokens[0].literal }

// HasTopic says that {topic} is in the template: two topics of a feed never meet then.
func (t Template) HasTopic() bool { return t.count(ofTopic) > 0 }

// Has says that the protocol's own variable is in the template, by its place in the list that Parse was given.
func (t Template) Has(variable int) bool { return t.count(variable) > 0 }

// Subject is where topic is published: the events with these values, if some of the variables are theirs. A value that is
// missing is as an empty one. The error is ErrTooLong, or ErrValueTooLong.
func (t Template) Subject(feed, topic string, values ...[]byte) (string, error) {
	return t.announced(feed, topic, func(i int) (string, error) { return encodeValue(values, i) })
}

// Pattern is what all subjects of topic have in common: what a NATS client subscribes to. There is a * for each of the
// protocol's own variables, but for those of which all events of the topic have the same value: the others are nil in
// values, or beyond its end. The error is ErrTooLong, or ErrValueTooLong.
func (t Template) Pattern(feed, topic string, values ...[]byte) (string, error) {
	return t.announced(feed, topic, func(i int) (string, error) {
		if i >= len(values) || values[i] == nil {
			return wild, nil
		}
		return encodeValue(values, i)
	})
}

// announced fills the template in for a topic. A topic that could not be announced is not taken either.
func (t Template) announced(feed, topic string, value func(int) (string, error)) (string, error) {
	if _, err := Notice(longestKind, feed, topic); err != nil {
		return "", err
	}
	return t.fill(feed, EncodeTopic(topic), value)
}

// Aside is where something is published that no topic is about: {topic} is the aside and its values, a token each, and
// every variable of the protocol's own is "=", as if it were empty. The error is ErrTooLong, or ErrValueTooLong.
func (t Template) Aside(feed, aside string, values ...[]byte) (string, error) {
	words := EncodeToken(aside)
	for i := range values {
		word, err := encodeValue(values, i)
		if err != nil {
			return "", err
		}
		words += "." + word
	}
	return t.fill(feed, words, func(int) (string, error) { return EncodeToken(""), nil })
}

// AsidePattern is what the subjects of an aside with so many values have in common, with * for each value.
func (t Template) AsidePattern(feed, aside string, values int) (string, error) {
	words := EncodeToken(aside) + strings.Repeat("."+wild, values)
	return t.fill(feed, words, func(int) (string, error) { return EncodeToken(""), nil })
}

// fill puts together what stands for each token. topic is encoded.
func (t Template) fill(name, encoded string, value func(int) (string, error)) (string, error) {
	var b strings.Builder
	for i, k := range t.tokens {
		if i > 0 {
			b.WriteByte('.')
		}
		switch {
		case k.literal != "":
			b.WriteString(k.literal)
		case k.value == ofFeed:
			b.WriteString(EncodeToken(name))
		case k.value == ofTopic:
			b.WriteString(encoded)
		default:
			v, err := value(k.value)
			if err != nil {
				return "", err
			}
			b.WriteString(v)
		}
	}
	if b.Len() > MaxLength {
		return "", ErrTooLong
	}
	return b.String(), nil
}

// encodeValue writes one of values as a token.
func encodeValue(values [][]byte, i int) (string, error) {
	if i >= len(values) {
		return EncodeToken(""), nil
	}
	if len(values[i]) > maxValue {
		return "", ErrValueTooLong // the encoding is no shorter: there is no need to make it
	}
	v := EncodeToken(string(values[i]))
	if len(v) > maxValue {
		return "", ErrValueTooLong
	}
	return v, nil
}

// Meet says whether there can be a subject that fits both patterns, in which * stands for any one token.
func Meet(a, b string) bool {
	for {
		one, restA, moreA := strings.Cut(a, ".")
		other, restB, moreB := strings.Cut(b, ".")
		if one != other && one != wild && other != wild || moreA != moreB {
			return false
		}
		if !moreA {
			return true
		}
		a, b = restA, restB
	}
}
