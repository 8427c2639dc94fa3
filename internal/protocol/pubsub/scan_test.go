package pubsub

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"feedmux/internal/protocol"
)

// FuzzScan holds the session against encoding/json, which reads the frame as a tree: what that calls a MESSAGE is
// delivered, with equal topic and body, and nothing else is. Where the scanner is certain, it is right.
func FuzzScan(f *testing.F) {
	for _, frame := range realFrames(f) {
		f.Add([]byte(frame))
	}
	odd := []string{
		usual,
		usual + "\n",
		usual + "x",
		usual[:len(usual)-1],
		`{"type":"MESSAGE","data":{"topic":"a","message":"\ud83d\udca5\ud83d\u0041\udca5\u00E4"}}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"\ud83d\ud83d\udca5\ud8"}}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"\ud83d\u`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"\`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"\u12G4"}}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"` + "ä\x1f" + `"}}`,
		`{"type":"MESSAGE","data":{"topic":"` + "a\x01" + `","message":"b"}}`,
		`{"data":{"topic":"a","message":"b"}}`,
		`{"type":"MESSAGE","data":{"topic":"a\,"message":"b"}}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"x":1e999}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"x":01}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"x":[1,2}}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"x":"\q"}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"x":}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"x"}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},}`,
		`{"x":"}\"","type":"MESSAGE","y":[[],{}],"data":{"z":null,"topic":"a","message":"b","d":{"topic":"c"}}}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"data":{"topic":"c"}}`,
		`{"data":{"topic":"a"},"type":"MESSAGE","data":{"message":"b"}}`,
		`{"type":"MESSAGE","type":"PONG","data":{"topic":"a","message":"b"}}`,
		`{"type":"MESSAGE","data":{"topic":"a","topic":"b","message":"c","message":"d"}}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"Data":1,"TYPE":"PONG"}`,
		`{"type":"MESSAGE","data":{"topic":"a","message":"b"},"x":` + strings.Repeat("[", 20_000),
		`{"type":"MESSAGE","data":{"topic":"a","message":"b","x":` +
			strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + `}}`,
	}
	for _, frame := range odd {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if !utf8.Valid(msg) {
			return // no session is told such text
		}
		wantTopic, wantBody, want := reference(msg)
		var out protocol.Out
		if err := New(Options{}).Open(protocol.Endpoint{}).Message(protocol.Text, msg, &out); err != nil {
			t.Fatal(err)
		}
		if got := len(out.Events) == 1; got != want {
			t.Fatalf("a MESSAGE: %t; delivered: %t (%+v)", want, got, out)
		}
		if !want {
			return
		}
		if e := out.Events[0]; string(e.Topic) != wantTopic || string(e.Payload) != wantBody {
			t.Fatalf("got %q, %q instead of %q, %q", e.Topic, e.Payload, wantTopic, wantBody)
		}
	})
}

// reference reads a MESSAGE with encoding/json alone.
func reference(msg []byte) (topic, body string, ok bool) {
	d := json.NewDecoder(bytes.NewReader(msg))
	d.UseNumber() // 1e999 is JSON, if no float64
	var tree map[string]any
	if d.Decode(&tree) != nil {
		return "", "", false
	}
	if _, err := d.Token(); err != io.EOF {
		return "", "", false
	}
	if tree["type"] != "MESSAGE" {
		return "", "", false
	}
	data, _ := tree["data"].(map[string]any)
	topic, _ = data["topic"].(string)
	body, ok = data["message"].(string)
	return topic, body, ok && topic != ""
}

func TestRealFramesTakeTheFastPath(t *testing.T) {
	var s scanner
	for _, frame := range append(realFrames(t), usual, usual+"\n") {
		if !s.message([]byte(frame)) {
			t.Errorf("encoding/json had to read %s", frame)
		}
	}
}

func TestAMemberThatNobodyKnowsYetStaysOnTheFastPath(t *testing.T) {
	var s scanner
	msg := `{"id":[1,{"a":"}\""}],"type":"MESSAGE","data":{"at":1e3,"topic":"raid.1","message":"{}"}}`
	if !s.message([]byte(msg)) || string(s.topic) != "raid.1" || string(s.body) != "{}" {
		t.Errorf("encoding/json had to read it, or it was misread: %q, %q", s.topic, s.body)
	}
}

func TestAMessageIsReadWithoutAllocating(t *testing.T) {
	if len(usual) != 309 {
		t.Fatalf("the usual frame has %d bytes", len(usual))
	}
	msg := []byte(usual)
	s := open(t, New(Options{}))
	var out protocol.Out
	if n := testing.AllocsPerRun(100, func() {
		out.Reset()
		if s.Message(protocol.Text, msg, &out) != nil || len(out.Events) != 1 {
			t.Fatal("no event")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	topic := out.Events[0].Topic
	if i := bytes.Index(msg, topic); unsafe.SliceData(topic) != &msg[i] {
		t.Error("the topic was copied")
	}
}
