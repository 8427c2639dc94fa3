package kite

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/protocol/protocoltest"
)

// Whatever arrives costs a session at most so many times the message, all in all.
func TestMemoryIsBoundedWhateverAFrameHolds(t *testing.T) {
	const size = 256 << 10
	fill := func(head, again, tail string) string {
		return head + strings.Repeat(again, (size-len(head)-len(tail))/len(again)) + tail
	}
	full := string(frame(make([]byte, fullSize))[2:])
	full = full[:2] + "\x00\x00\x01\x01" + full[6:]
	tiny := "\x00\x08\x00\x00\x01\x01\xff\xff\xff\xff"
	for name, test := range map[string]struct {
		kind  protocol.Kind
		msg   string
		skip  string
		times int
	}{
		"arrays in arrays":   {protocol.Text, fill("", "[", ""), skipMalformed, 8},
		"objects in objects": {protocol.Text, fill("", `{"a":`, ""), skipMalformed, 8},
		"many keys":          {protocol.Text, fill(`{"type":"order",`, `"a":0,`, `"data":{"status":"x"}}`), "", 8},
		"a long status":      {protocol.Text, fill(`{"type":"order","data":{"status":"`, "é", `"}}`), "", 8},
		"a long error":       {protocol.Text, fill(`{"type":"error","data":"`, `\u0000`, `"}`), "", 8},
		"unknown lengths":    {protocol.Binary, fill("\xff\xff", "\x00\x00", ""), skipUnknownLength, 2},
		"unknown tokens":     {protocol.Binary, fill("\xff\xff", "\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff", ""), skipUnknownInstrument, 2},
		"full packets":       {protocol.Binary, fill("\xff\xff", full, ""), skipTruncated, 70}, // mostly from growing what it keeps
		"tiny packets":       {protocol.Binary, fill("\xff\xff", tiny, ""), skipTruncated, 200},
	} {
		s := open(Options{})
		change(s, topics("257"))
		var before, after runtime.MemStats
		var out protocol.Out
		runtime.ReadMemStats(&before)
		err := s.Message(test.kind, []byte(test.msg), &out)
		runtime.ReadMemStats(&after)
		if err != nil || (len(out.Skipped) == 0) != (test.skip == "") || test.skip != "" && out.Skipped[0].Reason != test.skip {
			t.Errorf("%s: %v, skipped %v", name, err, out.Skipped)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(test.times*size) {
			t.Errorf("%s: %.1f times its size", name, float64(n)/size)
		}
		// What stays is payloads of at most ten times the message.
		if n := cap(s.memory); n > 20*size {
			t.Errorf("%s: keeps %.1f times its size", name, float64(n)/size)
		}
	}
}

func TestEachPacketThatDoesNotAddUpIsCounted(t *testing.T) {
	s := open(Options{})
	change(s, topics("257"))
	msg := frame(ltp(257, 5), []byte{1}, ltp(513, 5), []byte{1, 2}, ltp(257, 6), ltp(513, 5), []byte{1, 2, 3}, []byte{})
	out := hear(s, append(msg, 0))
	want := []protocol.Skip{{Reason: skipUnknownLength, N: 4}, {Reason: skipUnknownInstrument, N: 2}, {Reason: skipTrailing, N: 1}}
	if len(out.Events) != 2 || !slices.Equal(out.Skipped, want) {
		t.Errorf("%d events, skipped %v", len(out.Events), out.Skipped)
	}
	if n := testing.AllocsPerRun(100, func() {
		out.Reset()
		if err := s.Message(protocol.Binary, msg, out); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzTicks(f *testing.F) {
	for _, line := range messages(f, "< binary") {
		msg, err := hex.DecodeString(line)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(msg, []byte{0}, false, false)
	}
	f.Add(frame(ltp(257, 1)), frame(make([]byte, fullSize)), true, true)
	f.Fuzz(func(t *testing.T, one, two []byte, drop, raw bool) {
		p := apart{New(Options{DropInvalid: drop, Frame: raw, Token: func(context.Context) (string, error) { return "t", nil }})}
		list := topics("408065/full", "884737", "NSE:NIFTY=256265/ltp", "257")
		m := func(b []byte) protocoltest.Message { return protocoltest.Message{Kind: protocol.Binary, Data: b} }
		protocoltest.Check(t, p, list, m(one), m(two), m(one))

		s := open(Options{})
		change(s, list)
		for _, e := range hear(s, one).Events {
			if !json.Valid(e.Payload) {
				t.Fatalf("no JSON: %s", e.Payload)
			}
		}
	})
}

func FuzzTexts(f *testing.F) {
	for _, line := range messages(f, "< text") {
		f.Add([]byte(line), []byte(`{"type":"order","data":{"status":"x"}}`))
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		p := apart{New(Options{Token: func(context.Context) (string, error) { return "t", nil }})}
		m := func(b []byte) protocoltest.Message {
			return protocoltest.Message{Kind: protocol.Text, Data: []byte(strings.ToValidUTF8(string(b), "?"))}
		}
		protocoltest.Check(t, p, topics("408065"), m(one), m(two), m(one))

		var out protocol.Out
		if err := p.Open(protocol.Endpoint{}).Message(protocol.Text, m(one).Data, &out); err != nil {
			t.Fatal(err)
		}
		for _, w := range out.Words {
			if len(w.Text) > longestWords || w.Kind == "" {
				t.Fatalf("%q", w)
			}
		}
		for _, e := range out.Events {
			if !json.Valid(e.Payload) || len(e.Values) != 1 || len(e.Values[0]) == 0 {
				t.Fatalf("%q %q", e.Values, e.Payload)
			}
		}
	})
}

// messages are the messages of a kind in all transcripts.
func messages(t testing.TB, kind string) (list []string) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if msg, ok := strings.CutPrefix(strings.TrimSpace(line), kind); ok {
				list = append(list, strings.TrimSpace(msg))
			}
		}
	}
	if len(list) < 20 {
		t.Fatalf("%d messages", len(list))
	}
	return list
}

func FuzzDump(f *testing.F) {
	f.Add(dumpHead+"408065,NSE,INFY\n", "NSE:INFY")
	f.Add(dumpHead+"1,NSE,\"IN\nFY\"\n2,NSE,INFY\n3,NSE,INFY\n", "NSE:INFY")
	f.Add("\ufeff"+dumpHead+"0,a,b", "a:b")
	f.Fuzz(func(t *testing.T, text, name string) {
		d, err := ReadDump(strings.NewReader(text))
		if err != nil {
			return
		}
		e := Entry{Topic: name}
		good := true
		e.Check(true, func(string, string, ...any) { good = false })
		if !good {
			return
		}
		resolved, _ := Resolve([]Entry{e, e}, d, nil)
		in := resolved[0].Options.(Instrument)
		if (in.Token == 0) != (in.Problem != "") || resolved[1] != resolved[0] {
			t.Fatalf("%v", resolved)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add(`{"api_key":"k","instruments":"i.csv","token_dies_at":"06:00 Asia/Kolkata","drop_invalid":true}`, int64(0))
	f.Add(`{"api_key":7,"instruments":[],"token_dies_at":"6:00 Mars","drop_invalid":"no","x":{}}`, int64(1<<40))
	f.Add(`{"token_dies_at":"02:30 Europe/Berlin"}`, int64(1774746000))
	f.Fuzz(func(t *testing.T, text string, at int64) {
		var tree map[string]any
		if json.Unmarshal([]byte(text), &tree) != nil {
			return
		}
		s := DecodeOptions(tree, func(key, format string, args ...any) {
			if said := fmt.Sprintf(format, args...); !strings.HasPrefix(key, "options.") || strings.Contains(said, "%!") {
				t.Fatalf("%s: %s", key, said)
			}
		})
		now := time.Unix(at%(1<<40), 0)
		if next := s.TokenDiesAt.Next(now); s.TokenDiesAt.IsZero() != next.IsZero() ||
			!next.IsZero() && (!next.After(now) || next.Sub(now) > 50*time.Hour) {
			t.Fatalf("%v after %v", next, now)
		}
	})
}

func TestAnEndpointNeedsAToken(t *testing.T) {
	for name, token := range map[string]func(context.Context) (string, error){
		"none":       nil,
		"unreadable": func(context.Context) (string, error) { return "s3cret", errors.New("file is gone") },
		"empty":      func(context.Context) (string, error) { return " \n", nil },
	} {
		e, err := New(Options{APIKey: "kEy", Token: token}).Endpoint(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "feed has no access token: ") || e.URL != "" ||
			strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "kEy") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnEndpointHasKeyAndTokenInItsQuery(t *testing.T) {
	token := ""
	fetch := func(context.Context) (string, error) { return token, nil }
	for i, c := range []struct{ url, token, want string }{
		{"", "abc", "wss://ws.kite.trade?access_token=abc&api_key=k+%26y"},
		{"", " a+b/c=\n", "wss://ws.kite.trade?access_token=a%2Bb%2Fc%3D&api_key=k+%26y"},
		{"ws://[::1]:5/p?uid=7&access_token=old", "t", "ws://[::1]:5/p?access_token=t&api_key=k+%26y&uid=7"},
	} {
		token = c.token // it is asked for each time
		e, err := New(Options{URL: c.url, APIKey: "k &y", Token: fetch}).Endpoint(t.Context())
		if err != nil || e.URL != c.want || e.Header.Get("X-Kite-Version") != "3" || e.Token != strings.TrimSpace(token) {
			t.Errorf("%d: %+v, %v", i, e, err)
		}
	}
	_, err := New(Options{URL: "ws://x/%zz?access_token=old", Token: fetch}).Endpoint(t.Context())
	if err == nil || strings.Contains(err.Error(), "old") {
		t.Errorf("a url that is none: %v", err)
	}
}
