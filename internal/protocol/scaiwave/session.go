package scaiwave

import (
	"strings"
	"unicode"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// Why a message, or a part of it, was skipped.
const (
	skipBinary      = "binary"       // ScaiWave is text
	skipMalformed   = "malformed"    // no JSON object, or one that lacks what its type must have
	skipBeforeHello = "before_hello" // who the events are for is not known yet
	skipFurther     = "further"      // members of an event with a position that a body does not have
)

// session is one life.
type session struct {
	tenant string                    // "": any
	redact func(words string) string // nil: as the words are

	live   bool
	record record
	memory memory // as large as the largest frame, which the socket bounds
}

// Message reads one frame. It ends the life only over a hello from another tenant.
func (s *session) Message(kind protocol.Kind, msg []byte, out *protocol.Out) error {
	if kind != protocol.Text {
		out.Skip(skipBinary)
		return nil
	}
	frame, ok := parse(msg)
	if !ok || frame[0] != '{' {
		out.Skip(skipMalformed)
		return nil
	}
	s.record.read(frame, &streamNames)
	switch typ, _ := text(s.record.members[theType]); string(typ) {
	case "hello":
		return s.onHello(out)
	case "ping": // the documents do not say whether the server's pings are WebSocket's or these
		out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Text, Payload: []byte(`{"type":"pong"}`)})
		return nil
	case "pong":
		return nil
	}
	s.onEvent(frame, out)
	return nil
}

func (s *session) onHello(out *protocol.Out) error {
	tenant, _ := text(s.record.tenant)
	if s.tenant != "" && string(tenant) != s.tenant {
		return &protocol.DeniedError{Reason: s.readable(`the token is for the tenant "` + string(tenant) +
			`", and options.tenant is "` + s.tenant + `"`)}
	}
	out.Live = !s.live
	s.live = true
	return nil
}

func (s *session) onEvent(frame []byte, out *protocol.Out) {
	s.memory.reset()
	e, ok := s.memory.event(&s.record)
	switch {
	case !ok:
		out.Skip(skipMalformed)
		return
	case !s.live:
		out.Skip(skipBeforeHello)
		return
	case e.Position == nil:
		e.Payload = frame
	case s.record.further:
		out.Skip(skipFurther)
	}
	out.Events = append(out.Events, e)
}

// Change has nothing to say: everything comes by itself.
func (s *session) Change([]protocol.Topic, []shard.Topic, *protocol.Out) {}

// Ping sends WebSocket's own: the documents know no other that a client may send.
func (s *session) Ping(out *protocol.Out) {
	out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Ping})
}

// Renew changes nothing: the token was in the handshake, and the next one has its own.
func (s *session) Renew(protocol.Endpoint) {}

// readable makes words of the upstream's safe to print: short, on one line, and without a secret, should one be quoted.
func (s *session) readable(words string) string {
	if s.redact != nil {
		words = s.redact(words)
	}
	words = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, words)
	const most = 200
	for i := range words {
		if i > most {
			return words[:i] + "…"
		}
	}
	return words
}
