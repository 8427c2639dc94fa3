package pubsub

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads a MESSAGE of the usual shape in one pass. It says yes only to what encoding/json would accept, and then
// has the same topic and body; it says no to everything that it is not certain of, and decode has the last word. A
// fuzz test holds the two together.
type scanner struct {
	msg []byte
	pos int

	kind, topic []byte // alias msg; nil: not seen
	body        []byte // aliases memory; nil: not seen

	memory []byte // holds the body with its escapes undone; as large as the largest frame, which the socket bounds
}

// message reports whether msg, which is valid UTF-8, is a MESSAGE that the scanner understands.
func (s *scanner) message(msg []byte) bool {
	*s = scanner{msg: msg, memory: s.memory}
	if s.verbatim() {
		return true
	}
	*s = scanner{msg: msg, memory: s.memory}
	return s.object((*scanner).frameMember) && s.peek() == 0 && s.pos == len(msg) &&
		s.kind != nil && len(s.topic) > 0 && s.body != nil
}

// What stands around topic and body in every MESSAGE that Twitch was seen to send.
const (
	beforeTopic = `{"type":"MESSAGE","data":{"topic":`
	beforeBody  = `,"message":`
	afterBody   = `}}`
)

// verbatim reads a MESSAGE that is written to the letter as Twitch writes it: half the time of reading it as JSON. It
// needs nothing that object would not find as well.
func (s *scanner) verbatim() bool {
	return s.literal(beforeTopic) && s.plain(&s.topic) && len(s.topic) > 0 &&
		s.literal(beforeBody) && s.text() &&
		s.literal(afterBody) && s.pos == len(s.msg)
}

func (s *scanner) literal(want string) bool {
	end := s.pos + len(want)
	if end > len(s.msg) || string(s.msg[s.pos:end]) != want {
		return false
	}
	s.pos = end
	return true
}

// Of equal keys the last one counts, here and below.
func (s *scanner) frameMember(key []byte) bool {
	switch string(key) {
	case "type":
		return s.plain(&s.kind) && string(s.kind) == "MESSAGE"
	case "data":
		s.topic, s.body = nil, nil
		return s.object((*scanner).dataMember)
	}
	return s.skip()
}

func (s *scanner) dataMember(key []byte) bool {
	switch string(key) {
	case "topic":
		return s.plain(&s.topic)
	case "message":
		return s.text()
	}
	return s.skip()
}

// object reads an object, and has member read each value.
func (s *scanner) object(member func(s *scanner, key []byte) bool) bool {
	if s.next() != '{' {
		return false
	}
	if s.peek() == '}' {
		s.pos++
		return true
	}
	for {
		var key []byte
		if !s.plain(&key) || s.next() != ':' || !member(s, key) {
			return false
		}
		switch s.next() {
		case ',':
		case '}':
			return true
		default:
			return false
		}
	}
}

// plain reads a string without escapes.
func (s *scanner) plain(to *[]byte) bool {
	if s.next() != '"' {
		return false
	}
	for i, c := range s.msg[s.pos:] {
		if c == '"' {
			*to = s.msg[s.pos : s.pos+i : s.pos+i]
			s.pos += i + 1
			return true
		}
		if c < ' ' || c == '\\' {
			return false
		}
	}
	return false
}

// text reads the body: a string, with its escapes undone. It goes from escape to escape. Most of a frame's time is spent
// in the loop over what lies between, so that loop needs no bounds check, and it takes two bytes a turn: one byte a turn
// costs up to half as much again, depending on where the linker happens to put it.
func (s *scanner) text() bool {
	if s.next() != '"' {
		return false
	}
	in := s.msg[s.pos:]
	s.memory = slices.Grow(s.memory[:0], len(in))[:len(in)] // no escape is shorter than what it stands for
	for out := s.memory; ; {
		out = out[:len(in)]
		n := 0
		for n < len(in)-1 {
			c, d := in[n], in[n+1]
			if special[c] {
				break
			}
			out[n] = c
			n++
			if special[d] {
				break
			}
			out[n] = d
			n++
		}
		if n+1 >= len(in) { // a MESSAGE does not end here, nor with its body
			return false
		}
		switch in[n] {
		case '"':
			done := cap(s.memory) - cap(out) + n
			s.body = s.memory[:done:done]
			s.pos = len(s.msg) - len(in) + n + 1
			return true
		case '\\':
		default:
			return false
		}
		c := in[n+1]
		in = in[n+2:]
		if c == 'u' {
			r, size := codePoint(in)
			if size == 0 {
				return false
			}
			in = in[size:]
			out = out[n+utf8.EncodeRune(out[n:], r):]
			continue
		}
		if c = escapes[c]; c == 0 {
			return false
		}
		out[n] = c
		out = out[n+1:]
	}
}

// special are the bytes that cannot stand in a string as they are.
var special = func() (s [256]bool) {
	for c := range byte(' ') {
		s[c] = true
	}
	s['"'], s['\\'] = true, true
	return s
}()

// escapes is what a byte after a backslash stands for; 0: nothing.
var escapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// codePoint reads what follows \u, with the second half of a surrogate pair; utf8 encodes a half that is alone as
// U+FFFD. size is 0 where there are not four hexadecimal digits.
func codePoint(in []byte) (r rune, size int) {
	r, ok := hex4(in)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) && len(in) >= 10 && in[4] == '\\' && in[5] == 'u' {
		second, _ := hex4(in[6:])
		if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
			return pair, 10
		}
	}
	return r, 4
}

func hex4(in []byte) (r rune, ok bool) {
	if len(in) < 4 {
		return 0, false
	}
	for _, c := range in[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// maxDepth is as deep as skip goes. encoding/json stops at 10,000, counted from the outermost.
const maxDepth = 1000

// skip passes over a value that nobody asked for, which encoding/json judges.
func (s *scanner) skip() bool {
	start := s.pos
	deepest, ok := s.pass()
	return ok && deepest <= maxDepth && json.Valid(s.msg[start:s.pos])
}

// value is the next member of an object or array, without white space around it. It is for JSON that is known to be
// valid.
func (s *scanner) value() []byte {
	start := s.pos
	s.pass()
	return bytes.Trim(s.msg[start:s.pos], " \t\r\n")
}

// pass goes to what follows a member of an object or array: a comma, or the end. It looks for that alone, not at what
// the value is.
func (s *scanner) pass() (deepest int, ok bool) {
	for depth := 0; s.pos < len(s.msg); s.pos++ {
		switch s.msg[s.pos] {
		case '"':
			s.pos++
			for s.pos < len(s.msg) && s.msg[s.pos] != '"' {
				if s.msg[s.pos] == '\\' {
					s.pos++
				}
				s.pos++
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']', ',':
			if depth == 0 {
				return deepest, true
			}
			if s.msg[s.pos] != ',' {
				depth--
			}
		}
	}
	return deepest, false
}

// next passes over white space and one byte, which it returns: 0 at the end.
func (s *scanner) next() byte {
	c := s.peek()
	if s.pos < len(s.msg) {
		s.pos++
	}
	return c
}

// peek passes over white space and returns the byte that follows: 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.msg); s.pos++ {
		switch c := s.msg[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}
