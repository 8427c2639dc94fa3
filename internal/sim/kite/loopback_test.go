package kite

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
	"feedmux/internal/sim/upstream"
)

// serveLoopback serves on a real socket until the test ends.
func serveLoopback(t testing.TB, o Options) (p *Ticker, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = NewTicker(o)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return p, l.Addr().String()
}

func joinLoopback(t testing.TB, address string, m Mode, tokens ...uint32) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	c, status, body, err := shake(t, nc, goodQuery)
	if err != nil || status != 101 {
		t.Fatalf("%d: %s: %v", status, body, err)
	}
	c.subscribe(tokens...)
	c.mode(m, tokens...)
	return c
}

// third returns the i-th 3,000 of 9,000 tokens.
func third(i int) []uint32 { return tokens(2, 9000)[i*3000 : (i+1)*3000] }

func TestTicksOverRealSocketsAreWhole(t *testing.T) {
	p, address := serveLoopback(t, Options{Options: upstream.Options{Rate: 100_000}})
	var readers sync.WaitGroup
	var clients []*rawClient
	for i := range 3 {
		clients = append(clients, joinLoopback(t, address, ModeFull, third(i)...))
	}
	for _, c := range clients {
		readers.Go(func() {
			last := map[uint32]uint32{}
			for ticks := 0; ticks < 10_000; {
				_, payload, err := c.readFrame()
				if err != nil {
					t.Error(err)
					return
				}
				if len(payload) == 1 {
					continue
				}
				packets, ok := unpack(payload)
				if !ok {
					t.Errorf("a frame that does not add up, of %d bytes", len(payload))
					return
				}
				for _, b := range packets {
					before, known := last[number(b, 0)]
					last[number(b, 0)] = number(b, 4)
					if known && number(b, 4) != before+1 {
						t.Errorf("%d: volume %d after %d", number(b, 0), number(b, 4), before)
					}
					if known {
						ticks++
					}
				}
			}
		})
	}
	readers.Wait()
	if p.Reset(1); !isReset(drain(clients[0])) {
		t.Error("a RST was read as something else")
	}
	if p.FIN(2); drain(clients[1]) != nil {
		t.Error("a FIN was read as something else")
	}
	wantRules(t, p)
}

func drain(c *rawClient) error {
	_, err := io.Copy(io.Discard, c.br)
	return err
}

func FuzzClientBytes(f *testing.F) {
	for _, text := range []string{
		`{"a":"subscribe","v":[408065,884737]}`, `{"a":"mode","v":["full",[408065]]}`, `{"a":"unsubscribe","v":[408065]}`,
		`{"a":"mode","v":[]}`, `{"a":"subscribe","v":["408065",null,-1,1e3]}`, `[{}]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 60_000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			p, n := start(t, Options{InstrumentsPerConnection: 5})
			c := join(t, n, goodQuery)
			c.send(1, b)
			c.send(1, b)
			synctest.Wait()
			c.nc.(*sim.Conn).CloseWrite()
			if end := c.end(); !isEOF(end) || p.Open() != 0 {
				t.Errorf("ended with %v", end)
			}
			if rec := p.Conns()[0]; rec.MaxInstruments > 5 || len(c.take()) > 3 {
				t.Errorf("%+v", rec)
			}
		})
	})
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRate measures what 20,000 full ticks a second over three real sockets cost, with clients in the same process
// that read and look at nothing.
func BenchmarkRate(b *testing.B) {
	p, address := serveLoopback(b, Options{Options: upstream.Options{Rate: 20_000}})
	var readers sync.WaitGroup
	defer readers.Wait()
	for i := range 3 {
		c := joinLoopback(b, address, ModeFull, third(i)...)
		c.nc.SetDeadline(time.Time{})
		defer c.nc.Close()
		readers.Go(func() {
			io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c.nc}, make([]byte, 64<<10))
		})
	}
	sent := func() (n uint64) {
		p.Mu.Lock()
		defer p.Mu.Unlock()
		for _, c := range p.door.open {
			n += c.rec.Ticks
		}
		return n
	}
	for len(p.Subscribed()) < 9000 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // the snapshots go out
	before, used, began := sent(), cpu(b), time.Now()
	for sent()-before < uint64(b.N) {
		time.Sleep(20 * time.Millisecond)
	}
	n := float64(sent() - before)
	b.ReportMetric(n/time.Since(began).Seconds(), "ticks/s")
	b.ReportMetric(float64(cpu(b)-used)/n, "cpu-ns/tick")
	b.ReportMetric(100*(cpu(b)-used).Seconds()/time.Since(began).Seconds(), "%core")
}

// BenchmarkBatch is what a full tick costs the simulator itself, in batches of 200.
func BenchmarkBatch(b *testing.B) {
	p, address := serveLoopback(b, still)
	c := joinLoopback(b, address, ModeFull, third(0)...)
	c.nc.SetDeadline(time.Time{})
	for len(p.Subscribed()) < 3000 {
		time.Sleep(time.Millisecond)
	}
	p.Mute(1) // what is queued is dropped: the kernel is not measured
	b.ReportAllocs()
	for b.Loop() {
		p.Mu.Lock()
		now := time.Now()
		for range 200 {
			p.tickLocked(now)
		}
		p.flushLocked()
		p.Mu.Unlock()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200, "ns/tick")
}
