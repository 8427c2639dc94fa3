package socket

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// endless is a connection that makes a good handshake and then repeats the same frames for ever, at once.
type endless struct {
	net.Conn // nil: what is not here is not called
	frames   []byte
	at       int
	answer   []byte
}

func (c *endless) Write(p []byte) (int, error) {
	if c.answer == nil && bytes.HasPrefix(p, []byte("GET ")) {
		_, accept, err := readRequest(bufio.NewReader(bytes.NewReader(p)))
		c.answer = []byte(strings.ReplaceAll(switching, "{accept}", accept))
		return len(p), err
	}
	return len(p), nil
}

func (c *endless) Read(p []byte) (int, error) {
	if len(c.answer) > 0 {
		n := copy(p, c.answer)
		c.answer = c.answer[n:]
		return n, nil
	}
	n := 0
	for n < len(p) {
		m := copy(p[n:], c.frames[c.at:])
		n += m
		c.at = (c.at + m) % len(c.frames)
	}
	return n, nil
}

func (*endless) Close() error                     { return nil }
func (*endless) SetDeadline(time.Time) error      { return nil }
func (*endless) SetReadDeadline(time.Time) error  { return nil }
func (*endless) SetWriteDeadline(time.Time) error { return nil }

func openEndless(t testing.TB, frames ...[]byte) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), Options{URL: "ws://feed.example/", DialContext: over(&endless{frames: bytes.Join(frames, nil)})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestNothingIsAllocatedForAMessage(t *testing.T) {
	small, large := frame(0x81, sized(309)), frame(0x82, sized(readBuffer*2))
	c := openEndless(t, small, small, large, fragments(2, func(int) string { return "x" })[0], frame(0x8a, "pong"), frame(0x80, "y"))
	payload := []byte(sized(309))
	for range 100 { // until the buffers have their size
		if _, err := c.Read(); err != nil {
			t.Fatal(err)
		}
		c.Write(Text, payload)
	}
	if n := testing.AllocsPerRun(1000, func() { c.Read() }); n != 0 {
		t.Errorf("%v allocations for each Read", n)
	}
	if n := testing.AllocsPerRun(1000, func() { c.Write(Text, payload) }); n != 0 {
		t.Errorf("%v allocations for each Write", n)
	}
}

func BenchmarkRead(b *testing.B) {
	c := openEndless(b, frame(0x81, sized(309)))
	b.SetBytes(309)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Read(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadPlain is the floor: a header and a payload, without limits, checks or times.
func BenchmarkReadPlain(b *testing.B) {
	br := bufio.NewReaderSize(&endless{frames: frame(0x81, sized(309))}, readBuffer)
	payload := make([]byte, 309)
	b.SetBytes(309)
	b.ReportAllocs()
	for b.Loop() {
		h, err := ws.ReadHeader(br)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(br, payload[:h.Length]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	c := openEndless(b, frame(0x81, "x"))
	payload := []byte(sized(309))
	b.SetBytes(309)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Write(Text, payload); err != nil {
			b.Fatal(err)
		}
	}
}
