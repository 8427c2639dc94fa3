package twitch

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
	"feedmux/internal/sim/upstream"
)

// serveLoopback serves on a real socket until stop is called or the test ends.
func serveLoopback(t testing.TB, o PubSubOptions) (s *PubSub, address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = NewPubSub(o)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, l.Addr().String(), stop
}

func joinLoopback(t testing.TB, address string, topics ...string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	c, _, err := shake(t, nc)
	if err != nil {
		t.Fatal(err)
	}
	for len(topics) > 0 {
		k := min(20, len(topics))
		c.ask("LISTEN", "a", "", topics[:k]...)
		topics = topics[k:]
	}
	return c
}

func TestSaturationOverRealSocketsLosesNothing(t *testing.T) {
	s, address, stop := serveLoopback(t, PubSubOptions{Options: upstream.Options{Saturate: true, SendBuffer: 64 << 10}})
	c := joinLoopback(t, address, append(topicNames("video-playback-by-id", 25), topicNames("hype-train-events-v1", 25)...)...)
	last := map[string]uint64{}
	total := 0
	for total < 5_000 {
		op, payload, err := c.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		if op != 1 || bytes.Contains(payload, []byte("RESPONSE")) {
			continue
		}
		for _, e := range events(t, []received{{op: op, payload: string(payload)}}) {
			last[e.topic]++
			total++
			if e.n != last[e.topic] {
				t.Fatalf("%s: event %d has number %d", e.topic, last[e.topic], e.n)
			}
		}
	}
	if len(last) != 50 {
		t.Errorf("events of %d topics", len(last))
	}
	s.Reset(1)
	if _, err := io.Copy(io.Discard, c.br); err == nil {
		t.Error("a RST was read as a FIN")
	} else if !isReset(err) {
		t.Errorf("after a RST: %v", err)
	}
	stop() // what was read is on record once the write that it was in has returned
	for topic, n := range last {
		if sent := s.Sent(topic); len(sent) != 1 || sent[0].From != 1 || sent[0].To < n || sent[0].To > s.Happened(topic) {
			t.Errorf("%s: read %d, sent %v, happened %d", topic, n, sent, s.Happened(topic))
		}
	}
}

func TestFINOverARealSocketIsNoReset(t *testing.T) {
	s, address, _ := serveLoopback(t, PubSubOptions{TopicsPerListen: 1})
	c := joinLoopback(t, address, "raid.1", "raid.2") // one too many
	if _, err := io.Copy(io.Discard, c.br); err != nil {
		t.Errorf("got %v, want a FIN", err)
	}
	if s.Open() != 0 {
		t.Errorf("%d open", s.Open())
	}
}

func FuzzClientBytes(f *testing.F) {
	f.Add([]byte("\x81\x8f\x00\x00\x00\x00{\"type\":\"PING\"}"))
	f.Add([]byte("\x81\xb8\x00\x00\x00\x00" + `{"type":"LISTEN","nonce":"a","data":{"topics":["raid"]}}`))
	f.Add([]byte("\x01\x81\x00\x00\x00\x00{\x80\x81\x00\x00\x00\x00}"))
	f.Add([]byte("\x88\x82\x00\x00\x00\x00\x03\xe8"))
	f.Add([]byte("\x89\x00\x8a\x80\x00\x00\x00\x00"))
	f.Add([]byte("\x82\xfe\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			s, n := start(t, PubSubOptions{})
			c, _, err := shake(t, dial(t, n))
			if err != nil {
				t.Fatal(err)
			}
			c.nc.Write(b) // fails where the bytes before ended the connection
			c.nc.(*sim.Conn).CloseWrite()
			synctest.Wait()
			if s.Open() != 0 {
				t.Error("a FIN did not end the reader")
			}
			frames, size := 0, 0
			for {
				_, payload, err := c.readFrame()
				if err != nil {
					break
				}
				frames, size = frames+1, size+len(payload)
			}
			if topics := s.Conns()[0].MaxTopics; topics > 50 || size > 256+2*len(b)+60*frames || frames > 1+len(b)/2 {
				t.Errorf("%d bytes made %d topics and %d frames of answers with %d bytes", len(b), topics, frames, size)
			}
		})
	})
}

// BenchmarkSaturate measures both ends together: ten clients read as fast as they can and look at nothing.
func BenchmarkSaturate(b *testing.B) {
	s, address, _ := serveLoopback(b, PubSubOptions{Options: upstream.Options{Saturate: true, WSPing: -1}, Idle: -1})
	var readers sync.WaitGroup
	var bytesRead atomic.Int64
	defer readers.Wait()
	for i := range 10 {
		c := joinLoopback(b, address, topicNames("video-playback-by-id."+string(rune('a'+i)), 50)...)
		c.nc.SetDeadline(time.Time{})
		defer c.nc.Close()
		readers.Go(func() {
			buf := make([]byte, 64<<10)
			for {
				n, err := c.nc.Read(buf)
				bytesRead.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	sent := func() (n uint64) {
		for _, rec := range s.Conns() {
			n += rec.Events
		}
		return n
	}
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for sent() == 0 {
		time.Sleep(time.Millisecond)
	}
	before, used, read := sent(), cpu(), bytesRead.Load()
	began := time.Now()
	for sent()-before < uint64(b.N) {
		time.Sleep(time.Millisecond)
	}
	n := float64(sent() - before)
	b.ReportMetric(n/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(float64(cpu()-used)/n, "cpu-ns/event")
	b.ReportMetric(float64(bytesRead.Load()-read)/n, "bytes/event")
}

// BenchmarkRenumber is what saturation costs for each event, beside the kernel.
func BenchmarkRenumber(b *testing.B) {
	s := NewPubSub(PubSubOptions{})
	f := flood{rounds: 8}
	for _, name := range topicNames("video-playback-by-id", 50) {
		f.topics = append(f.topics, s.topicLocked(name))
		f.base = append(f.base, 1_000_000)
	}
	f.build(time.Now(), realEnvelope)
	b.ReportAllocs()
	for i := 0; i < b.N; i += len(f.spots) {
		for k := range f.base {
			f.base[k] += 8
		}
		if !f.renumber() {
			b.Fatal("grew")
		}
	}
}
