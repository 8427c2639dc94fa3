package socket

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// exchange is one case: what the server sends, and what must come of it.
type exchange struct {
	name     string
	send     [][]byte
	messages []string // as Message.String
	said     []string // what the client sends, as clientFrame.String
	end      string   // as endOf; "": the case ends well, with a Close that the test adds
}

func endOf(err error) string {
	var closed *CloseError
	var broken *ProtocolError
	switch {
	case errors.As(err, &closed):
		return strings.TrimSpace(fmt.Sprintf("closed %d %s", closed.Code, closed.Reason))
	case errors.As(err, &broken):
		return fmt.Sprintf("protocol %d", broken.Code)
	case errors.Is(err, ErrTooBig):
		return "too big"
	case errors.Is(err, ErrNoClose):
		return "no close"
	}
	return err.Error()
}

const testMaxMessage = 100_000

func run(t *testing.T, cases []exchange) {
	for _, e := range cases {
		whole := bytes.Join(e.send, nil)
		chops := map[string][][]byte{"whole": {whole}, "by frame": e.send}
		step := 1
		if len(whole) > 4096 {
			step = 997 // else the case takes a second
		}
		chops["by byte"] = slices.Collect(slices.Chunk(whole, step))
		for how, chunks := range chops {
			t.Run(e.name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { e.run(t, chunks) })
			})
		}
	}
}

func (e exchange) run(t *testing.T, chunks [][]byte) {
	c, p := open(t, Options{MaxMessage: testMaxMessage})
	p.listen(true)
	said, end := e.said, e.end
	go func() {
		for _, chunk := range chunks {
			if _, err := p.Write(chunk); err != nil {
				return
			}
		}
		if e.end == "" {
			time.Sleep(time.Second) // for a pong that is under way
			p.Write(closeFrame(1000, "bye"))
		}
	}()
	if end == "" {
		end, said = "closed 1000 bye", append(slices.Clone(said), "close 1000")
	}
	messages, err := readAll(t, c)
	if !slices.Equal(messages, e.messages) {
		t.Errorf("read  %q\nwant  %q", messages, e.messages)
	}
	if got := endOf(err); got != end {
		t.Errorf("ended with %q, want %q", got, end)
	}
	if !c.PeerGone() {
		t.Error("the peer's FIN was not seen")
	}
	if err := c.Write(Text, []byte("late")); err == nil {
		t.Error("Write after the end worked")
	}
	<-p.done
	if got := p.said(); !slices.Equal(got, said) {
		t.Errorf("client said %q\nwant        %q", got, said)
	}
}

// sized is a payload that shows when its parts are mixed up.
func sized(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i*7/3%26)
	}
	return string(b)
}

func show(k Kind, payload string) string { return Message{Kind: k, Data: []byte(payload)}.String() }

func TestFraming(t *testing.T) {
	var cases []exchange
	for _, n := range []int{0, 1, 125, 126, 127, 128, readBuffer - 4, readBuffer, readBuffer + 1, 65535, 65536, testMaxMessage} {
		s := sized(n)
		cases = append(cases,
			exchange{name: fmt.Sprintf("text of %d", n), send: [][]byte{frame(0x81, s)}, messages: []string{show(Text, s)}},
			exchange{name: fmt.Sprintf("binary of %d, twice", n), send: [][]byte{frame(0x82, s), frame(0x82, s)},
				messages: []string{show(Binary, s), show(Binary, s)}})
	}
	declared := func(n uint64) []byte {
		return []byte{0x82, 127, byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	cases = append(cases, []exchange{
		{name: "16-bit length that needs 7", send: [][]byte{append([]byte{0x81, 126, 0, 5}, "hello"...)}, messages: []string{"text hello"}},
		{name: "64-bit length that needs 16", send: [][]byte{append([]byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 200}, sized(200)...)},
			messages: []string{"text " + sized(200)}},
		{name: "64-bit length with its highest bit", send: [][]byte{declared(1 << 63)}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "2^62 bytes declared", send: [][]byte{declared(1 << 62)}, end: "too big", said: []string{"close 1009"}},
		{name: "one byte above 16 MiB declared", send: [][]byte{declared(ceiling + 1)}, end: "too big", said: []string{"close 1009"}},
		{name: "longer than MaxMessage", send: [][]byte{frame(0x81, sized(testMaxMessage+1)), frame(0x82, "next")},
			messages: []string{"text too big", "binary next"}},
		{name: "masked frame", send: [][]byte{{0x81, 0x85, 1, 2, 3, 4, 'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1}},
			end: "protocol 1002", said: []string{"close 1002"}},
		{name: "masked empty frame", send: [][]byte{{0x81, 0x80, 1, 2, 3, 4}}, end: "protocol 1002", said: []string{"close 1002"}},
	}...)
	run(t, cases)
}

func TestControl(t *testing.T) {
	long := sized(125)
	run(t, []exchange{
		{name: "ping without payload", send: [][]byte{frame(0x89, "")}, said: []string{"pong "}},
		{name: "ping with text", send: [][]byte{frame(0x89, "hello")}, said: []string{"pong hello"}},
		{name: "ping that is not UTF-8", send: [][]byte{frame(0x89, "\x00\xff\xfe\xfd")}, said: []string{"pong \x00\xff\xfe\xfd"}},
		{name: "ping of 125", send: [][]byte{frame(0x89, long)}, said: []string{"pong " + long}},
		{name: "ping of 126", send: [][]byte{frame(0x89, sized(126))}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "pong of 126", send: [][]byte{frame(0x8a, sized(126))}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "fragmented ping", send: [][]byte{frame(0x09, "a"), frame(0x80, "b")}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "fragmented pong", send: [][]byte{frame(0x0a, "a"), frame(0x80, "b")}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "pong that nobody asked for", send: [][]byte{frame(0x8a, "x"), frame(0x81, "ok")}, messages: []string{"text ok"}},
		{name: "message and ping", send: [][]byte{frame(0x81, "a"), frame(0x89, "p"), frame(0x81, "b")},
			messages: []string{"text a", "text b"}, said: []string{"pong p"}},
	})
}

func TestReservedBitsAndOpcodes(t *testing.T) {
	var cases []exchange
	bad := func(name string, f []byte) {
		cases = append(cases, exchange{name: name, send: [][]byte{frame(0x81, "good"), f, frame(0x81, "after")},
			messages: []string{"text good"}, end: "protocol 1002", said: []string{"close 1002"}})
	}
	for rsv := byte(1); rsv <= 7; rsv++ {
		bad(fmt.Sprintf("rsv %d on text", rsv), frame(0x81|rsv<<4, "x"))
		bad(fmt.Sprintf("rsv %d on ping", rsv), frame(0x89|rsv<<4, "x"))
		bad(fmt.Sprintf("rsv %d on close", rsv), frame(0x88|rsv<<4, "\x03\xe8"))
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		bad(fmt.Sprintf("opcode %d, empty", op), frame(0x80|op, ""))
		bad(fmt.Sprintf("opcode %d, with payload", op), frame(0x80|op, "payload"))
	}
	run(t, cases)
}

func fragments(n int, part func(i int) string) [][]byte {
	frames := [][]byte{frame(0x01, part(0))}
	for i := 1; i < n-1; i++ {
		frames = append(frames, frame(0x00, part(i)))
	}
	return append(frames, frame(0x80, part(n-1)))
}

func TestFragments(t *testing.T) {
	digit := func(i int) string { return fmt.Sprint(i % 10) }
	var thousand string
	for i := range 1000 {
		thousand += digit(i)
	}
	refused := func(name string, messages []string, send ...[]byte) exchange {
		return exchange{name: name, send: send, messages: messages, end: "protocol 1002", said: []string{"close 1002"}}
	}
	run(t, []exchange{
		{name: "two", send: fragments(2, digit), messages: []string{"text 01"}},
		{name: "three", send: fragments(3, digit), messages: []string{"text 012"}},
		{name: "thousand", send: fragments(1000, digit), messages: []string{show(Text, thousand)}},
		{name: "large ones", send: fragments(3, func(int) string { return sized(33_000) }),
			messages: []string{show(Text, strings.Repeat(sized(33_000), 3))}},
		{name: "first empty", send: [][]byte{frame(0x02, ""), frame(0x80, "b")}, messages: []string{"binary b"}},
		{name: "middle empty", send: [][]byte{frame(0x01, "a"), frame(0x00, ""), frame(0x80, "c")}, messages: []string{"text ac"}},
		{name: "last empty", send: [][]byte{frame(0x01, "a"), frame(0x80, "")}, messages: []string{"text a"}},
		{name: "all empty", send: [][]byte{frame(0x01, ""), frame(0x00, ""), frame(0x80, "")}, messages: []string{"text "}},
		{name: "then a whole message", send: append(fragments(2, digit), frame(0x81, "next")), messages: []string{"text 01", "text next"}},
		{name: "ping in the middle", send: [][]byte{frame(0x01, "a"), frame(0x89, "p"), frame(0x80, "b")},
			messages: []string{"text ab"}, said: []string{"pong p"}},
		{name: "pong in the middle", send: [][]byte{frame(0x01, "a"), frame(0x8a, "p"), frame(0x80, "b")}, messages: []string{"text ab"}},
		{name: "close in the middle", send: [][]byte{frame(0x01, "a"), closeFrame(1000, ""), frame(0x80, "b")},
			end: "closed 1000", said: []string{"close 1000"}},
		refused("text inside text", nil, frame(0x01, "a"), frame(0x81, "b")),
		refused("binary inside text", nil, frame(0x01, "a"), frame(0x02, "b")),
		refused("continuation of nothing", nil, frame(0x80, "a")),
		refused("continuation of nothing, unfinished", nil, frame(0x00, "a"), frame(0x80, "b")),
		refused("continuation after a finished message", []string{"text 01"}, append(fragments(2, digit), frame(0x80, "x"))...),
		{name: "together longer than MaxMessage", send: append(fragments(101, func(int) string { return sized(1000) }), frame(0x81, "next")),
			messages: []string{"text too big", "text next"}},
		{name: "together above 16 MiB", send: [][]byte{frame(0x02, "a"), {0x80, 127, 0, 0, 0, 0, 1, 0, 0, 0}},
			end: "too big", said: []string{"close 1009"}},
		{name: "together exactly MaxMessage", send: fragments(100, func(int) string { return sized(1000) }),
			messages: []string{show(Text, strings.Repeat(sized(1000), 100))}},
	})
}

func TestUTF8(t *testing.T) {
	var cases []exchange
	for _, s := range []string{"é", "€", "𝄞", "\u0000", "\U0010ffff", "\ufffe", "κόσμε"} {
		first, last := s[:len(s)-1], s[len(s)-1:]
		cases = append(cases,
			exchange{name: fmt.Sprintf("%+q", s), send: [][]byte{frame(0x81, s)}, messages: []string{"text " + s}},
			exchange{name: fmt.Sprintf("%+q split", s), send: [][]byte{frame(0x01, first), frame(0x80, last)}, messages: []string{"text " + s}})
	}
	for name, s := range map[string]string{
		"overlong": "\xc0\x80", "overlong slash": "\xe0\x80\xaf", "surrogate": "\xed\xa0\x80", "above U+10FFFF": "\xf4\x90\x80\x80",
		"cut off": "\xce\xba\xe1\xbd", "0xff": "\xff", "continuation alone": "\x80", "five bytes": "\xf8\x88\x80\x80\x80",
	} {
		cases = append(cases,
			exchange{name: name, send: [][]byte{frame(0x81, "ok"), frame(0x81, s), frame(0x81, "after")}, messages: []string{"text ok"},
				end: "protocol 1007", said: []string{"close 1007"}},
			exchange{name: name + ", fragmented", send: [][]byte{frame(0x01, s[:1]), frame(0x00, s[1:]), frame(0x80, "")},
				end: "protocol 1007", said: []string{"close 1007"}},
			exchange{name: name + " in binary", send: [][]byte{frame(0x82, s)}, messages: []string{"binary " + s}},
			exchange{name: name + " in a close reason", send: [][]byte{closeFrame(1000, s)}, end: "protocol 1007", said: []string{"close 1007"}})
	}
	run(t, cases)
}

func TestClose(t *testing.T) {
	cases := []exchange{
		{name: "empty", send: [][]byte{frame(0x88, "")}, end: "closed 1005", said: []string{"close"}},
		{name: "one byte", send: [][]byte{frame(0x88, "\x03")}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "reason of 123", send: [][]byte{closeFrame(1000, sized(123))}, end: "closed 1000 " + sized(123), said: []string{"close 1000"}},
		{name: "reason of 124", send: [][]byte{closeFrame(1000, sized(124))}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "twice", send: [][]byte{closeFrame(1001, ""), closeFrame(1002, "")}, end: "closed 1001", said: []string{"close 1001"}},
		{name: "data and pings after it", send: [][]byte{frame(0x81, "a"), closeFrame(1000, ""), frame(0x81, "b"), frame(0x89, "p"), {0xff}},
			messages: []string{"text a"}, end: "closed 1000", said: []string{"close 1000"}},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, exchange{name: fmt.Sprint(code), send: [][]byte{closeFrame(code, "why")},
			end: fmt.Sprintf("closed %d why", code), said: []string{fmt.Sprintf("close %d", code)}})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, exchange{name: fmt.Sprint(code), send: [][]byte{closeFrame(code, "")},
			end: "protocol 1002", said: []string{"close 1002"}})
	}
	run(t, cases)
}

func TestFINWithoutCloseIsNoClose(t *testing.T) {
	for name, sent := range map[string][]byte{
		"between messages": frame(0x81, "a"),
		"in a header":      append(frame(0x81, "a"), 0x81, 126, 1),
		"in a payload":     append(frame(0x81, "a"), 0x81, 5, 'h', 'e'),
		"between fragments": append(frame(0x81, "a"),
			frame(0x01, sized(20_000))...),
		"in a large payload": append(frame(0x81, "a"), frame(0x82, sized(50_000))[:40_000]...),
		"in a skipped one":   append(frame(0x81, "a"), frame(0x82, sized(testMaxMessage+1))[:40_000]...),
		"in a ping":          append(frame(0x81, "a"), 0x89, 5, 'h'),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := open(t, Options{MaxMessage: testMaxMessage})
				go func() {
					p.Write(sent)
					p.Close()
				}()
				messages, err := readAll(t, c)
				if !slices.Equal(messages, []string{"text a"}) || !errors.Is(err, ErrNoClose) || !c.PeerGone() {
					t.Errorf("read %q, then %v, peer gone: %v", messages, err, c.PeerGone())
				}
			})
		})
	}
}

func TestFramesThatCameWithThe101AreRead(t *testing.T) {
	text := frame(0x81, "hello")
	for name, early := range map[string][]byte{
		"a frame": text, "half a frame": text[:3], "half a header": text[:1], "two and a half": slices.Concat(text, text, text[:4]),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := open(t, Options{}, early)
				all := slices.Concat(bytes.Repeat(text, 4), closeFrame(1000, ""))
				p.listen(true)
				go p.Write(all[len(early):])
				messages, err := readAll(t, c)
				if want := slices.Repeat([]string{"text hello"}, 4); !slices.Equal(messages, want) || endOf(err) != "closed 1000" {
					t.Errorf("read %q, then %v", messages, err)
				}
			})
		})
	}
}
