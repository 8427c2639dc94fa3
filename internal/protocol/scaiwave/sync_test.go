package scaiwave

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"feedmux/internal/protocol"
)

func TestARequestAsksForWhatCameAfterAPosition(t *testing.T) {
	p := withToken("")
	e, err := p.Endpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		url, want string
		wait      time.Duration
	}{
		{"wss://host.example/v1/stream?token=s3cret", "https://host.example/v1/sync?limit=200&since=12345&timeout=30000", 30 * time.Second},
		{"ws://127.0.0.1:8080/v1/stream?token=s3cret", "http://127.0.0.1:8080/v1/sync?limit=200&since=12345&timeout=1", 0},
	} {
		e.URL = c.url
		r, err := p.Request(e, []byte("12345"), 200, c.wait)
		if err != nil {
			t.Fatal(err)
		}
		if r.Method != http.MethodGet || r.URL.String() != c.want || r.Body != nil {
			t.Errorf("%s %s; want %s", r.Method, r.URL, c.want)
		}
		if r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("%v", r.Header)
		}
	}
}

func TestARequestKeepsTheEndpointsHeader(t *testing.T) {
	p := withToken("")
	e := protocol.Endpoint{URL: stream, Token: "s3cret", Header: http.Header{"X-One": {"1"}}}
	r, err := p.Request(e, []byte("0"), 200, 0)
	if err != nil || r.Header.Get("X-One") != "1" || len(e.Header) != 1 {
		t.Errorf("%v, %v; the endpoint has %v", err, r, e.Header)
	}
}

func TestARequestThatCannotBeMadeNamesNoSecret(t *testing.T) {
	p := withToken("")
	for _, e := range []protocol.Endpoint{{URL: "ws://[s3cret"}, {URL: "ws://a b?token=s3cret"}, {URL: stream + "?token=s3cret"}} {
		_, err := p.Request(e, []byte("s3cret"), 1, 0)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", e.URL, err)
		}
		if _, err = p.Request(e, []byte("1"), 1, 0); err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", e.URL, err)
		}
	}
}

func TestAPageIsReadInTheStreamsNames(t *testing.T) {
	body, err := os.ReadFile("testdata/page.json")
	if err != nil {
		t.Fatal(err)
	}
	var page protocol.Page
	for range 2 { // its memory is used again
		if err := withToken("").Page(body, &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Events) != 2 || !page.More || page.Next != nil || page.Skipped != 0 {
			t.Fatalf("%+v", page)
		}
	}
	transcript, err := os.ReadFile("testdata/stream.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events { // the transcript has the same events
		line := fmt.Sprintf("event %s or=%s or=* value=%s value=%s id=%s position=%s sent=%s %s\n", e.Topic, e.Wider[0], e.Values[0],
			e.Values[1], e.ID, e.Position, e.Sent.Format(time.RFC3339Nano), e.Payload)
		if !strings.Contains(string(transcript), line) {
			t.Errorf("the stream's transcript lacks %s", line)
		}
	}
}

func TestWhatAPageHoldsIsTheReceivers(t *testing.T) {
	p := withToken("")
	var page protocol.Page
	read := func(id string) protocol.Event {
		t.Helper()
		body := `{"data":{"events":[{"event_type":"t","room_id":"r` + id + `","id":"` + id + `","stream_position":` + id + `}]}}`
		if err := p.Page([]byte(body), &page); err != nil || len(page.Events) != 1 {
			t.Fatal(err, page)
		}
		return page.Events[0]
	}
	first := read("1")
	was := fmt.Sprintf("%q", first)
	read("2")
	if got := fmt.Sprintf("%q", first); got != was {
		t.Errorf("it changed:\n%s\n%s", was, got)
	}
}

func TestPages(t *testing.T) {
	const one = `{"event_type":"t","stream_position":1}`
	const two = `{"event_type":"t","stream_position":2}`
	for name, c := range map[string]struct {
		body      string
		positions string
		next      string
		more      bool
		skipped   int
		fails     bool
	}{
		"nothing came":             {body: `{"data":{"events":[],"next_cursor":7,"has_more":false}}`},
		"nothing came, no cursor":  {body: `{"data":{"events":[ ]}}`},
		"more without a way on":    {body: `{"data":{"events":[],"has_more":true}}`, fails: true},
		"more elsewhere":           {body: `{"data":{"events":[],"next_cursor":7,"has_more":true}}`, next: "7", more: true},
		"cursor past the last":     {body: `{"data":{"events":[` + one + `],"next_cursor":7,"has_more":true}}`, positions: "1", more: true},
		"out of order":             {body: `{"data":{"events":[` + two + `,` + one + `]}}`, positions: "1 2"},
		"twice":                    {body: `{"data":{"events":[` + two + `,` + two + `]}}`, positions: "2 2"},
		"some are odd":             {body: `{"data":{"events":[null,5,{},[],` + one + `,"x",{"event_type":"t"},{"type":"t","stream_position":2}]}}`, positions: "1", skipped: 7},
		"all are odd":              {body: `{"data":{"events":[{}],"next_cursor":7}}`, next: "7", skipped: 1},
		"all are odd, no cursor":   {body: `{"data":{"events":[{}],"next_cursor":-7}}`, skipped: 1},
		"more, and all are odd":    {body: `{"data":{"events":[{}],"next_cursor":-7,"has_more":true}}`, fails: true},
		"the last of equal keys":   {body: `{"data":0,"data":{"events":5,"events":[` + one + `],"has_more":true,"has_more":false}}`, positions: "1"},
		"escaped keys":             {body: `{"d\u0061ta":{"ev\u0065nts":[{"event_typ\u0065":"t","stream_position":1}]}}`, positions: "1"},
		"an error's shape":         {body: `{"error":{"code":"SW_RATE_LIMIT_EXCEEDED"}}`, fails: true},
		"no list":                  {body: `{"data":{"events":{}}}`, fails: true},
		"no object":                {body: `[]`, fails: true},
		"data is a list":           {body: `{"data":[{"events":[]}]}`, fails: true},
		"not JSON":                 {body: `<html>`, fails: true},
		"cut off":                  {body: `{"data":{"events":[` + one, fails: true},
		"nothing":                  {body: ``, fails: true},
		"nested too deeply":        {body: strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), fails: true},
		"more than anybody wanted": {body: `{"data":{"events":[` + strings.Repeat(one+",", 600) + one + `]}}`, positions: strings.Repeat("1 ", 499) + "1", more: true},
	} {
		t.Run(name, func(t *testing.T) {
			page := protocol.Page{Events: make([]protocol.Event, 3), Next: []byte("9"), More: true, Skipped: 5}
			err := withToken("").Page([]byte(c.body), &page)
			if (err != nil) != c.fails {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			var positions []string
			for _, e := range page.Events {
				positions = append(positions, string(e.Position))
			}
			if got := strings.Join(positions, " "); got != c.positions || string(page.Next) != c.next || page.More != c.more ||
				page.Skipped != c.skipped {
				t.Errorf("%q, %+v", got, page)
			}
		})
	}
}

func TestBytesThatAreNoTextBecomeText(t *testing.T) {
	body := `{"data":{"events":[{"event_type":"t","stream_position":1,"content":"a` + "\xff\xfe" + `b"}]}}`
	var page protocol.Page
	if err := withToken("").Page([]byte(body), &page); err != nil || len(page.Events) != 1 {
		t.Fatal(err, page)
	}
	if got := string(page.Events[0].Payload); got != `{"type":"t","content":"a`+"\uFFFD"+`b","stream_position":1}` {
		t.Errorf("got %q", got)
	}
}

func FuzzPage(f *testing.F) {
	file, err := os.ReadFile("testdata/page.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	for _, msg := range odd {
		f.Add([]byte(`{"data":{"events":[` + strings.ReplaceAll(msg, `"type"`, `"event_type"`) + `]}}`))
	}
	f.Add([]byte(`{"data":{"events":[{"event_type":"t","stream_position":2},{"event_type":"` + "\xff" + `","stream_position":1},0]}}`))
	p := withToken("")
	f.Fuzz(func(t *testing.T, body []byte) {
		was := string(body)
		var page protocol.Page
		err := p.Page(body, &page)
		if string(body) != was {
			t.Fatal("the body was changed")
		}
		if err != nil {
			return
		}
		var plain struct {
			Data map[string]json.RawMessage
		}
		if json.Unmarshal(body, &plain) == nil && len(plain.Data) > 0 {
			var events []json.RawMessage
			if json.Unmarshal(plain.Data["events"], &events) == nil && len(events) < mostEvents &&
				len(events) != len(page.Events)+page.Skipped {
				t.Fatalf("%d events and %d skipped of %d", len(page.Events), page.Skipped, len(events))
			}
		}
		if page.Next != nil && (!isPosition(page.Next) || len(page.Events) > 0) {
			t.Fatalf("it goes on from %q", page.Next)
		}
		last := []byte("0")
		for _, e := range page.Events {
			if !isPosition(e.Position) || p.Compare(last, e.Position) > 0 {
				t.Fatalf("%q comes after %q", e.Position, last)
			}
			last = e.Position
			if len(e.Topic) == 0 || len(e.Values) != len(Variables()) || !json.Valid(e.Payload) || !utf8.Valid(e.Payload) {
				t.Fatalf("%q", e)
			}
			// The body, as a frame of the stream, is the same event.
			var out protocol.Out
			if err := greeted(t).Message(protocol.Text, e.Payload, &out); err != nil {
				t.Fatal(err)
			}
			if len(out.Events) == 1 && string(out.Events[0].Payload) != string(e.Payload) {
				t.Fatalf("%s became %s", e.Payload, out.Events[0].Payload)
			}
		}
	})
}

func TestOnlyRefusalsOfTheTokenDenyIt(t *testing.T) {
	for body, denied := range map[string]map[int]bool{
		`{"error":{"code":"SW_AUTH_EXPIRED_TOKEN","message":""}}`: {401: true, 403: true, 404: false, 429: false, 500: false},
		`{"error":{"code":"SW_AUTH_TENANT_MISMATCH"}}`:            {403: true},
		`{"error":{"code":"SW_NOT_MEMBER"}}`:                      {401: true, 403: false},
		`{"error":"SW_AUTH_"}`:                                    {403: false},
		`<html>`:                                                  {401: true, 403: false, 502: false},
		``:                                                        {401: true, 403: false},
	} {
		for status, want := range denied {
			if got := withToken("").Denied(status, []byte(body)); got != want {
				t.Errorf("%d %s: %v", status, body, got)
			}
		}
	}
}

func TestPositionsAreComparedAsNumbers(t *testing.T) {
	p := withToken("")
	in := []string{"0", "1", "9", "10", "99", "100", "9223372036854775806", "9223372036854775807"}
	for i, a := range in {
		for j, b := range in {
			if got := p.Compare([]byte(a), []byte(b)); got > 0 != (i > j) || got < 0 != (i < j) {
				t.Errorf("%s and %s: %d", a, b, got)
			}
		}
	}
	for position, want := range map[string]string{"0": "0", "1": "0", "10": "9", "9223372036854775807": "9223372036854775806"} {
		if got := string(p.Before([]byte(position))); got != want {
			t.Errorf("before %s: %s", position, got)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	event := strings.NewReplacer(`"type"`, `"event_type"`, `"tenant_id":"t-1",`, "", `"ts":"2026-05-17T11:00:00Z",`, "").Replace(usual)
	body := []byte(`{"data":{"events":[` + strings.Repeat(event+",", 200-1) + event + `],"next_cursor":12345,"has_more":true}}`)
	p := withToken("")
	var page protocol.Page
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Page(body, &page); err != nil || len(page.Events) != 200 {
			b.Fatal(err, len(page.Events))
		}
	}
}

func TestUnreadableEventsThatHaveAPositionAreMissing(t *testing.T) {
	bad := `{"id":"no type","stream_position":7},{"event_type":"x","stream_position":"7"}`
	body := []byte(`{"data":{"events":[` + bad + `,{"event_type":"typing"},{"event_type":"x","stream_position":9}]}}`)
	var page protocol.Page
	if err := New(Options{}).Page(body, &page); err != nil || len(page.Events) != 1 || page.Skipped != 3 || page.Missed != 2 {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestNoMoreIsAskedForThanTheUpstreamGives(t *testing.T) {
	e := protocol.Endpoint{URL: "ws://wave.test/v1/stream?token=t", Token: "t"}
	for most, want := range map[int]string{1: "1", 200: "200", 501: "500"} {
		r, err := New(Options{}).Request(e, []byte("0"), most, 0)
		if err != nil || r.URL.Query().Get("limit") != want {
			t.Errorf("%d: %v, %v", most, r, err)
		}
	}
}
