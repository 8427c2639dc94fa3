package socket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// flood is a connection that answers a request and goes on, without allocating anything itself: what a test then finds
// allocated is the client's.
type flood struct {
	net.Conn        // nil: what is not here is not called
	answer   []byte // to the request; {accept} is filled in
	once     []byte // comes first after it
	again    []byte // comes after that, as often as it fits in left; nil: zeros
	left     int    // bytes that follow once; then FIN
	at       int    // in again
}

func (c *flood) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("GET ")) {
		return len(p), nil
	}
	_, accept, err := readRequest(bufio.NewReader(bytes.NewReader(p)))
	c.answer = bytes.ReplaceAll(c.answer, []byte("{accept}"), []byte(accept))
	return len(p), err
}

func (c *flood) Read(p []byte) (n int, err error) {
	for _, first := range []*[]byte{&c.answer, &c.once} {
		if len(*first) > 0 {
			n := copy(p, *first)
			*first = (*first)[n:]
			return n, nil
		}
	}
	p = p[:min(len(p), c.left)]
	c.left -= len(p)
	if len(p) == 0 {
		return 0, io.EOF
	}
	if c.again == nil {
		clear(p)
		return len(p), nil
	}
	for n < len(p) {
		m := copy(p[n:], c.again[c.at:])
		c.at = (c.at + m) % len(c.again)
		n += m
	}
	return n, nil
}

func (*flood) Close() error                     { return nil }
func (*flood) SetDeadline(time.Time) error      { return nil }
func (*flood) SetReadDeadline(time.Time) error  { return nil }
func (*flood) SetWriteDeadline(time.Time) error { return nil }

// allocated is how many bytes f allocates, those that are given back included.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

func declared(first byte, n uint64) []byte {
	return []byte{first, 127, byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// Each case says how much memory it may take, all in all, however soon it is given back.
func TestMemoryIsBoundedWhateverAServerAnswersToTheHandshake(t *testing.T) {
	const endless = 128 << 20
	refused := func(err error) bool { return errors.As(err, new(*HandshakeError)) }
	tooLong := func(err error) bool { return errors.Is(err, errHandshakeTooLong) }
	for name, test := range map[string]struct {
		flood flood
		end   func(error) bool
		bound int // KiB
	}{
		"endless status line":           {flood{answer: []byte("HTTP/1.1 101 "), left: endless}, tooLong, 256},
		"endless header":                {flood{answer: []byte("HTTP/1.1 101 X\r\nX: "), left: endless}, tooLong, 256},
		"endless headers":               {flood{answer: []byte("HTTP/1.1 101 X\r\n"), again: []byte("A: b\r\n"), left: endless}, tooLong, 256},
		"endless header of a refusal":   {flood{answer: []byte("HTTP/1.1 503 X\r\nX: "), again: []byte("x"), left: endless}, refused, 640},
		"endless headers of a refusal":  {flood{answer: []byte("HTTP/1.1 503 X\r\n"), again: []byte("A: b\r\n"), left: endless}, refused, 1024},
		"endless body":                  {flood{answer: []byte("HTTP/1.1 503 X\r\n\r\n"), again: []byte("body "), left: endless}, refused, 256},
		"endless body, chunked":         {flood{answer: []byte("HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n"), again: []byte("1\r\nx\r\n"), left: endless}, refused, 256},
		"endless length of a chunk":     {flood{answer: []byte("HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n"), again: []byte("0"), left: endless}, refused, 128},
		"a body of 2^62 bytes declared": {flood{answer: []byte("HTTP/1.1 503 X\r\nContent-Length: 4611686018427387904\r\n\r\n"), left: 9}, refused, 128},
		"a long Location":               {flood{answer: []byte("HTTP/1.1 302 X\r\nLocation: /" + strings.Repeat("%41", 20_000) + "\r\n\r\n")}, refused, 1024},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			took := allocated(func() {
				_, err = Dial(context.Background(), Options{URL: "ws://feed.example/?token=hunter2-pass", DialContext: over(&test.flood)})
			})
			if !test.end(err) {
				t.Errorf("%T: %v", err, err)
			}
			if took > test.bound<<10 {
				t.Errorf("%d KiB were allocated, more than %d", took>>10, test.bound)
			}
		})
	}
}

func TestMemoryIsBoundedWhateverAServerSends(t *testing.T) {
	closedTooBig := func(err error) bool { return errors.Is(err, ErrTooBig) }
	noClose := func(err error) bool { return errors.Is(err, ErrNoClose) }
	violated := func(err error) bool { return errors.As(err, new(*ProtocolError)) }
	text := frame(0x81, "x")
	for name, test := range map[string]struct {
		flood     flood
		max       int // Options.MaxMessage
		delivered int
		skipped   int
		end       func(error) bool
		bound     int // KiB
	}{
		"2^62 bytes declared":          {flood{once: declared(0x82, 1<<62), left: 17 << 20}, 0, 0, 0, closedTooBig, 128},
		"16 MiB declared, few come":    {flood{once: declared(0x82, ceiling), left: 100}, ceiling, 0, 0, noClose, 128},
		"16 MiB declared, half comes":  {flood{once: declared(0x82, ceiling), left: ceiling / 2}, ceiling, 0, 0, noClose, 56 << 10},
		"16 MiB":                       {flood{once: declared(0x82, ceiling), left: ceiling}, ceiling, 1, 0, noClose, 112 << 10},
		"more than 16 MiB":             {flood{once: declared(0x82, ceiling+1), left: 17 << 20}, ceiling, 0, 0, closedTooBig, 128},
		"longer than MaxMessage":       {flood{once: declared(0x82, ceiling), left: ceiling}, testMaxMessage, 0, 1, noClose, 128},
		"a hundred of those, and text": {flood{again: slices.Concat(frame(0x82, sized(testMaxMessage+1)), text), left: 100 * (testMaxMessage + 1 + 10 + len(text))}, testMaxMessage, 100, 100, noClose, 128},
		"fragments for ever":           {flood{once: frame(0x02, "x"), again: frame(0x00, sized(200)), left: 18 << 20}, ceiling, 0, 0, closedTooBig, 112 << 10},
		"large fragments for ever":     {flood{once: frame(0x02, "x"), again: frame(0x00, sized(60_000)), left: 18 << 20}, ceiling, 0, 0, closedTooBig, 112 << 10},
		"fragments beyond MaxMessage":  {flood{once: frame(0x02, "x"), again: frame(0x00, "x"), left: 1 << 20}, testMaxMessage, 0, 0, noClose, 1024},
		"empty fragments for ever":     {flood{once: frame(0x01, ""), again: frame(0x00, ""), left: 100_000}, 0, 0, 0, noClose, 128},
		"pings":                        {flood{again: frame(0x89, sized(125)), left: 10_000 * 127}, 0, 0, 0, noClose, 128},
		"pings between fragments":      {flood{once: frame(0x01, "x"), again: frame(0x89, sized(125)), left: 10_000 * 127}, 0, 0, 0, noClose, 128},
		"pongs":                        {flood{again: frame(0x8a, sized(125)), left: 10_000 * 127}, 0, 0, 0, noClose, 128},
		"empty messages":               {flood{again: frame(0x81, ""), left: 20_000}, 0, 10_000, 0, noClose, 128},
		"bytes after a bad frame":      {flood{once: frame(0x83, ""), left: 17 << 20}, 0, 0, 0, violated, 128},
		"bytes after a Close":          {flood{once: closeFrame(1000, ""), left: 17 << 20}, 0, 0, 0, as[*CloseError], 128},
		"a Close of 2^62 bytes":        {flood{once: declared(0x88, 1<<62), left: 17 << 20}, 0, 0, 0, violated, 128},
	} {
		t.Run(name, func(t *testing.T) {
			test.flood.answer = []byte(switching)
			c, err := Dial(t.Context(), Options{URL: "ws://feed.example/", DialContext: over(&test.flood), MaxMessage: test.max})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			delivered, skipped := 0, 0
			took := allocated(func() {
				for {
					var m Message
					switch m, err = c.Read(); {
					case err != nil:
						return
					case m.TooBig:
						skipped++
					default:
						delivered++
					}
				}
			})
			if delivered != test.delivered || skipped != test.skipped || !test.end(err) {
				t.Errorf("%d messages, %d skipped, then %T: %v", delivered, skipped, err, err)
			}
			if took > test.bound<<10 {
				t.Errorf("%d KiB were allocated, more than %d", took>>10, test.bound)
			}
		})
	}
}
