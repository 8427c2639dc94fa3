package sink

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

var benchBody = strings.Repeat("x", 309)

func BenchmarkPublishIntoTheBuffer(b *testing.B) {
	c := NewCore(Options{Buffer: 16 << 20})
	f := c.Feed("f")
	e := event(f, benchBody)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := publish(f, e); err != nil {
			b.Fatal(err)
		}
		if n++; n%500 == 0 { // the publisher's part
			for c.buffer.next() != nil {
			}
		}
	}
}

func BenchmarkTakeIntoTheBuffer(b *testing.B) {
	c := NewCore(Options{Buffer: 16 << 20})
	f := c.Feed("f")
	k, e := takerOf(f), event(f, benchBody)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if !k.Take(e) {
			b.Fatal("it is not taken")
		}
		if n++; n%500 == 0 { // the publisher's part
			for c.buffer.next() != nil {
			}
		}
	}
}

func BenchmarkTakeThroughTheCore(b *testing.B) {
	s := startServer(b, nil)
	c := startCore(b, Options{URL: s.ClientURL(), Buffer: 4 << 20})
	c.wantConnected(b, true)
	k, e := takerOf(c.feed), event(c.feed, benchBody)
	b.ReportAllocs()
	for b.Loop() {
		for !k.Take(e) {
			time.Sleep(100 * time.Microsecond)
		}
	}
	if err := c.stop(); err != nil {
		b.Fatal(err)
	}
}

// The next two differ by what the buffer costs: one goroutine publishes, the server is in the same process.

func BenchmarkPublishThroughTheCore(b *testing.B) { benchCore(b, HeadersMinimal) }

func BenchmarkPublishThroughTheClientAlone(b *testing.B) {
	s := startServer(b, nil)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	body := []byte(benchBody)
	b.ReportAllocs()
	for b.Loop() {
		if err := nc.Publish("feed.f.t", body); err != nil {
			b.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPublishWithFullHeaders(b *testing.B) { benchCore(b, HeadersFull) }

func benchCore(b *testing.B, headers Headers) {
	s := startServer(b, nil)
	c := startCore(b, Options{URL: s.ClientURL(), Buffer: 4 << 20, Headers: headers})
	c.wantConnected(b, true)
	e := event(c.feed, benchBody)
	b.ReportAllocs()
	for b.Loop() {
		for publish(c.feed, e) != nil {
			time.Sleep(100 * time.Microsecond)
		}
	}
	if err := c.stop(); err != nil {
		b.Fatal(err)
	}
}
