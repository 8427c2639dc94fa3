package pubsub

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/internal/protocol/protocoltest"
	"feedmux/shard"
)

func TestTranscripts(t *testing.T) {
	protocoltest.Run(t, New(Options{}), "testdata/*.txt", nil)
	protocoltest.Run(t, withToken(), "testdata/token/*.txt", nil)
}

func withToken() *Protocol {
	return New(Options{
		Token:      func(context.Context) (string, error) { return "s3cret", nil },
		AuthTopics: []string{"extra"},
	})
}

func TestTheTranscriptHasEveryRealFrame(t *testing.T) {
	transcript, err := os.ReadFile("testdata/real.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, frame := range realFrames(t) {
		if !strings.Contains(string(transcript), "\n< text "+frame+"\nevent ") &&
			!strings.Contains(string(transcript), "\n< text "+frame+"\nlive\nevent ") {
			t.Errorf("not there, or without an event: %s", frame)
		}
	}
}

func realFrames(t testing.TB) (frames []string) {
	t.Helper()
	f, err := os.Open("testdata/frames.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var line struct{ Frame string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, line.Frame)
	}
	if err := lines.Err(); err != nil || len(frames) < 20 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	return frames
}

func TestEveryTopicIsAskedForOrSettled(t *testing.T) {
	var add []protocol.Topic
	for i := range SubscribeBatch {
		add = append(add, protocol.Topic{Name: shard.Topic(fmt.Sprintf("%s.%d", []string{"raid", "whispers"}[i%2], i))})
	}
	for _, p := range []*Protocol{New(Options{}), withToken()} {
		var out protocol.Out
		open(t, p).Change(add, []shard.Topic{"polls.1"}, &out)
		var got []shard.Topic
		for i, f := range out.Frames {
			var r request
			if err := json.Unmarshal(f.Payload, &r); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				if r.Type != "UNLISTEN" || f.Asks != nil {
					t.Errorf("the UNLISTEN does not come first, or asks: %s", f.Payload)
				}
				continue
			}
			if !slices.Equal(r.Data.Topics, f.Asks) {
				t.Errorf("asks %v with %s", f.Asks, f.Payload)
			}
			got = append(got, f.Asks...)
		}
		for _, s := range out.Settled {
			if s.Verdict != protocol.Refused || s.Reason == "" {
				t.Errorf("%+v", s)
			}
			got = append(got, s.Topics...)
		}
		slices.Sort(got)
		var want []shard.Topic
		for _, t := range add {
			want = append(want, t.Name)
		}
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("asked for or settled %v, not %v", got, want)
		}
	}
}

func TestOpenAsksStayWithinWhatIsAskedFor(t *testing.T) {
	s := open(t, New(Options{})).(*session)
	var out protocol.Out
	for i := range 1000 { // an upstream that never answers
		topic := []shard.Topic{shard.Topic(fmt.Sprintf("raid.%d", i))}
		s.Change([]protocol.Topic{{Name: topic[0]}}, nil, &out)
		s.Change(nil, topic, &out)
	}
	if len(s.asks) != 0 {
		t.Errorf("%d asks are open for topics that nobody wants", len(s.asks))
	}
}

func TestAFrameIsPublishedAsItCame(t *testing.T) {
	for _, msg := range []string{
		`{"type":"MESSAGE","data":{"topic":"raid.1","message":"{\"a\":\"b\"}"}}`,
		` { "data":{"message":"{\u0022a\u0022:1}", "topic":"raid.1"},"type":"MESSAGE", "more":[1] }` + "\r\n", // as no scanner likes it
	} {
		var out protocol.Out
		if err := open(t, New(Options{Frame: true})).Message(protocol.Text, []byte(msg), &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Events) != 1 || string(out.Events[0].Topic) != "raid.1" || string(out.Events[0].Payload) != msg {
			t.Errorf("%s\nbecame %+v", msg, out.Events)
		}
	}
}

func TestALongWordIsCut(t *testing.T) {
	s := open(t, New(Options{}))
	var out protocol.Out
	s.Change([]protocol.Topic{{Name: "raid.1"}}, nil, &out)
	msg := `{"type":"RESPONSE","nonce":"listen-1","error":"` + strings.Repeat("ä", 5000) + `"}`
	if err := s.Message(protocol.Text, []byte(msg), &out); err != nil || len(out.Settled) != 1 {
		t.Fatal(err, out)
	}
	if n := len(out.Settled[0].Reason); n < 90 || n > 120 {
		t.Errorf("the reason has %d bytes", n)
	}
}

func TestTokenIsFetchedForEveryDialAndMayBeMissing(t *testing.T) {
	answers := []struct {
		token string
		err   error
		want  string
	}{
		{"one", nil, "one"},
		{" oauth:two\n", nil, "two"},
		{"half", errors.New("unreadable"), ""},
		{"", nil, ""},
		{"three", nil, "three"},
	}
	calls := 0
	p := New(Options{URL: "ws://127.0.0.1:1", Token: func(context.Context) (string, error) {
		a := answers[calls]
		calls++
		return a.token, a.err
	}})
	for _, a := range answers {
		e, err := p.Endpoint(t.Context())
		if err != nil || e.Token != a.want || e.URL != "ws://127.0.0.1:1" {
			t.Errorf("%q, %v: got %+v, %v", a.token, a.err, e, err)
		}
	}
}

func TestEndpointIsTwitchUnlessSaidOtherwise(t *testing.T) {
	e, err := New(Options{}).Endpoint(t.Context())
	if err != nil || e.URL != DefaultURL || e.Token != "" || e.Header != nil {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestCheckRefusesOnlyWhatCanBeNoTopic(t *testing.T) {
	p := New(Options{})
	for _, good := range []shard.Topic{
		"video-playback-by-id.1", "chat_moderator_actions.1.2", "raid", "a:b/c@d", "x.",
		shard.Topic(strings.Repeat("x", 256)),
	} {
		if err := p.Check(protocol.Topic{Name: good}); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []shard.Topic{
		"", " ", "a b", "a\n", "\x00", "a\"", "a'", `a\`, "ä", "\xff", "\x7f", shard.Topic(strings.Repeat("x", 257)),
	} {
		if p.Check(protocol.Topic{Name: bad}) == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestOptionsReportEverythingThatIsWrong(t *testing.T) {
	var said []string
	report := func(key, format string, args ...any) {
		said = append(said, key+": "+fmt.Sprintf(format, args...))
	}
	got := DecodeOptions(map[string]any{
		"auth_topics": []any{"one", 2, "two.", "a b", ""},
		"full_errors": []any{"ERR_FULL", "", 3},
		"nonce":       true,
		"Auth_topics": []any{},
	}, report)
	if want := []string{"one", "two"}; !slices.Equal(got.AuthTopics, want) {
		t.Errorf("got %q, not %q", got.AuthTopics, want)
	}
	if want := []string{"ERR_FULL"}; !slices.Equal(got.FullErrors, want) {
		t.Errorf("got %q, not %q", got.FullErrors, want)
	}
	var keys []string
	for _, s := range said {
		key, _, _ := strings.Cut(s, ":")
		keys = append(keys, key)
	}
	want := []string{
		"options.Auth_topics", "options.auth_topics[1]", "options.auth_topics[3]", "options.auth_topics[4]",
		"options.full_errors[1]", "options.full_errors[2]", "options.nonce",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("reported %q", said)
	}
	said = nil
	if DecodeOptions(map[string]any{"auth_topics": "one"}, report); len(said) != 1 {
		t.Errorf("a string is no list: %q", said)
	}
	said = nil
	if got := DecodeOptions(nil, report); got.AuthTopics != nil || got.FullErrors != nil || said != nil {
		t.Errorf("nothing gave %+v, %q", got, said)
	}
}

// FuzzMessage plays any two messages to a session that has asked for topics, the first one twice.
func FuzzMessage(f *testing.F) {
	f.Add(false, []byte(`{"type":"RESPONSE","nonce":"listen-1","error":""}`), []byte(`{"type":"PONG"}`))
	f.Add(false, []byte(`{"type":"RESPONSE","nonce":"listen-1","error":"x"}`), []byte(`{"type":"RECONNECT"}`))
	f.Add(false, []byte(`{"type":"AUTH_REVOKED","data":{"topics":["raid.1",""]}}`), []byte(usual))
	f.Add(true, []byte{0}, []byte(`{"type":"MESSAGE","data":{"topic":"\u0061","message":"\n"}}`))
	for _, frame := range realFrames(f) {
		f.Add(false, []byte(frame), []byte(usual))
	}
	p := withToken()
	f.Fuzz(func(t *testing.T, binary bool, one, two []byte) {
		kind := protocol.Text
		if binary {
			kind = protocol.Binary
		}
		first := protocoltest.Message{Kind: kind, Data: one}
		protocoltest.Check(t, p, []protocol.Topic{{Name: "raid.1"}, {Name: "whispers.1"}, {Name: "polls.1"}},
			first, protocoltest.Message{Kind: protocol.Text, Data: two}, first)
	})
}

func open(t testing.TB, p *Protocol) protocol.Session {
	t.Helper()
	e, err := p.Endpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p.Open(e)
}

func TestOnlyTheEdgesOwnCloseCodeIsJudged(t *testing.T) {
	p := New(Options{})
	if p.JudgeClose(4100, "ping pong failed") != protocol.Unanswered || p.JudgeClose(4003, "") != protocol.Unknown {
		t.Error("4100 means that our pongs did not come, and nothing else is known")
	}
}
