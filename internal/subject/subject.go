// Package subject turns topics into NATS subjects and back. Every subject is legal, two topics never share one where the
// template has {topic}, and nothing that an upstream sends can choose one outside its feed's template.
package subject

import (
	"errors"
	"fmt"
	"strings"
)

// MaxLength is the longest subject that is ever published, in bytes. A NATS server closes the connection over a longer
// control line than it allows (4,096 bytes as it comes), and the NATS client then never dials again.
const MaxLength = 1024

// ErrTooLong means that a topic can have no subject, because it or its notices' would pass MaxLength.
var ErrTooLong = fmt.Errorf("the subject is longer than %d bytes", MaxLength)

// maxValue is the longest token that is made of a value from the upstream, in bytes.
const maxValue = 200

// ErrValueTooLong means that an event can have no subject, because of what the upstream put into it.
var ErrValueTooLong = fmt.Errorf("a value from the upstream is longer than %d bytes as a token of the subject", maxValue)

var errNotASubject = errors.New("not something that EncodeToken or EncodeTopic writes")

const upperHex = "0123456789ABCDEF"

// EncodeToken writes s as one token of a subject: letters, digits, '_' and '-' stay, every other byte is '=' and two
// upper-case hex digits, and the empty string is "=". DecodeToken is its inverse.
func EncodeToken(s string) string {
	return encode(s, func(int) bool { return false })
}

// EncodeTopic is EncodeToken, but a '.' with something other than a '.' on both sides stays and separates tokens.
// DecodeTopic is its inverse.
func EncodeTopic(topic string) string {
	return encode(topic, func(i int) bool {
		return i > 0 && i < len(topic)-1 && topic[i-1] != '.' && topic[i+1] != '.'
	})
}

// encode writes s; separates says of the '.' at i whether it stays as it is.
func encode(s string, separates func(i int) bool) string {
	if s == "" {
		return "="
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := range len(s) {
		c := s[i]
		if isPlain(c) || c == '.' && separates(i) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// DecodeToken gives the string whose EncodeToken is token. It fails for every token that EncodeToken never writes, so
// that a string has one spelling only.
func DecodeToken(token string) (string, error) {
	return decode(token, EncodeToken)
}

// DecodeTopic gives the topic whose EncodeTopic is encoded. It fails for everything that EncodeTopic never writes.
func DecodeTopic(encoded string) (string, error) {
	return decode(encoded, EncodeTopic)
}

func decode(encoded string, again func(string) string) (string, error) {
	if encoded == "=" {
		return "", nil
	}
	var b strings.Builder
	b.Grow(len(encoded))
	for i := 0; i < len(encoded); i++ {
		c := encoded[i]
		if c != '=' {
			b.WriteByte(c)
			continue
		}
		if i+2 >= len(encoded) {
			return "", errNotASubject
		}
		high, low := strings.IndexByte(upperHex, encoded[i+1]), strings.IndexByte(upperHex, encoded[i+2])
		if high < 0 || low < 0 {
			return "", errNotASubject
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	// The other spellings of the same string ("=61" for "a", a raw '*', "a=2Eb" for a topic) are caught here, at once.
	if s := b.String(); again(s) == encoded {
		return s, nil
	}
	return "", errNotASubject
}

// NoticeRoot is the first token of every notice. No template may begin with it.
const NoticeRoot = "feedmux"

// longestKind stands for the longest kind of notice about a topic.
const longestKind = "topic"

// Notice is where notices of a kind about one topic of a feed go: gap, topic.
func Notice(kind, feed, topic string) (string, error) {
	s := NoticeRoot + "." + kind + "." + EncodeToken(feed) + "." + EncodeTopic(topic)
	if len(s) > MaxLength {
		return "", ErrTooLong
	}
	return s, nil
}

// FeedNotice is where notices about a feed as a whole go.
func FeedNotice(feed string) string {
	return NoticeRoot + ".feed." + EncodeToken(feed)
}
