package protocoltest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

func TestCheckPassesAGoodSession(t *testing.T) {
	if said := fate(fake{}, "hello", "ok a", "a=1", "a=1", "nonsense", "bye", "never read"); said != "" {
		t.Error(said)
	}
}

func TestCheckFindsBrokenPromises(t *testing.T) {
	for _, c := range []struct {
		promise string
		sin     func(msg []byte, out *protocol.Out)
	}{
		{"said twice", func(_ []byte, out *protocol.Out) { out.Live = true }},
		{"changed the message", func(msg []byte, _ *protocol.Out) { msg[0]++ }},
		{"without a topic", func(_ []byte, out *protocol.Out) { out.Events = make([]protocol.Event, 1) }},
		{"a frame of kind", func(_ []byte, out *protocol.Out) { out.Frames = []protocol.Frame{{Kind: protocol.Text}} }},
		{"a frame of kind", func(_ []byte, out *protocol.Out) { out.Frames = []protocol.Frame{{Payload: []byte("x")}} }},
		{"nobody wants", func(_ []byte, out *protocol.Out) {
			fake{}.say("+b", []shard.Topic{"b"}, out)
		}},
		{"verdict", func(_ []byte, out *protocol.Out) { out.Settled = make([]protocol.Settlement, 1) }},
		{"verdict", func(_ []byte, out *protocol.Out) {
			out.Settled = []protocol.Settlement{{Topics: []shard.Topic{"a"}, Verdict: 5}}
		}},
		{"changed later", func(msg []byte, out *protocol.Out) {
			out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Text, Payload: msg})
		}},
	} {
		if said := fate(fake{sin: c.sin}, "x", "y", "z"); !strings.Contains(said, c.promise) {
			t.Errorf("%s: %q", c.promise, said)
		}
	}
}

func TestCheckFindsASessionThatReadsOldMessages(t *testing.T) {
	if said := fate(keeper{}, "x", "y"); !strings.Contains(said, "hear the same differ") {
		t.Errorf("%q", said)
	}
}

// keeper's sessions say with each message what the one before was, and read it only then.
type keeper struct{ fake }

func (keeper) Open(protocol.Endpoint) protocol.Session {
	var before []byte
	return fake{sin: func(msg []byte, out *protocol.Out) {
		out.Skip("after " + string(before))
		before = msg
	}}
}

// fate is what Check has to say of p.
func fate(p protocol.Protocol, messages ...string) string {
	var list []Message
	for _, m := range messages {
		list = append(list, Message{protocol.Text, []byte(m)})
	}
	v := &verdictOf{}
	done := make(chan struct{})
	go func() { // Fatal ends its goroutine
		defer close(done)
		Check(v, p, []protocol.Topic{{Name: "a"}, {Name: "c"}, {Name: "d"}}, list...)
	}()
	<-done
	return v.said
}

// verdictOf is a testing.TB that remembers what it was told.
type verdictOf struct {
	testing.TB
	said string
}

func (v *verdictOf) Helper() {}

func (v *verdictOf) Fatal(args ...any) {
	v.said = fmt.Sprint(args...)
	runtime.Goexit()
}

func (v *verdictOf) Fatalf(format string, args ...any) { v.Fatal(fmt.Sprintf(format, args...)) }
