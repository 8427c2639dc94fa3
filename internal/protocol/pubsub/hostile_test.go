package pubsub

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

// A frame takes at most twice its size beside itself, or four times under the race detector, however it is made; a
// nesting costs up to 10,000 levels more. Each case says how much it may take, all in all.
func TestMemoryIsBoundedWhateverAFrameHolds(t *testing.T) {
	const size = 256 << 10
	fill := func(head, again, tail string) string {
		return head + strings.Repeat(again, (size-len(head)-len(tail))/len(again)) + tail
	}
	distinct := func(head, tail string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len() < size-len(tail); i++ {
			fmt.Fprintf(&b, `"%x":0,`, i)
		}
		return b.String() + tail
	}
	const message = `{"type":"MESSAGE","data":{"topic":"a",`
	for name, test := range map[string]struct {
		msg    string
		events int
		skip   string
		bound  int // KiB
	}{
		"arrays in arrays":                {fill("", "[", ""), 0, skipMalformed, 512},
		"objects in objects":              {fill("", `{"a":`, ""), 0, skipMalformed, 512},
		"data in data":                    {fill(`{"type":"MESSAGE","data":`, `{"data":`, ""), 0, skipMalformed, 512},
		"arrays as the body":              {fill(message+`"message":`, "[", ""), 0, skipMalformed, 512},
		"arrays in the body":              {fill(message+`"message":"`, "[", `"}}`), 1, "", 2*size>>10 + 64},
		"arrays that are closed":          {fill(`{"type":"PONG","x":[`, "[],", "0]}"), 0, "", 2*size>>10 + 64},
		"beside it, as deep as JSON goes": {message + `"message":"b"},"x":` + strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + "}", 1, "", 768},
		"beside it, deeper":               {message + `"message":"b"},"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}", 0, skipMalformed, 512},
		"deep list of topics":             {fill(`{"type":"AUTH_REVOKED","data":{"topics":`, "[", ""), 0, skipMalformed, 512},
		"long list of topics":             {fill(`{"type":"AUTH_REVOKED","data":{"topics":[`, `"a",`, `"b"]}}`), 0, skipMalformed, 4*size>>10 + 256},
		"many keys":                       {distinct(`{"type":"PONG",`, `"x":0}`), 0, "", 4*size>>10 + 64},
		"many keys in data":               {distinct(message, `"message":"b"}}`), 1, "", 4*size>>10 + 64},
		"many keys, one escaped":          {distinct(message+`"\u0061":0,`, `"message":"b"}}`), 1, "", 4*size>>10 + 64},
		"one key, many times":             {fill(message, `"\u0061":0,`, `"message":"b"}}`), 1, "", 4*size>>10 + 64},
		"escapes":                         {fill(message+`"message":"`, `\u0000`, `"}}`), 1, "", 2*size>>10 + 64},
		"long topic":                      {fill(`{"type":"MESSAGE","data":{"topic":"`, "é", `","message":"b"}}`), 1, "", 64},
		"long nonce":                      {fill(`{"type":"RESPONSE","nonce":"`, "é", `","error":""}`), 0, skipUnknownNonce, 4*size>>10 + 64},
		"long error":                      {fill(`{"type":"RESPONSE","nonce":"x","error":"`, "é", `"}`), 0, skipUnknownNonce, 4*size>>10 + 64},
		"long type":                       {fill(`{"type":"`, "é", `"}`), 0, skipUnknownType, 4*size>>10 + 64},
		"white space":                     {fill("", " ", ""), 0, skipMalformed, 64},
		"quotes":                          {fill(`{"x":`, `"`, ""), 0, skipMalformed, 64},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, New(Options{}))
			var out protocol.Out
			if err := s.Message(protocol.Text, []byte(usual), &out); err != nil || len(out.Events) != 1 {
				t.Fatal(err, out)
			}
			msg := []byte(test.msg)
			for range 2 { // what one leaves behind does not add up
				out.Reset()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := s.Message(protocol.Text, msg, &out)
				runtime.ReadMemStats(&after)
				if err != nil || len(out.Events) != test.events || skipped(&out) != test.skip {
					t.Errorf("%v, %d events, skipped as %q", err, len(out.Events), skipped(&out))
				}
				if took := (after.TotalAlloc - before.TotalAlloc) >> 10; took > uint64(test.bound) {
					t.Errorf("%d KiB were allocated, more than %d", took, test.bound)
				}
			}
			out.Reset()
			if err := s.Message(protocol.Text, []byte(usual), &out); err != nil || len(out.Events) != 1 {
				t.Errorf("the frame after it: %v, %+v", err, out)
			}
		})
	}
}

func TestARevocationOfMoreTopicsThanOneAddressCanHaveIsMalformed(t *testing.T) {
	for n, skip := range map[int]string{1: "", mostRevoked: "", mostRevoked + 1: skipMalformed, 0: skipMalformed} {
		s := open(t, New(Options{}))
		var out protocol.Out
		list := strings.TrimSuffix(strings.Repeat(`"raid.1", `, n), ", ")
		if err := s.Message(protocol.Text, []byte(`{"type":"AUTH_REVOKED","data":{"topics": [ `+list+` ] }}`), &out); err != nil || skipped(&out) != skip {
			t.Errorf("%d topics: %v, skipped as %q", n, err, skipped(&out))
		}
		if skip == "" && (len(out.Settled) != 1 || len(out.Settled[0].Topics) != n) {
			t.Errorf("%d topics: %+v", n, out.Settled)
		}
	}
}
