package scaiwave

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"feedmux/internal/protocol"
)

// odd are frames at the edge of what can be read.
var odd = []string{
	hello, usual, usual + "\n", usual + "x", usual[:len(usual)-1],
	`{"type":"x","stream_position":1,"content":{ "a" : [ 1 , "}\" ]" , { } , [ ] ] },"room_id":"r"}`,
	`{"type":"x","stream_position":1,"content":"  \\","room_id":"\ud800"}`,
	`{"type":"x","stream_position":1,"content":1,"content":null}`,
	`{"type":"x","stream_position":1,"content":-1.5e+10 , "id":"\"" }`,
	`{"type":"x","stream_position":1,"t\u0079pe":"y","":{},"\ud800":[]}`,
	`{"type":"x","stream_position":9223372036854775807,"origin_ts":253402300799}`,
	`{"type":"x","stream_position":9223372036854775808,"origin_ts":253402300800}`,
	`{"type":"x","stream_position":1,"room_id":"a/b","origin_ts":1.5}`,
	`{"type":"x/y","stream_position":1,"room_id":"a","origin_ts":1E3}`,
	`{"type":"x","stream_position":1,"x":` + strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + `}`,
	`{"type":"x","stream_position":1,"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
	`{"type":"x","room_id":[]}`, `{"type":"x","id":{}}`, `{ }`, `[ ]`, `[{}]`, `null`, ``, ` `,
}

// FuzzEvent holds what a session makes of a frame against a plain use of encoding/json, and against what Page makes of the
// same event.
func FuzzEvent(f *testing.F) {
	for i, msg := range odd {
		f.Add([]byte(msg), uint64(i))
	}
	f.Fuzz(func(t *testing.T, msg []byte, seed uint64) {
		if !utf8.Valid(msg) {
			return // no session is told such text
		}
		want, ok := plainEvent(msg)
		var out protocol.Out
		if err := greeted(t).Message(protocol.Text, msg, &out); err != nil {
			t.Fatal(err)
		}
		if !ok {
			if len(out.Events) > 0 {
				t.Fatalf("no event, and yet %q", out.Events)
			}
			return
		}
		others := spelledOut(msg)
		if len(others) > 0 && len(out.Events) == 1 && bytes.Count(msg, []byte("[")) > 9_000 && !json.Valid(out.Events[0].Payload) {
			return // nested as deep as a frame may be: a content is deeper
		}
		if len(out.Events) == 1 && want.Position != nil && len(others) > 0 {
			wantContent(t, out.Events[0].Payload, want.Payload, others)
			want.Payload = out.Events[0].Payload
		}
		if len(out.Events) != 1 || !reflect.DeepEqual(out.Events[0], want) {
			t.Fatalf("%+v; want %+v", out, want)
		}

		body := answer(t, seed, msg)
		if !json.Valid(body) {
			return // nested as deep as a frame may be: an answer is deeper
		}
		var page protocol.Page
		err := withToken("").Page(body, &page)
		if len(page.Events) == 1 && len(others) > 0 { // in any order
			wantContent(t, page.Events[0].Payload, want.Payload, others)
			page.Events[0].Payload = want.Payload
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case want.Position == nil:
			if len(page.Events) > 0 || page.Skipped != 1 {
				t.Fatalf("an event without a position in a page: %+v", page)
			}
		case len(page.Events) != 1 || !reflect.DeepEqual(page.Events[0], want):
			t.Fatalf("by sync %+v; by the stream %+v", page, want)
		}
	})
}

// spelledOut is what a frame has in the place of a content; nil: it has one, or nothing.
func spelledOut(msg []byte) map[string]any {
	tree := exactly(msg)
	if tree == nil || tree["content"] != nil {
		return nil
	}
	for _, name := range []string{"type", "id", "room_id", "sender_id", "content", "stream_position", "origin_ts", "tenant_id", "ts"} {
		delete(tree, name)
	}
	return tree
}

// exactly is what a JSON object has; nil: it is none. Numbers stay as they are written: not all of them fit a float.
func exactly(body []byte) (tree map[string]any) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&tree) != nil {
		return nil
	}
	return tree
}

// wantContent fails unless body has these members as its content, and beside it what rest has.
func wantContent(t *testing.T, body, rest []byte, content map[string]any) {
	t.Helper()
	got, want := exactly(body), exactly(rest)
	if got == nil || want == nil {
		t.Fatalf("%s is no object", body)
	}
	if !reflect.DeepEqual(got["content"], any(content)) {
		t.Fatalf("%s; want the content %v", body, content)
	}
	delete(got, "content")
	delete(want, "content")
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s; want %s", body, rest)
	}
}

// plainEvent reads a frame with encoding/json alone.
func plainEvent(msg []byte) (e protocol.Event, ok bool) {
	var tree map[string]json.RawMessage
	if json.Unmarshal(msg, &tree) != nil || tree == nil {
		return e, false
	}
	read := func(key string) []byte {
		if tree[key] == nil || string(tree[key]) == "null" {
			return nil
		}
		var s *string
		if json.Unmarshal(tree[key], &s) != nil {
			ok = false
			return nil
		}
		if *s == "" {
			return nil
		}
		return []byte(*s)
	}
	ok = true
	typ, room := read("type"), read("room_id")
	e.ID = read("id")
	if !ok || typ == nil || slices.Contains([]string{"hello", "ping", "pong"}, string(typ)) {
		return e, false
	}
	if string(tree["stream_position"]) == "null" || tree["stream_position"] == nil {
		e.Payload = bytes.Trim(msg, " \t\r\n")
	} else {
		n, err := strconv.ParseInt(string(tree["stream_position"]), 10, 64)
		if err != nil || strings.HasPrefix(string(tree["stream_position"]), "-") {
			return e, false
		}
		e.Position = strconv.AppendInt(nil, n, 10)
		e.Sent = seconds(tree["origin_ts"])
		var parts []string
		for _, name := range []string{"type", "id", "room_id", "sender_id", "content", "stream_position", "origin_ts"} {
			if v := tree[name]; v != nil && string(v) != "null" {
				var b bytes.Buffer
				if json.Compact(&b, v) != nil {
					return e, false
				}
				parts = append(parts, `"`+name+`":`+b.String())
			}
		}
		e.Payload = []byte("{" + strings.Join(parts, ",") + "}")
	}
	everything := []byte("*")
	e.Values = [][]byte{room, typ}
	switch {
	case room == nil || bytes.Contains(room, []byte("/")):
		e.Topic = everything
	case bytes.Contains(typ, []byte("/")):
		e.Topic, e.Wider = room, [][]byte{everything}
	default:
		e.Topic, e.Wider = []byte(string(room)+"/"+string(typ)), [][]byte{room, everything}
	}
	return e, true
}

// answer is an answer of /v1/sync with the event of a frame: in sync's names, in any order, with white space, and without what
// sync does not have.
func answer(t *testing.T, seed uint64, frame []byte) []byte {
	t.Helper()
	var tree map[string]json.RawMessage
	if err := json.Unmarshal(frame, &tree); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	var parts []string
	for key, value := range tree {
		switch key {
		case "tenant_id", "ts", "event_type":
			continue
		case "type":
			key = "event_type"
		}
		name, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(name)+" : "+string(value)+"\n")
	}
	slices.Sort(parts)
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return []byte(`{"meta":{},"data":{"events":[ {` + strings.Join(parts, ", ") + `} ],"next_cursor":1,"has_more":false}}`)
}

func TestTheBodyIsTheSameWhicheverWayAnEventComes(t *testing.T) {
	for seed := range uint64(20) {
		want, ok := plainEvent([]byte(usual))
		var page protocol.Page
		if err := withToken("").Page(answer(t, seed, []byte(usual)), &page); err != nil || !ok || len(page.Events) != 1 {
			t.Fatal(err, ok, page)
		}
		if got := page.Events[0]; !reflect.DeepEqual(got, want) {
			t.Errorf("%+v; want %+v", got, want)
		}
		if s := string(want.Payload); strings.Contains(s, "tenant_id") || !strings.HasPrefix(s, `{"type":"swp.room.message","id":"evt-`) ||
			!strings.HasSuffix(s, `"stream_position":12345,"origin_ts":1778939467}`) {
			t.Errorf("the body is %s", s)
		}
	}
}
