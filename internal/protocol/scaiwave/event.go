package scaiwave

import (
	"bytes"
	"strconv"
	"time"

	"feedmux/internal/protocol"
)

// What both channels say of an event that has a position, in the order in which its body has it.
const (
	theType = iota
	theID
	theRoom
	theSender
	theContent
	thePosition
	theTime
	members
)

// What the channels call it. The body has the stream's names.
var (
	streamNames = [members]string{
		"type", "id", "room_id", "sender_id", "content", "stream_position", "origin_ts",
	}
	syncNames = [members]string{
		"event_type", "id", "room_id", "sender_id", "content", "stream_position", "origin_ts",
	}
)

// record is an event as one of the channels spells it.
type record struct {
	members [members][]byte // JSON; nil: not there, or null
	tenant  []byte          // the same; the stream's alone
	loose   bool            // there is no content, but something else: the stream spells the content of some types out
	further bool            // there is something beside the content
	object  []byte          // what it was read from
	names   *[members]string
}

// read takes an object apart. Of equal keys the last one counts.
func (r *record) read(object []byte, names *[members]string) {
	*r = record{object: object, names: names}
	others := false
	for w := (walk{in: object}); w.next(); {
		value := w.value
		if string(value) == "null" {
			value = nil
		}
		switch i := index(names, w.key); {
		case i >= 0:
			r.members[i] = value
		case is(w.key, "tenant_id"):
			r.tenant = value
		default:
			others = others || isOther(names, w.key)
		}
	}
	r.loose = others && r.members[theContent] == nil
	r.further = others && !r.loose
}

// isOther says whether a member is none of those that every event has.
func isOther(names *[members]string, key []byte) bool {
	return index(names, key) < 0 && !is(key, "tenant_id") && !is(key, "ts")
}

func index(names *[members]string, key []byte) int {
	for i := range names {
		if is(key, names[i]) {
			return i
		}
	}
	return -1
}

// memory holds what events are made of beside the message that they came in.
type memory struct {
	bytes []byte
	lists [][]byte
}

// reset lets the memory be used again; what was made in it is void.
func (m *memory) reset() { m.bytes, m.lists = m.bytes[:0], m.lists[:0] }

// event is what r stands for; it aliases what r was read from. It has a Payload if it has a Position. Not ok: something is
// not what it must be.
func (m *memory) event(r *record) (e protocol.Event, ok bool) {
	typ, ok := text(r.members[theType])
	if !ok || len(typ) == 0 {
		return e, false
	}
	room, ok := optional(r.members[theRoom])
	if !ok {
		return e, false
	}
	if e.ID, ok = optional(r.members[theID]); !ok {
		return e, false
	}
	if at := r.members[thePosition]; at != nil {
		if !isPosition(at) {
			return e, false
		}
		e.Position = at
		e.Sent = seconds(r.members[theTime])
		e.Payload = m.body(r)
	}
	m.name(&e, room, typ)
	return e, true
}

// name says which topics an event is for. A room with a "/" in its id is left to "*", or it might pass for another room and
// a type; so is, beside its room, a type with one.
func (m *memory) name(e *protocol.Event, room, typ []byte) {
	everything := m.join(nil, all)
	e.Values = m.list(room, typ)
	switch {
	case len(room) == 0 || bytes.IndexByte(room, '/') >= 0:
		e.Topic = everything
	case bytes.IndexByte(typ, '/') >= 0:
		e.Topic, e.Wider = room, m.list(everything)
	default:
		e.Topic, e.Wider = m.join(room, "/", typ...), m.list(room, everything)
	}
}

// body is an event with a position as it goes on, whichever way it came: the members that both channels have, as the
// upstream wrote them but for white space. One that is null is left out.
func (m *memory) body(r *record) []byte {
	start := len(m.bytes)
	for i, value := range r.members {
		loose := i == theContent && r.loose
		if value == nil && !loose {
			continue
		}
		m.bytes = append(m.bytes, ',', '"')
		m.bytes = append(m.bytes, streamNames[i]...)
		m.bytes = append(m.bytes, '"', ':')
		if loose {
			m.content(r)
		} else {
			m.bytes = compact(m.bytes, value)
		}
	}
	m.bytes = append(m.bytes, '}')
	m.bytes[start] = '{' // the type is always there
	return m.bytes[start:len(m.bytes):len(m.bytes)]
}

// content makes one of what the stream spells out, as it stands in the other channel.
func (m *memory) content(r *record) {
	start := len(m.bytes)
	for w := (walk{in: r.object}); w.next(); {
		if isOther(r.names, w.key) {
			m.bytes = append(append(append(m.bytes, ','), w.key...), ':')
			m.bytes = compact(m.bytes, w.value)
		}
	}
	m.bytes = append(m.bytes, '}')
	m.bytes[start] = '{' // there is at least one
}

func (m *memory) join(head []byte, middle string, tail ...byte) []byte {
	start := len(m.bytes)
	m.bytes = append(m.bytes, head...)
	m.bytes = append(m.bytes, middle...)
	m.bytes = append(m.bytes, tail...)
	return m.bytes[start:len(m.bytes):len(m.bytes)]
}

func (m *memory) list(of ...[]byte) [][]byte {
	start := len(m.lists)
	m.lists = append(m.lists, of...)
	return m.lists[start:len(m.lists):len(m.lists)]
}

// optional is the text of a member that need not be there; nil: it is not, or it is empty.
func optional(value []byte) (s []byte, ok bool) {
	if value == nil {
		return nil, true
	}
	if s, ok = text(value); len(s) == 0 {
		s = nil
	}
	return s, ok
}

// isPosition says whether s is how a position is written: an integer from 0 on that fits 63 bits, in one spelling only.
func isPosition(s []byte) bool {
	const largest = "9223372036854775807"
	if len(s) == 0 || len(s) > len(largest) || s[0] == '0' && len(s) > 1 {
		return false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) < len(largest) || string(s) <= largest
}

// seconds reads a time: seconds since 1970, in whole ones as documented, or with a fraction, which is left out. What cannot be
// one is no time. That includes milliseconds, which would lie beyond the year 9999.
func seconds(value []byte) time.Time {
	const endOf9999 = 253402300800
	if len(value) > 32 {
		return time.Time{}
	}
	whole, _, _ := bytes.Cut(value, []byte("."))
	n, err := strconv.ParseInt(string(whole), 10, 64)
	if err != nil || n <= 0 || n >= endOf9999 || bytes.ContainsAny(value, "eE") {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
