package protocoltest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// Check plays messages to a session that asked for topics, and fails where a session breaks what protocol.Session
// promises, whatever the messages are. It is meant for fuzz targets:
//
//   - Live is said once in a life at most;
//   - a message is left as it was;
//   - frames, settlements and words are the receiver's: later calls do not change them;
//   - nothing of a message is read after the call that carried it;
//   - events name a topic, settlements a topic and a known verdict, frames have a payload and a known kind;
//   - Asks name only topics that were asked for.
//
// Topics are asked for once; last come a ping and the drop of the first topic. To see what a session does with a
// message that comes again, give it twice.
func Check(t testing.TB, p protocol.Protocol, topics []protocol.Topic, messages ...Message) {
	t.Helper()
	e, err := p.Endpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// Two sessions hear the same. One is given buffers that are never touched again, the other one buffer, which is
	// overwritten after each call. A session that reads on in it will differ from its twin.
	c := checker{t: t, topics: topics, session: p.Open(e)}
	twin := p.Open(e)
	var twinOut protocol.Out
	compare := func(err, twinErr error) {
		t.Helper()
		got, want := render(&c.out, err), render(&twinOut, twinErr)
		if !slices.Equal(got, want) {
			t.Fatalf("two sessions that hear the same differ:\n%q\n%q", got, want)
		}
	}

	for batch := range slices.Chunk(topics, p.Limits().SubscribeBatch) {
		c.out.Reset()
		c.session.Change(batch, nil, &c.out)
		c.inspect()
		twinOut.Reset()
		twin.Change(batch, nil, &twinOut)
		compare(nil, nil)
	}
	var buffer []byte
	for _, m := range messages {
		buffer = append(buffer[:0], m.Data...)
		c.out.Reset()
		err := c.session.Message(m.Kind, buffer, &c.out)
		if !bytes.Equal(buffer, m.Data) {
			t.Fatalf("the session changed the message %q to %q", m.Data, buffer)
		}
		c.inspect()
		twinOut.Reset()
		compare(err, twin.Message(m.Kind, bytes.Clone(m.Data), &twinOut))
		for i := range buffer {
			buffer[i] = '#'
		}
		if err != nil {
			break
		}
	}
	c.out.Reset()
	c.session.Ping(&c.out)
	c.inspect()
	c.out.Reset()
	var first []shard.Topic
	if len(topics) > 0 {
		first = append(first, topics[0].Name)
	}
	c.session.Change(nil, first, &c.out)
	c.inspect()
	for i, k := range c.kept {
		if got := k.String(); got != k.was {
			t.Fatalf("what the session said in call %d changed later:\n%s\n%s", i+1, k.was, got)
		}
	}
}

// checker looks at what one session says.
type checker struct {
	t       testing.TB
	topics  []protocol.Topic
	session protocol.Session
	out     protocol.Out
	live    bool
	kept    []kept // one for each call
}

// kept is what the receiver may keep of an Out, and how it read at the time.
type kept struct {
	frames  []protocol.Frame
	settled []protocol.Settlement
	words   []protocol.Words
	was     string
}

func (k kept) String() string { return fmt.Sprintf("%q %q %q", k.frames, k.settled, k.words) }

func (c *checker) inspect() {
	c.t.Helper()
	if c.out.Live && c.live {
		c.t.Fatal("the session said twice that it is live")
	}
	c.live = c.live || c.out.Live
	for _, e := range c.out.Events {
		if len(e.Topic) == 0 {
			c.t.Fatalf("an event without a topic: %q", e.Payload)
		}
		if !e.Sent.IsZero() && e.Position == nil {
			c.t.Fatalf("an event with a time and without a position: %q", e.Payload)
		}
	}
	for _, f := range c.out.Frames {
		if len(f.Payload) == 0 && f.Kind != protocol.Ping || f.Kind != protocol.Text && f.Kind != protocol.Binary && f.Kind != protocol.Ping {
			c.t.Fatalf("a frame of kind %d with %d bytes", f.Kind, len(f.Payload))
		}
		for _, topic := range f.Asks {
			if !slices.ContainsFunc(c.topics, func(t protocol.Topic) bool { return t.Name == topic }) {
				c.t.Fatalf("an ask for %q, which nobody wants", topic)
			}
		}
	}
	for _, s := range c.out.Settled {
		if len(s.Topics) == 0 || int(s.Verdict) >= len(verdicts) {
			c.t.Fatalf("verdict %d on %d topics", s.Verdict, len(s.Topics))
		}
	}
	k := kept{frames: slices.Clone(c.out.Frames), settled: slices.Clone(c.out.Settled), words: slices.Clone(c.out.Words)}
	k.was = k.String()
	c.kept = append(c.kept, k)
}
