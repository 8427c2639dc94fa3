package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
)

// connect returns both ends of a connection.
func connect(t *testing.T, n *Network, l net.Listener) (client, server *Conn) {
	t.Helper()
	c, err := n.DialContext(t.Context(), "tcp", "pubsub.test:443")
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatalf("accepting: %v", err)
	}
	return c.(*Conn), s.(*Conn)
}

func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

func wantReadError(t *testing.T, c net.Conn, want error) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, want) {
		t.Fatalf("read %d bytes, error %v; want %v", n, err, want)
	}
}

func TestNetworkCarriesEveryByteInOrderUnderBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		a, b := connect(t, n, n.Listen())
		rng := rand.New(rand.NewPCG(1, 1))
		sent := make([]byte, 5*window)
		for i := range sent {
			sent[i] = byte(rng.Uint32())
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for rest := sent; len(rest) > 0; {
				k := min(len(rest), 1+rng.IntN(2*window))
				if n, err := a.Write(rest[:k]); n != k || err != nil {
					t.Errorf("wrote %d of %d: %v", n, k, err)
				}
				rest = rest[k:]
			}
			a.Close()
		})
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("read %d of %d bytes, error %v", len(got), len(sent), err)
		}
		wg.Wait()
	})
}

func TestWriterWaitsWhileTheWindowIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		a, b := connect(t, n, n.Listen())
		if _, err := a.Write(make([]byte, window)); err != nil {
			t.Fatal(err)
		}
		written := make(chan time.Time, 1)
		go func() {
			a.Write([]byte("x"))
			written <- time.Now()
		}()
		time.Sleep(time.Minute)
		b.Read(make([]byte, 10))
		if at := <-written; !at.Equal(time.Now()) {
			t.Errorf("written %v before there was room", time.Since(at))
		}
	})
}

func TestFINIsReadAfterTheBytesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		a, b := connect(t, n, n.Listen())
		a.Write([]byte("last words"))
		a.Close()
		wantRead(t, b, "last words")
		wantReadError(t, b, io.EOF)
		wantReadError(t, b, io.EOF)
		wantReadError(t, a, net.ErrClosed)
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write on a closed end: %v", err)
		}
		if _, err := b.Write([]byte("x")); err != nil {
			t.Errorf("the first write after the peer's close: %v", err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the second write after the peer's close: %v", err)
		}
	})
}

func TestCloseWriteLeavesTheOtherDirectionOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		a, b := connect(t, n, n.Listen())
		a.CloseWrite()
		wantReadError(t, b, io.EOF)
		b.Write([]byte("still here"))
		wantRead(t, a, "still here")
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after CloseWrite: %v", err)
		}
	})
}

func TestResetIsAnOpErrorWithECONNRESET(t *testing.T) {
	for name, reset := range map[string]func(*Conn){
		"Reset":     func(c *Conn) { c.Reset() },
		"SetLinger": func(c *Conn) { c.SetLinger(0); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := NewNetwork()
				a, b := connect(t, n, n.Listen())
				read := make(chan error)
				go func() {
					_, err := b.Read(make([]byte, 1))
					read <- err
				}()
				synctest.Wait()
				reset(a)
				err := <-read
				var op *net.OpError
				if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" {
					t.Errorf("a read that waited got %v", err)
				}
				if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("write: %v", err)
				}
			})
		})
	}
}

func TestDeadlinesEndWaitsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		a, b := connect(t, n, n.Listen())
		start := time.Now()
		b.SetReadDeadline(start.Add(3 * time.Second))
		wantReadError(t, b, os.ErrDeadlineExceeded)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("the read ended after %v", d)
		}
		a.Write([]byte("x"))
		wantReadError(t, b, os.ErrDeadlineExceeded) // bytes do not help once it has passed
		b.SetReadDeadline(time.Time{})
		wantRead(t, b, "x")

		a.SetWriteDeadline(time.Now().Add(time.Second))
		written, err := a.Write(make([]byte, window+1))
		var netErr net.Error
		if written != window || !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("wrote %d: %v", written, err)
		}

		// A deadline that is set while a read waits ends it.
		go func() {
			time.Sleep(time.Second)
			a.SetDeadline(time.Now())
		}()
		wantReadError(t, a, os.ErrDeadlineExceeded)
		wantReadError(t, a, os.ErrDeadlineExceeded)
	})
}

func TestCloseEndsReadsAndWritesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		a, b := connect(t, n, n.Listen())
		b.ShutWindow(true)
		failed := make(chan error, 2)
		go func() {
			_, err := a.Read(make([]byte, 1))
			failed <- err
		}()
		go func() {
			_, err := a.Write([]byte("x"))
			failed <- err
		}()
		synctest.Wait()
		a.Close()
		for range 2 {
			if err := <-failed; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestCutConnectionSwallowsBytesFINAndRST(t *testing.T) {
	for name, end := range map[string]func(*Conn) error{"FIN": (*Conn).Close, "RST": (*Conn).Reset} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := NewNetwork()
				a, b := connect(t, n, n.Listen())
				a.Write([]byte("before"))
				a.Cut()
				if k, err := a.Write([]byte("lost")); k != 4 || err != nil {
					t.Errorf("wrote %d: %v", k, err)
				}
				end(a)
				wantRead(t, b, "before")
				b.SetDeadline(time.Now().Add(time.Hour))
				wantReadError(t, b, os.ErrDeadlineExceeded)
				b.SetDeadline(time.Now().Add(time.Hour))
				if k, err := b.Write(make([]byte, 2*window)); k != window || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("wrote %d: %v", k, err)
				}
			})
		})
	}
}

func TestShutWindowHoldsWritesUntilItOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		a, b := connect(t, n, n.Listen())
		b.ShutWindow(true)
		go a.Write([]byte("x"))
		b.SetReadDeadline(time.Now().Add(time.Minute))
		wantReadError(t, b, os.ErrDeadlineExceeded)
		b.SetReadDeadline(time.Time{})
		b.ShutWindow(false)
		wantRead(t, b, "x")
	})
}

func TestDialsAreRefusedOrHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		dial := func(ctx context.Context) error {
			_, err := n.DialContext(ctx, "tcp", "pubsub.test:443")
			var op *net.OpError
			if err != nil && !errors.As(err, &op) {
				t.Errorf("%v is no *net.OpError", err)
			}
			return err
		}
		if err := dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("without a listener: %v", err)
		}
		l := n.Listen()
		n.SetRefuse(true)
		if err := dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		n.SetRefuse(false)
		n.SetHang(true)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		err := dial(ctx)
		var netErr net.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("hung: %v", err)
		}
		if d := time.Since(start); d != 15*time.Second {
			t.Errorf("hung for %v", d)
		}
		n.SetHang(false)
		client, _ := connect(t, n, l)
		if got := n.Conns(); len(got) != 1 || got[0] != client {
			t.Errorf("open client ends: %v", got)
		}
		client.Close()
		if got := n.Conns(); len(got) != 0 {
			t.Errorf("open client ends after Close: %v", got)
		}
		if got := n.Dials(); len(got) != 4 || !got[2].Equal(start) {
			t.Errorf("dials: %v", got)
		}
	})
}

func TestClosedListenerResetsWhoWaitsAndCanBeReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		l := n.Listen()
		accepted := make(chan error)
		waiting, err := n.DialContext(t.Context(), "tcp", "pubsub.test:443")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		wantReadError(t, waiting, syscall.ECONNRESET)
		go func() {
			_, err := l.Accept()
			accepted <- err
		}()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		connect(t, n, n.Listen())
	})
}
