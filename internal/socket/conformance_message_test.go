package socket

import (
	"fmt"
	"strings"
	"testing"
)

func fragments(n int, part func(i int) string) [][]byte {
	frames := [][]byte{frame(0x01, part(0))}
	for i := 1; i < n-1; i++ {
		frames = append(frames, frame(0x00, part(i)))
	}
	return append(frames, frame(0x80, part(n-1)))
}

func TestGroupDFragmentation(t *testing.T) {
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

func TestGroupEUTF8(t *testing.T) {
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

func TestGroupFClose(t *testing.T) {
	cases := []exchange{
		{name: "empty", send: [][]byte{frame(0x88, "")}, end: "closed 1005", said: []string{"close"}},
		{name: "one byte", send: [][]byte{frame(0x88, "\x03")}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "reason of 123", send: [][]byte{closeFrame(1000, sized(123))}, end: "closed 1000 " + sized(123), said: []string{"close 1000"}},
		{name: "reason of 124", send: [][]byte{closeFrame(1000, sized(124))}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "and FIN", send: [][]byte{frame(0x81, "a"), closeFrame(1001, "")}, then: saysFIN, messages: []string{"text a"}, end: "closed 1001", said: []string{"close 1001"}},
		{name: "and RST", send: [][]byte{frame(0x81, "a"), closeFrame(1001, "")}, then: saysRST, messages: []string{"text a"}, end: "closed 1001"},
		{name: "and no FIN", send: [][]byte{frame(0x81, "a"), closeFrame(1001, "")}, then: saysNothing, messages: []string{"text a"},
			end: "closed 1001", said: []string{"close 1001"}},
		{name: "wrong, and no FIN", send: [][]byte{closeFrame(1005, "")}, then: saysNothing, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "none but RST", send: [][]byte{frame(0x81, "a")}, then: saysRST, messages: []string{"text a"}, end: "reset"},
		{name: "none but RST in a message", send: [][]byte{frame(0x81, "a"), frame(0x81, "b")[:2]}, then: saysRST, messages: []string{"text a"}, end: "reset"},
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
	for name, last := range map[string][]byte{
		"between messages":   {},
		"in a header":        {0x81, 126, 1},
		"in a payload":       {0x81, 5, 'h', 'e'},
		"between fragments":  frame(0x01, sized(20_000)),
		"in a large payload": frame(0x82, sized(50_000))[:40_000],
		"in a skipped one":   frame(0x82, sized(testMaxMessage+1))[:40_000],
		"in a ping":          {0x89, 5, 'h'},
	} {
		cases = append(cases, exchange{name: "none but FIN " + name, send: [][]byte{frame(0x81, "a"), last}, then: saysFIN,
			messages: []string{"text a"}, end: "no close"})
	}
	run(t, cases)
}
