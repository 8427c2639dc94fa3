package socket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// scripted is a connection that answers the request and then brings given bytes, a few at a time, and FIN.
type scripted struct {
	net.Conn // nil: what is not here is not called
	in       []byte
	step     int

	mu       sync.Mutex // pongs are written from elsewhere
	upgraded bool
	out      bytes.Buffer
}

func (c *scripted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.upgraded {
		_, accept, err := readRequest(bufio.NewReader(bytes.NewReader(p)))
		c.in = append([]byte(strings.ReplaceAll(switching, "{accept}", accept)), c.in...)
		c.upgraded = true
		return len(p), err
	}
	return c.out.Write(p)
}

func (c *scripted) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.step)], c.in)
	c.in = c.in[n:]
	return n, nil
}

func (*scripted) Close() error                     { return nil }
func (*scripted) SetDeadline(time.Time) error      { return nil }
func (*scripted) SetReadDeadline(time.Time) error  { return nil }
func (*scripted) SetWriteDeadline(time.Time) error { return nil }

// FuzzRead sends arbitrary bytes after a good handshake.
func FuzzRead(f *testing.F) {
	for _, seed := range [][]byte{
		nil,
		frame(0x81, "hello"),
		frame(0x82, sized(300)),
		bytes.Join(fragments(3, func(int) string { return "é" }), frame(0x89, "ping")),
		append(frame(0x81, "\xff"), frame(0x81, "after")...),
		append(frame(0x8a, "pong"), closeFrame(1012, "restart")...),
		closeFrame(1006, ""),
		{0x82, 127, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 1, 2, 3},
		{0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0},
		{0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		{0x81, 126, 0},
		[]byte("HTTP/1.1 200 OK\r\n\r\n"),
	} {
		f.Add(seed, uint16(1))
		f.Add(seed, uint16(1<<15))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint16) {
		const maxMessage = 10_000
		script := &scripted{in: bytes.Clone(in), step: int(step) + 1}
		c, err := Dial(t.Context(), Options{URL: "ws://feed.example/", DialContext: over(script), MaxMessage: maxMessage})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		bytesRead, messages := 0, 0
		for err == nil {
			var m Message
			if m, err = c.Read(); err != nil {
				break
			}
			messages++
			bytesRead += len(m.Data)
			switch {
			case m.Kind != Text && m.Kind != Binary:
				t.Fatalf("kind %d", m.Kind)
			case m.TooBig && m.Data != nil, len(m.Data) > maxMessage:
				t.Fatalf("a message of %d bytes, too big: %v", len(m.Data), m.TooBig)
			case m.Kind == Text && !utf8.Valid(m.Data):
				t.Fatal("text that is not UTF-8")
			}
		}
		for range 2 {
			if m, again := c.Read(); again != err || m.Data != nil || m.Kind != 0 {
				t.Fatalf("after %v: %v, %v", err, m, again)
			}
		}
		if bytesRead+2*messages > len(in) {
			t.Fatalf("%d messages of %d bytes together out of %d", messages, bytesRead, len(in))
		}
		if limit := 2*len(in) + 2*growStep; cap(c.buf) > limit {
			t.Fatalf("%d bytes taken for %d", cap(c.buf), len(in))
		}
		if !c.PeerGone() {
			t.Fatal("the FIN was not seen")
		}
		// At most one Close, and nothing after it; every frame is whole and masked.
		script.mu.Lock()
		defer script.mu.Unlock()
		br := bufio.NewReader(&script.out)
		for closed := false; ; {
			got, err := readClientFrame(br)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || closed {
				t.Fatalf("client said %v (%v), Close before: %v", got, err, closed)
			}
			closed = got.op == 0x8
		}
	})
}

// FuzzDial sends arbitrary bytes instead of an answer to the handshake: no panic, an error, and nothing secret in it.
func FuzzDial(f *testing.F) {
	for _, seed := range []string{
		"", switching, "HTTP/1.1 101 X\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 503 Busy\r\nRetry-After: 5\r\n\r\nbody",
		"HTTP/1.1 429 X\r\nRetry-After: Sat, 01 Jan 2000 10:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://a:b@c/?hunter2-pass\r\n\r\n", "HTTP/1.1 101 X\r\nSec-WebSocket-Extensions: a;b=\"c\"\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\nyou said hunter2-pass",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		script := &scripted{in: bytes.Clone(answer), step: 1 << 20, upgraded: true}
		c, err := Dial(context.Background(), Options{URL: "ws://u:hunter2-pass@feed.example/", DialContext: over(script)})
		if err == nil || c != nil {
			t.Fatal("an answer without the right accept worked")
		}
		text := err.Error()
		var refusal *HandshakeError
		if errors.As(err, &refusal) {
			text += refusal.Body + refusal.Location
			if len(refusal.Body) > refusalBody || !utf8.ValidString(refusal.Body) || refusal.RetryAfter < 0 || refusal.RetryAfter > maxRetryAfter {
				t.Fatalf("%+v", refusal)
			}
		}
		if strings.Contains(text, "hunter2-pass") {
			t.Fatalf("%q", text)
		}
	})
}
