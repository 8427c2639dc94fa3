package scaiwave

import (
	"context"
	"errors"
	"strings"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/internal/protocol/protocoltest"
)

const (
	stream = "wss://host.example/v1/stream"
	hello  = `{"type":"hello","session_id":"6f1c","server_name":"scaiwave.scailabs.com","tenant_id":"t-1"}`

	// usual is the documented message with an id and a body of usual lengths.
	usual = `{"type":"swp.room.message","id":"evt-5b0c7b7e-2f0b-4a53-9e0c-0d6a3f1b8c55","room_id":"room-8f14e45f",` +
		`"tenant_id":"t-1","sender_id":"user-c9f0f895","ts":"2026-05-17T11:00:00Z","content":{"msgtype":"swp.text",` +
		`"body":"See you at ten, in the small room. Bring the figures of last week."},"stream_position":12345,"origin_ts":1778939467}`
)

func TestTranscripts(t *testing.T) {
	protocoltest.Run(t, withToken(""), "testdata/*.txt", nil)
	protocoltest.Run(t, withToken("t-1"), "testdata/tenant/*.txt", nil)
}

func withToken(tenant string) *Protocol {
	return New(Options{
		URL:    stream,
		Token:  func(context.Context) (string, error) { return "s3cret", nil },
		Tenant: tenant,
	})
}

func TestAnotherTenantMeansAnotherCredential(t *testing.T) {
	s := open(t, withToken("t-2"))
	var out protocol.Out
	var denied *protocol.DeniedError
	if err := s.Message(protocol.Text, []byte(hello), &out); !errors.As(err, &denied) || out.Live {
		t.Errorf("%v, live is %v", err, out.Live)
	}
}

func TestWhatATenantIsCalledIsReadableAndHoldsNoSecret(t *testing.T) {
	p := withToken("t-2")
	e, err := p.Endpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.Redact = func(words string) string { return strings.ReplaceAll(words, "s3cret", "[token]") }
	msg := `{"type":"hello","tenant_id":"s3cret\n` + strings.Repeat("ä", 5000) + `"}`
	err = p.Open(e).Message(protocol.Text, []byte(msg), &protocol.Out{})
	if err == nil || strings.Contains(err.Error(), "s3cret") || strings.ContainsAny(err.Error(), "\n") || len(err.Error()) > 250 {
		t.Errorf("said: %v", err)
	}
}

func TestAnEventIsReadWithoutAllocating(t *testing.T) {
	for _, text := range []string{usual, `{"type":"typing","room_id":"room-1","participant_id":"u-1","typing":true}`} {
		s := greeted(t)
		msg := []byte(text)
		var out protocol.Out
		var least float64
		for i := range 10 { // with the race detector, encoding/json's pool forgets what it was given now and then
			n := testing.AllocsPerRun(100, func() {
				out.Reset()
				if s.Message(protocol.Text, msg, &out) != nil || len(out.Events) != 1 || len(out.Skipped) > 0 {
					t.Fatal("no event")
				}
			})
			if i == 0 || n < least {
				least = n
			}
		}
		if least != 0 {
			t.Errorf("%v allocations: %s", least, msg)
		}
	}
}

func TestAnEventWithoutAPositionIsNotCopied(t *testing.T) {
	s := greeted(t)
	msg := []byte(` {"type":"typing","room_id":"room-1"}`)
	var out protocol.Out
	if err := s.Message(protocol.Text, msg, &out); err != nil || len(out.Events) != 1 {
		t.Fatal(err, out)
	}
	if body := out.Events[0].Payload; &body[0] != &msg[1] || len(body) != len(msg)-1 {
		t.Errorf("got %s", body)
	}
}

// FuzzMessage plays any two messages to a session, the first one twice, after a hello or none.
func FuzzMessage(f *testing.F) {
	f.Add(false, true, []byte(usual), []byte(hello))
	f.Add(false, false, []byte(hello), []byte(usual))
	f.Add(true, true, []byte{0}, []byte(`{"type":"ping"}`))
	f.Add(false, true, []byte(`{"type":"\u0061","room_id":"\/","stream_position":7}`), []byte(`{"type":"presence"}`))
	for _, msg := range odd {
		f.Add(false, true, []byte(msg), []byte(usual))
	}
	p := withToken("t-1")
	f.Fuzz(func(t *testing.T, binary, greeted bool, one, two []byte) {
		kind := protocol.Text
		if binary {
			kind = protocol.Binary
		}
		first := protocoltest.Message{Kind: kind, Data: one}
		messages := []protocoltest.Message{first, {Kind: protocol.Text, Data: two}, first}
		if greeted {
			messages = append([]protocoltest.Message{{Kind: protocol.Text, Data: []byte(hello)}}, messages...)
		}
		protocoltest.Check(t, p, []protocol.Topic{{Name: "room-1"}, {Name: "room-1/typing"}, {Name: "*"}}, messages...)
	})
}

func BenchmarkMessage(b *testing.B) {
	msg := []byte(usual)
	s := greeted(b)
	var out protocol.Out
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := s.Message(protocol.Text, msg, &out); err != nil || len(out.Events) != 1 {
			b.Fatal(err, len(out.Events))
		}
	}
}

func open(t testing.TB, p *Protocol) protocol.Session {
	t.Helper()
	e, err := p.Endpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p.Open(e)
}

// greeted is a session that is live.
func greeted(t testing.TB) protocol.Session {
	t.Helper()
	s := open(t, withToken(""))
	var out protocol.Out
	if err := s.Message(protocol.Text, []byte(hello), &out); err != nil || !out.Live {
		t.Fatal(err, out)
	}
	return s
}
