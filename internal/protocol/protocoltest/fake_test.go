package protocoltest

import (
	"context"
	"errors"
	"strings"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// fake is a protocol and its session. It asks for each topic in a line "+topic" and understands the messages
// "topic=payload", "ok topic", "no topic reason", "hello" and "bye". sin, if it is set, spoils what it says.
type fake struct {
	sin func(msg []byte, out *protocol.Out)
}

func (f fake) Limits() protocol.Limits                             { return protocol.Limits{SubscribeBatch: 2} }
func (f fake) Check(protocol.Topic) error                          { return nil }
func (f fake) Endpoint(context.Context) (protocol.Endpoint, error) { return protocol.Endpoint{}, nil }
func (f fake) Open(protocol.Endpoint) protocol.Session             { return f }
func (f fake) Ping(out *protocol.Out)                              { f.say("?", nil, out) }
func (f fake) Renew(protocol.Endpoint)                             {}
func (f fake) say(s string, asks []shard.Topic, out *protocol.Out) {
	out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Text, Payload: []byte(s), Asks: asks})
}

func (f fake) Change(add []protocol.Topic, drop []shard.Topic, out *protocol.Out) {
	for _, t := range drop {
		f.say("-"+string(t), nil, out)
	}
	for _, t := range add {
		f.say("+"+string(t.Name), []shard.Topic{t.Name}, out)
	}
}

func (f fake) Message(kind protocol.Kind, msg []byte, out *protocol.Out) error {
	if f.sin != nil {
		f.sin(msg, out)
		return nil
	}
	if kind == protocol.Binary {
		out.Frames = append(out.Frames, protocol.Frame{Kind: kind, Payload: append([]byte{0xff}, msg...)})
		return nil
	}
	words := strings.Split(string(msg), " ")
	topic, payload, isEvent := strings.Cut(string(msg), "=")
	switch {
	case isEvent:
		out.Events = append(out.Events, protocol.Event{Topic: []byte(topic), Payload: []byte(payload)})
	case words[0] == "ok":
		out.Settled = append(out.Settled, protocol.Settlement{Topics: []shard.Topic{shard.Topic(words[1])}})
	case words[0] == "no":
		out.Settled = append(out.Settled, protocol.Settlement{
			Topics: []shard.Topic{shard.Topic(words[1])}, Verdict: protocol.Refused, Reason: words[2],
		})
	case words[0] == "hello":
		out.Live, out.Pong, out.Move = true, true, true
	case words[0] == "bye":
		return errors.New("the other side ended it")
	default:
		out.Skip("odd")
	}
	return nil
}
