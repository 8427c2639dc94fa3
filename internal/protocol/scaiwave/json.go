package scaiwave

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// What is here is for JSON that is known to be valid: parse says whether it is.

// parse is the value in msg, without the white space around it.
func parse(msg []byte) (value []byte, ok bool) {
	if !json.Valid(msg) { // what is nested too deeply included
		return nil, false
	}
	return bytes.Trim(msg, " \t\r\n"), true
}

// walk goes through the members of an object, or the elements of an array. Of anything else, and of nil, there are none.
//
//	for w := (walk{in: object}); w.next(); {
type walk struct {
	in  []byte
	pos int // of what stands before the next one: the opening bracket, or a comma

	key, value []byte // alias in. The key is a JSON string still; nil in an array
}

func (w *walk) next() bool {
	if w.pos >= len(w.in) {
		return false
	}
	switch c := w.in[w.pos]; {
	case w.pos == 0 && (c == '{' || c == '['):
	case w.pos > 0 && c == ',':
	default:
		return false
	}
	at := space(w.in, w.pos+1)
	if c := w.in[at]; c == '}' || c == ']' { // there are none
		w.pos = at
		return false
	}
	if w.in[0] == '{' {
		colon := end(w.in, at)
		w.key = w.in[at:colon]
		at = space(w.in, space(w.in, colon)+1)
	}
	after := end(w.in, at)
	w.value = w.in[at:after:after]
	w.pos = space(w.in, after)
	return true
}

// member is the value of an object's key; nil: it has none. Of equal keys the last one counts.
func member(object []byte, key string) (value []byte) {
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	for w := (walk{in: object}); w.next(); {
		if is(w.key, key) {
			value = w.value
		}
	}
	return value
}

// is says whether a key is name, which has letters and "_" only: \u alone can stand for one of those. However a key is
// spelt, nothing is allocated for it.
func is(key []byte, name string) bool {
	key = key[1 : len(key)-1]
	for i := range len(name) {
		if len(key) == 0 {
			return false
		}
		c, size := uint64(key[0]), 1
		if c == '\\' && key[1] == 'u' {
			c, _ = strconv.ParseUint(string(key[2:6]), 16, 16)
			size = 6
		}
		if c != uint64(name[i]) {
			return false
		}
		key = key[size:]
	}
	return len(key) == 0
}

// text is what a JSON string stands for. It aliases value where it can. Not ok: it is no string.
func text(value []byte) (s []byte, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return nil, false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1 : len(value)-1], true
	}
	var plain string
	if json.Unmarshal(value, &plain) != nil {
		return nil, false
	}
	return []byte(plain), true
}

// compact appends value without the white space that means nothing.
func compact(to, value []byte) []byte {
	to = slices.Grow(to, len(value))
	for at := 0; at < len(value); {
		switch c := value[at]; c {
		case ' ', '\t', '\r', '\n':
			at++
		case '"':
			after := end(value, at)
			to = append(to, value[at:after]...)
			at = after
		default:
			to = append(to, c)
			at++
		}
	}
	return to
}

// end is where the value that begins at a position ends.
func end(in []byte, at int) int {
	switch in[at] {
	case '"':
		for at++; in[at] != '"'; at++ {
			if in[at] == '\\' {
				at++
			}
		}
		return at + 1
	case '{', '[':
		for depth := 0; ; at++ {
			switch in[at] {
			case '"':
				at = end(in, at) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return at + 1
				}
			}
		}
	}
	for ; at < len(in); at++ {
		switch in[at] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return at
		}
	}
	return at
}

// space is where the white space that begins at a position, if there is any, ends.
func space(in []byte, at int) int {
	for at < len(in) && (in[at] == ' ' || in[at] == '\t' || in[at] == '\r' || in[at] == '\n') {
		at++
	}
	return at
}
