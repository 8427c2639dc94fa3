package scaiwave

import (
	"encoding/json"
	"fmt"
	"time"

	"feedmux/internal/sim/websocket"
)

// Types of events.
const (
	TypeMessage   = "swp.room.message"
	TypeReaction  = "swp.room.reaction"
	TypeRedaction = "swp.room.redaction"
	TypeMember    = "swp.room.member"
	TypeName      = "swp.room.name"
	TypeTopic     = "swp.room.topic"

	// Without a position.
	TypeChunk    = "swp.room.message.chunk"
	TypeTyping   = "typing"
	TypePresence = "presence"
)

var otherTypes = [...]string{TypeReaction, TypeRedaction, TypeMember, TypeName, TypeTopic}

// EventLocked lets one event happen: for the server. It draws as often from the seed whatever it does.
func (w *ScaiWave) EventLocked(now time.Time) {
	o := &w.o
	room := fmt.Sprintf("room-%d", 1+w.events.IntN(max(1, o.Rooms)))
	kind, other, which := w.events.Float64(), w.events.Float64() < o.Others, w.events.IntN(len(otherTypes))
	typ := TypeMessage
	switch {
	case kind < o.Chunks:
		typ = TypeChunk
	case kind < o.Chunks+o.Typing:
		typ = TypeTyping
	case kind < o.Chunks+o.Typing+o.Presence:
		typ = TypePresence
	case other:
		typ = otherTypes[which]
	}
	w.publishLocked(now, room, typ, "")
}

// publishLocked lets an event happen and sends it to all who are registered.
func (w *ScaiWave) publishLocked(now time.Time, room, typ, body string) Event {
	sender := fmt.Sprintf("user-%d", 1+w.events.IntN(100))
	twice, unknown := w.events.Float64() < w.o.Duplicate, w.events.Float64() < w.o.Unknown
	e := Event{Room: room, Type: typ, Sender: sender, OriginTS: now.Unix(), At: now}
	w.scratch = append(w.scratch[:0], make([]byte, websocket.HeaderRoom)...)
	switch typ {
	case TypeChunk, TypeTyping, TypePresence:
		w.scratch = w.appendEphemeral(w.scratch, &e, body)
		twice = false
	default:
		if body == "" {
			body = fmt.Sprintf("number %d", w.log.count+1)
		}
		e.Content = content(typ, sender, body)
		e = w.log.add(e, &w.o)
		if e.Late {
			w.CountLocked(FaultLate)
		}
		w.scratch = appendStreamed(w.scratch, &e, w.o.Tenant)
	}
	w.deliverLocked(websocket.TextInPlace(w.scratch), e.Position)
	if twice {
		w.CountLocked(FaultDuplicate)
		w.deliverLocked(websocket.Text(w.scratch[websocket.HeaderRoom:]), e.Position)
	}
	if unknown {
		w.CountLocked(FaultUnknown)
		w.deliverLocked(websocket.Text(fmt.Appendf(nil, `{"type":"swp.future.news","room_id":%s,"tenant_id":%s}`,
			quote(room), quote(w.o.Tenant))), 0)
	}
	return e
}

// deliverLocked sends a frame to all who are registered. position is the event's; 0: it has none.
func (w *ScaiWave) deliverLocked(frame []byte, position int64) {
	for i := len(w.streams) - 1; i >= 0; i-- { // backward: one that is cut off for its backlog leaves the list
		if c := w.streams[i]; !c.rec.Hello.IsZero() {
			c.DeliverLocked(frame, func() { c.sentLocked(position) })
		}
	}
}

// content is what sync has under this name.
func content(typ, sender, body string) json.RawMessage {
	switch typ {
	case TypeMessage:
		return fmt.Appendf(nil, `{"msgtype":"swp.text","body":%s}`, quote(body))
	case TypeReaction:
		return fmt.Appendf(nil, `{"event_id":"evt-of-old","emoji":%s}`, quote(body))
	case TypeRedaction:
		return fmt.Appendf(nil, `{"event_id":"evt-of-old","redacted_by":%s,"reason":%s}`, quote(sender), quote(body))
	case TypeMember:
		return fmt.Appendf(nil, `{"participant_id":%s,"membership":"join","reason":%s}`, quote(sender), quote(body))
	}
	return fmt.Appendf(nil, `{"value":%s}`, quote(body))
}

// appendStreamed appends an event as the stream has it.
func appendStreamed(dst []byte, e *Event, tenant string) []byte {
	dst = appendHead(dst, e, tenant, e.ID)
	if e.Type != TypeRedaction { // its content says by whom
		dst = append(append(dst, `,"sender_id":`...), quote(e.Sender)...)
	}
	dst = append(dst, ',')
	if e.Type == TypeMessage {
		dst = append(append(dst, `"content":`...), e.Content...)
	} else {
		dst = append(dst, e.Content[1:len(e.Content)-1]...)
	}
	return fmt.Appendf(dst, `,"stream_position":%d,"origin_ts":%d}`, e.Position, e.OriginTS)
}

// appendSynced appends an event as sync has it.
func appendSynced(dst []byte, e *Event) []byte {
	return fmt.Appendf(dst,
		`{"id":%s,"stream_position":%d,"room_id":%s,"event_type":%s,"content":%s,"sender_id":%s,"origin_ts":%d}`,
		quote(e.ID), e.Position, quote(e.Room), quote(e.Type), e.Content, quote(e.Sender), e.OriginTS)
}

func (w *ScaiWave) appendEphemeral(dst []byte, e *Event, body string) []byte {
	switch e.Type {
	case TypePresence:
		return fmt.Appendf(dst, `{"type":"presence","participant_id":%s,"status":"online"}`, quote(e.Sender))
	case TypeTyping:
		return fmt.Appendf(dst, `{"type":"typing","room_id":%s,"participant_id":%s,"typing":true}`,
			quote(e.Room), quote(e.Sender))
	}
	dst = append(append(appendHead(dst, e, w.o.Tenant, ""), `,"sender_id":`...), quote(e.Sender)...)
	return fmt.Appendf(dst, `,"content":{"chunk_text":%s,"done":false}}`, quote(body))
}

// appendHead appends the fields that room-scoped frames share, without the brace that ends them.
func appendHead(dst []byte, e *Event, tenant, id string) []byte {
	dst = append(append(dst, `{"type":`...), quote(e.Type)...)
	if id != "" {
		dst = append(append(dst, `,"id":`...), quote(id)...)
	}
	dst = append(append(dst, `,"room_id":`...), quote(e.Room)...)
	dst = append(append(dst, `,"tenant_id":`...), quote(tenant)...)
	return fmt.Appendf(dst, `,"ts":"%s"`, time.Unix(e.OriginTS, 0).UTC().Format(time.RFC3339))
}

// quote is s as a JSON string.
func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("scaiwave: bug: quoting a string: %v", err))
	}
	return b
}
