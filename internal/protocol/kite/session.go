package kite

import (
	"encoding/binary"
	"encoding/json"
	"slices"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// session is one life.
type session struct {
	dropInvalid bool
	frame       bool
	orders      *orders
	token       string                    // the access token
	redact      func(words string) string // nil: as the words are

	live    bool
	byName  map[shard.Topic]*held
	byToken map[uint32]*held // the same
	memory  []byte           // the payloads of one message: at most about ten times its length
}

// held is an instrument that was asked for.
type held struct {
	name  shard.Topic
	bytes []byte // the name, as events need it
	token uint32
	mode  Mode
	at    uint32 // the exchange's time in the newest tick; 0: none came
}

// Change ends what is to end first: it makes room, and what ends may go on under another name.
//
// A topic of which only the mode changed goes on, and nothing is asked for anew. One that became another instrument is asked
// for anew. Two topics for one instrument cannot be told apart in ticks, and Resolve gives an instrument to one only. So a
// topic that still has it has become another instrument, too: that is about to be said, and it ends here already.
func (s *session) Change(add []protocol.Topic, drop []shard.Topic, out *protocol.Out) {
	var ended []uint32
	for _, name := range drop {
		ended = s.release(name, ended)
	}
	for _, t := range add {
		i, _ := instrumentOf(t)
		if h := s.byName[t.Name]; h != nil && h.token != i.Token {
			ended = s.release(t.Name, ended)
		}
		if h := s.byToken[i.Token]; h != nil && h.name != t.Name {
			ended = s.release(h.name, ended)
		}
	}
	for tokens := range slices.Chunk(ended, SubscribeBatch) {
		say(out, request{"unsubscribe", tokens})
	}

	var asked, changed [len(modeNames)]group
	for _, t := range add {
		i, err := instrumentOf(t)
		if err != nil {
			refuse(out, t.Name, err.Error())
			continue
		}
		if other := s.byToken[i.Token]; other != nil && other.name != t.Name { // both in add: nobody should say so
			refuse(out, t.Name, sameAs(other.name, i.Token))
			continue
		}
		to := &asked[i.Mode]
		if h := s.byName[t.Name]; h == nil {
			s.hold(t.Name, i)
		} else if h.mode != i.Mode {
			h.mode = i.Mode
			to = &changed[i.Mode]
		}
		to.topics, to.tokens = append(to.topics, t.Name), append(to.tokens, i.Token)
	}
	for m := range modeNames {
		if g := &changed[m]; len(g.tokens) > 0 {
			say(out, inMode(Mode(m), g.tokens))
		}
	}
	for m := range modeNames {
		g := &asked[m]
		if len(g.tokens) == 0 {
			continue
		}
		say(out, request{"subscribe", g.tokens})
		if Mode(m) != Quote {
			say(out, inMode(Mode(m), g.tokens))
		}
		out.Frames[len(out.Frames)-1].Asks = g.topics // the last one: once it is written, all is
	}
}

// group is what has one mode, in one order.
type group struct {
	topics []shard.Topic
	tokens []uint32
}

// request is what the upstream can be told.
type request struct {
	Action string `json:"a"`
	Values any    `json:"v"`
}

func inMode(m Mode, tokens []uint32) request { return request{"mode", [...]any{m.String(), tokens}} }

func say(out *protocol.Out, r request) {
	payload, err := json.Marshal(r)
	if err != nil {
		panic("kite: bug: " + err.Error()) // words and numbers always have a JSON form
	}
	out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Text, Payload: payload})
}

func refuse(out *protocol.Out, name shard.Topic, reason string) {
	out.Settled = append(out.Settled, protocol.Settlement{
		Topics: []shard.Topic{name}, Verdict: protocol.Refused, Reason: reason,
	})
}

func (s *session) hold(name shard.Topic, i Instrument) {
	h := &held{name: name, bytes: []byte(name), token: i.Token, mode: i.Mode}
	s.byName[name], s.byToken[i.Token] = h, h
}

// release forgets a topic, and adds its token to those that ended.
func (s *session) release(name shard.Topic, ended []uint32) []uint32 {
	h := s.byName[name]
	if h == nil {
		return ended
	}
	delete(s.byName, name)
	delete(s.byToken, h.token)
	return append(ended, h.token)
}

// Ping asks with a ping of WebSocket's own: the upstream has none.
func (s *session) Ping(out *protocol.Out) {
	out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Ping})
}

// Renew changes nothing: the credential counts at the handshake only, and a connection outlives it.
func (s *session) Renew(protocol.Endpoint) {}

// Message reads one frame. It never ends the life: nothing that the upstream sends is worth the other topics.
func (s *session) Message(kind protocol.Kind, msg []byte, out *protocol.Out) error {
	if kind == protocol.Binary {
		s.onBinary(msg, out)
	} else {
		s.onText(msg, out)
	}
	return nil
}

// onBinary reads a heartbeat, or a count of packets, each after its length.
func (s *session) onBinary(msg []byte, out *protocol.Out) {
	s.memory = s.memory[:0]
	switch len(msg) {
	case 0:
		out.Skip(skipTruncated)
		return
	case 1:
		s.alive(out)
		return
	}
	count, rest := binary.BigEndian.Uint16(msg), msg[2:]
	for range count {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			out.Skip(skipTruncated)
			return
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		s.onPacket(rest[2:end], out)
		s.alive(out) // whatever becomes of the rest of the frame
		rest = rest[end:]
	}
	if len(rest) > 0 {
		out.Skip(skipTrailing)
		return
	}
	s.alive(out)
}

func (s *session) onPacket(p []byte, out *protocol.Out) {
	t, ok := parse(p)
	if !ok {
		out.Skip(skipUnknownLength)
		return
	}
	h := s.byToken[t.token]
	if h == nil {
		out.Skip(skipUnknownInstrument) // dropped since, for example
		return
	}
	odd := false
	t.oddities(h.at, func(kind string) {
		odd = true
		out.Oddities = append(out.Oddities, protocol.Oddity{Kind: kind, Topic: h.bytes})
	})
	if t.at != 0 {
		h.at = t.at // not the latest of all: after one from the future, no other would be right again
	}
	if odd && s.dropInvalid {
		return
	}
	payload := p
	if !s.frame {
		start := len(s.memory)
		s.memory = t.appendJSON(s.memory)
		payload = s.memory[start:len(s.memory):len(s.memory)]
	}
	out.Events = append(out.Events, protocol.Event{Topic: h.bytes, Payload: payload})
}

// alive is told of each frame that shows a working connection: a heartbeat, a packet, or a text that says what it is, and
// be it of a type that is not known.
func (s *session) alive(out *protocol.Out) {
	out.Live = out.Live || !s.live
	s.live = true
}
