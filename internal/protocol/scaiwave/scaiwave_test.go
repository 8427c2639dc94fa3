package scaiwave

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

func TestTheTokenIsFetchedForEveryDial(t *testing.T) {
	answers := []struct {
		token string
		err   error
		fails bool
		url   string
	}{
		{"one", nil, false, stream + "?token=one"},
		{" two\n", nil, false, stream + "?token=two"},
		{"a+b/c=&d#e", nil, false, stream + "?token=a%2Bb%2Fc%3D%26d%23e"},
		{"s3cret", errors.New("unreadable"), true, ""},
		{"", nil, true, ""},
		{"s3cret\r\nX: 1", nil, true, ""},
		{"s3cret é", nil, true, ""},
		{"three", nil, false, stream + "?token=three"},
	}
	calls := 0
	p := New(Options{URL: stream, Token: func(context.Context) (string, error) {
		a := answers[calls]
		calls++
		return a.token, a.err
	}})
	for _, a := range answers {
		e, err := p.Endpoint(t.Context())
		if (err != nil) != a.fails || e.URL != a.url || err == nil && e.Token != strings.TrimSpace(a.token) {
			t.Errorf("%q, %v: got %+v, %v", a.token, a.err, e, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("it names the token: %v", err)
		}
	}
}

func TestThereIsNoEndpointWithoutATokenOrAStream(t *testing.T) {
	if e, err := New(Options{URL: stream}).Endpoint(t.Context()); err == nil || e.URL != "" {
		t.Errorf("%+v, %v", e, err)
	}
	token := func(context.Context) (string, error) { return "t", nil }
	if e, err := New(Options{Token: token}).Endpoint(t.Context()); err == nil || e.URL != "" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestTheURLIsAStreams(t *testing.T) {
	for _, good := range []string{stream, "ws://127.0.0.1:8080/v1/stream", "ws://[::1]:1/v1/stream"} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "host.example/v1/stream", "https://host.example/v1/stream", "wss:///v1/stream", "wss://:80/v1/stream",
		"wss://host.example", "wss://host.example/v1/stream/", "wss://host.example/v1/sync", "wss://host.example/v1%2Fstream",
		"wss://host.example/v1/stream?token=s3cret", "wss://u:s3cret@host.example/v1/stream", "wss://host.example/v1/stream#s3cret",
		"wss://host.example/v1/stream?", "wss://[s3cret", "\x7fs3cret",
	} {
		if err := CheckURL(bad); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCloseCodesMeanWhatTheDocumentsSay(t *testing.T) {
	p := New(Options{})
	for _, c := range []struct {
		code   int
		reason string
		want   protocol.Closing
	}{
		{4001, "", protocol.Denied},
		{4001, "SW_AUTH_INVALID_TOKEN", protocol.Denied},
		{4003, "ping_timeout", protocol.Unanswered},
		{4003, "duplicate_connection", protocol.Duplicate},
		{4003, "ws.disconnect reason=duplicate_connection", protocol.Duplicate},
		{4003, "", protocol.Unknown},
		{4003, "other", protocol.Unknown},
		{1000, "duplicate_connection", protocol.Unknown},
		{1008, "ping_timeout", protocol.Unknown},
		{4000, "", protocol.Unknown},
	} {
		if got := p.JudgeClose(c.code, c.reason); got != c.want {
			t.Errorf("%d %q: %v, want %v", c.code, c.reason, got, c.want)
		}
	}
}

func TestTopicsAreRoomsAndTypes(t *testing.T) {
	p := New(Options{})
	for name, fields := range map[shard.Topic][2]string{
		"*":                               {"", ""},
		"room-1":                          {"room-1", ""},
		"room-1/swp.room.message":         {"room-1", "swp.room.message"},
		"!a:b/typing":                     {"!a:b", "typing"},
		"a/{}":                            {"a", "{}"},
		topicOf(strings.Repeat("x", 256)): {strings.Repeat("x", 256), ""},
	} {
		if err := p.Check(protocol.Topic{Name: name}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if room, typ := Fields(name); room != fields[0] || typ != fields[1] {
			t.Errorf("%q has the fields %q and %q", name, room, typ)
		}
	}
	for _, bad := range []shard.Topic{
		"", " ", "a b", "a\n", "\x00", "ä", "\xff", "\x7f", "/", "a/", "/a", "a/b/c", "a//b", "**", "*/typing", "a/*", "room-*",
		topicOf(strings.Repeat("x", 257)),
	} {
		if p.Check(protocol.Topic{Name: bad}) == nil {
			t.Errorf("%q passed", bad)
		}
	}
	if got := Variables(); !slices.Equal(got, []string{"room", "type"}) {
		t.Errorf("the variables are %q", got)
	}
	if !strings.HasSuffix(DefaultSubject, ".{room}.{type}") {
		t.Error("the default subject lacks a variable")
	}
}

func topicOf(s string) shard.Topic { return shard.Topic(s) }

// FuzzTopics holds that an event is for a topic if, and only if, it has the topic's fields.
func FuzzTopics(f *testing.F) {
	for _, c := range [][3]string{
		{"a", "a", "b"}, {"a/b", "a", "b"}, {"*", "", "b"}, {"a/b", "a/b", "c"}, {"a/b", "a", "b/c"}, {"a", "", "a"}, {"*", "*", "*"},
		{"a/b/c", "a/b", "c"}, {"a/b", "", "a/b"}, {"a/b", "", "b"}, {"x", "y", "x"},
	} {
		f.Add(c[0], c[1], c[2])
	}
	p := New(Options{})
	f.Fuzz(func(t *testing.T, topic, room, typ string) {
		name := shard.Topic(topic)
		if p.Check(protocol.Topic{Name: name}) != nil || typ == "" || room == "*" {
			return
		}
		wantRoom, wantType := Fields(name)
		want := (wantRoom == "" || wantRoom == room) && (wantType == "" || wantType == typ)
		var m memory
		var e protocol.Event
		m.name(&e, []byte(room), []byte(typ))
		got := string(e.Topic) == topic || slices.ContainsFunc(e.Wider, func(w []byte) bool { return string(w) == topic })
		if got != want {
			t.Fatalf("topic %q (%q, %q): for an event of %q and %q it is %v", topic, wantRoom, wantType, room, typ, got)
		}
	})
}

func TestOptionsReportEverythingThatIsWrong(t *testing.T) {
	var said []string
	report := func(key, format string, args ...any) {
		said = append(said, key+": "+fmt.Sprintf(format, args...))
	}
	got := DecodeOptions(map[string]any{"tenant": "t-1", "start": int64(12345)}, report)
	if got.Tenant != "t-1" || string(got.Start()) != "12345" || said != nil {
		t.Errorf("%+v, %q", got, said)
	}
	for _, now := range []map[string]any{nil, {}, {"start": "now"}} {
		if got := DecodeOptions(now, report); got.Start() != nil || got.Tenant != "" || said != nil {
			t.Errorf("%v: %+v, %q", now, got, said)
		}
	}
	if got := DecodeOptions(map[string]any{"start": "0"}, report); string(got.Start()) != "0" || said != nil {
		t.Errorf("%+v, %q", got, said)
	}
	got = DecodeOptions(map[string]any{"tenant": 5, "start": "then", "since": 1}, report)
	if got.Tenant != "" || got.Start() != nil {
		t.Errorf("%+v", got)
	}
	if len(said) != 3 || !strings.HasPrefix(said[0], "options.since: ") || !strings.HasPrefix(said[1], "options.start: ") ||
		!strings.HasPrefix(said[2], "options.tenant: ") {
		t.Errorf("reported %q", said)
	}
	for _, bad := range []any{int64(-1), 1.0, true, "", "-1", "+1", "01", "1.0", "9223372036854775808", []any{}} {
		said = nil
		if got := DecodeOptions(map[string]any{"start": bad}, report); len(said) != 1 || got.Start() != nil {
			t.Errorf("%v: %q, %+v", bad, said, got)
		}
	}
	said = nil
	if DecodeOptions(map[string]any{"tenant": ""}, report); len(said) != 1 {
		t.Errorf("a tenant without a name: %q", said)
	}
}

func FuzzOptions(f *testing.F) {
	f.Add("now", int64(0), "t-1")
	f.Add("12345", int64(-1), "")
	f.Add("9223372036854775808", int64(1), "\xff")
	f.Fuzz(func(t *testing.T, start string, number int64, tenant string) {
		for _, v := range []any{start, number} {
			said := 0
			s := DecodeOptions(map[string]any{"start": v, "tenant": tenant}, func(string, string, ...any) { said++ })
			if at := s.Start(); at != nil {
				n, err := strconv.ParseInt(string(at), 10, 64)
				if err != nil || n < 0 || strconv.FormatInt(n, 10) != string(at) || fmt.Sprint(v) != string(at) {
					t.Fatalf("%v begins after %q", v, at)
				}
				if r, err := New(Options{}).Request(protocol.Endpoint{URL: stream}, at, 1, 0); err != nil || r.URL.Query().Get("since") != string(at) {
					t.Fatal(r, err)
				}
			} else if said == 0 && v != "now" {
				t.Fatalf("%v was taken for now", v)
			}
			if s.Tenant != tenant {
				t.Fatalf("the tenant became %q", s.Tenant)
			}
		}
	})
}

// FuzzEndpoint holds that a token arrives at the other end, whatever it is, or is no token.
func FuzzEndpoint(f *testing.F) {
	for _, token := range []string{"a.b-c_d", "a+b&c=d#e%20?", "", "a b", "\x00", "é"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		p := New(Options{URL: stream, Token: func(context.Context) (string, error) { return token, nil }})
		e, err := p.Endpoint(t.Context())
		if err != nil {
			return
		}
		u, err := url.Parse(e.URL)
		if err != nil || u.Path != streamPath || u.Fragment != "" || len(u.Query()) != 1 || u.Query().Get("token") != strings.TrimSpace(token) {
			t.Fatalf("%q became %s, %v", token, e.URL, err)
		}
	})
}
