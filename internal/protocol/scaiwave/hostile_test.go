package scaiwave

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"feedmux/internal/protocol"
)

// skipped is why a message was skipped, once; "" if it was not.
func skipped(out *protocol.Out) string {
	switch {
	case len(out.Skipped) == 0:
		return ""
	case len(out.Skipped) > 1 || out.Skipped[0].N != 1:
		return fmt.Sprint(out.Skipped)
	}
	return out.Skipped[0].Reason
}

// A frame or a page takes at most a few times its size beside itself, however it is made. Each case says how much it may
// take, all in all; a nesting costs up to 10,000 levels more.
func TestMemoryIsBoundedWhateverComes(t *testing.T) {
	const size = 256 << 10
	fill := func(head, again, tail string) string {
		return head + strings.Repeat(again, (size-len(head)-len(tail))/len(again)) + tail
	}
	const event = `{"type":"t","room_id":"r","stream_position":1,`
	const page = `{"data":{"next_cursor":1,"has_more":false,"events":[`
	cases := map[string]struct {
		msg    string
		events int
		bound  int // KiB
	}{
		"arrays in arrays":       {fill("", "[", ""), 0, 512},
		"objects in objects":     {fill("", `{"a":`, ""), 0, 512},
		"arrays that are closed": {fill(event+`"content":[`, "[],", "0]}"), 1, 4*size>>10 + 64},
		"as deep as JSON goes":   {event + `"content":` + strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + "}", 1, 512},
		"deeper":                 {event + `"content":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}", 0, 512},
		"one key, many times":    {fill(event, `"id":"a",`, `"id":"b"}`), 1, 64},
		"one escaped key":        {fill(event, `"\u0069d":"a",`, `"id":"b"}`), 1, 64},
		"a long room":            {fill(`{"type":"t","stream_position":1,"room_id":"`, "x", `"}`), 1, 6*size>>10 + 64},
		"a long escaped room":    {fill(`{"type":"t","stream_position":1,"room_id":"`, `\u0000`, `"}`), 1, 6*size>>10 + 64},
		"a long id":              {fill(event+`"id":"`, "é", `"}`), 1, 4*size>>10 + 64},
		"a long type":            {fill(`{"type":"`, "é", `"}`), 1, 4*size>>10 + 64},
		"a long position":        {fill(`{"type":"t","stream_position":`, "1", `}`), 0, 64},
		"a long time":            {fill(event+`"origin_ts":`, "1", `}`), 1, 4*size>>10 + 64},
		"white space":            {fill("", " ", ""), 0, 64},
		"white space within":     {fill(event+`"content":`, " ", "1}"), 1, 64},
		"quotes":                 {fill(`{"x":`, `"`, ""), 0, 64},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := greeted(t)
			var out protocol.Out
			warm(t, s, &out)
			msg := []byte(test.msg)
			for range 2 { // what one leaves behind does not add up
				out.Reset()
				took := allocated(func() {
					if err := s.Message(protocol.Text, msg, &out); err != nil {
						t.Error(err)
					}
				})
				if len(out.Events) != test.events || (skipped(&out) == skipMalformed) != (test.events == 0) {
					t.Errorf("%d events, skipped as %q", len(out.Events), skipped(&out))
				}
				if took > test.bound {
					t.Errorf("%d KiB were allocated, more than %d", took, test.bound)
				}
			}
			warm(t, s, &out)
		})
	}

	for name, test := range map[string]struct {
		body   string
		events int
		bound  int
	}{
		"the smallest events":       {fill(page, `{"event_type":"t","stream_position":1},`, `0]}}`), mostEvents, 512},
		"no events":                 {fill(page, `0,`, `0]}}`), 0, 64},
		"empty objects":             {fill(page, `{},`, `{}]}}`), 0, 64},
		"many keys named data":      {fill(`{"data":0,`, `"d\u0061ta":{},`, `"data":{"events":[],"next_cursor":1}}`), 0, 64},
		"bytes that are no text":    {fill(page+`"`, "\xffa", `"]}}`), 0, 8*size>>10 + 64},
		"an event as large as that": {fill(page+`{"event_type":"t","stream_position":1,"content":"`, `a`, `"}]}}`), 1, 4*size>>10 + 64},
	} {
		t.Run(name, func(t *testing.T) {
			var p protocol.Page
			body := []byte(test.body)
			took := allocated(func() {
				if err := withToken("").Page(body, &p); err != nil {
					t.Error(err)
				}
			})
			if len(p.Events) != test.events {
				t.Errorf("%d events, %d skipped", len(p.Events), p.Skipped)
			}
			if took > test.bound {
				t.Errorf("%d KiB were allocated, more than %d", took, test.bound)
			}
		})
	}
}

// allocated is how many KiB do takes.
func allocated(do func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int((after.TotalAlloc - before.TotalAlloc) >> 10)
}

// warm plays the usual message.
func warm(t *testing.T, s protocol.Session, out *protocol.Out) {
	t.Helper()
	out.Reset()
	if err := s.Message(protocol.Text, []byte(usual), out); err != nil || len(out.Events) != 1 {
		t.Fatal(fmt.Sprintf("%+v", out), err)
	}
}
