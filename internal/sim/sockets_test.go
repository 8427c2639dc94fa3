package sim

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneWayOfAConnectionCanBeABlackHole(t *testing.T) {
	for name, cut := range map[string]func(from, to *Conn){
		"CutOut": func(from, _ *Conn) { from.CutOut() },
		"CutIn":  func(_, to *Conn) { to.CutIn() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := NewNetwork()
				a, b := connect(t, n, n.Listen())
				a.Write([]byte("before"))
				cut(a, b)
				if k, err := a.Write([]byte("lost")); k != 4 || err != nil {
					t.Errorf("wrote %d: %v", k, err)
				}
				b.Write([]byte("other way"))
				wantRead(t, a, "other way")
				wantRead(t, b, "before")
				a.Close()
				b.SetDeadline(time.Now().Add(time.Hour))
				wantReadError(t, b, os.ErrDeadlineExceeded)
				b.SetDeadline(time.Now().Add(time.Hour))
				// What answers these to a closed end is lost as well.
				if k, err := b.Write(make([]byte, 2*window)); k != window || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("wrote %d: %v", k, err)
				}
			})
		})
	}
}

func TestFINPassesTheWayThatIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		a, b := connect(t, n, n.Listen())
		a.CutIn()
		a.Write([]byte("still here"))
		a.Close()
		wantRead(t, b, "still here")
		wantReadError(t, b, io.EOF)
	})
}

func TestEveryDialIsWrittenDownWithItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, began := NewNetwork(), time.Now()
		dial := func(wait time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			_, err := n.DialContext(ctx, "tcp", "pubsub.test:443")
			return err
		}
		if err := dial(time.Minute); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("without a listener: %v", err)
		}
		l := n.Listen()
		clientFirst, server1 := connect(t, n, l)
		serverFirst, server2 := connect(t, n, l)
		cut, server3 := connect(t, n, l)
		n.SetHang(true)
		go dial(2 * time.Second)
		synctest.Wait()
		if n.Open() != 4 || n.MaxOpen() != 4 {
			t.Errorf("%d open, %d at most; one of them is being dialled", n.Open(), n.MaxOpen())
		}
		time.Sleep(time.Second)
		clientFirst.CloseWrite()
		server2.Reset()
		cut.CutIn()
		server3.Close()
		if n.Open() != 2 {
			t.Errorf("%d open: the one that is being dialled, and one whose FIN was lost", n.Open())
		}
		time.Sleep(2 * time.Second)
		clientFirst.Close()
		server1.CloseWrite()
		serverFirst.Close()
		cut.Reset()
		if n.Open() != 0 || n.MaxOpen() != 4 {
			t.Errorf("%d open, %d at most", n.Open(), n.MaxOpen())
		}

		never := time.Duration(-1)
		want := [][4]time.Duration{ // seconds: dialled, connected, ended by the client, by the server
			{0, never, 0, never},
			{0, 0, 1, 3},
			{0, 0, 3, 1},
			{0, 0, 3, never},
			{0, never, 2, never},
		}
		sockets := n.Sockets()
		if len(sockets) != len(want) {
			t.Fatalf("%d sockets", len(sockets))
		}
		for i, s := range sockets {
			for k, at := range []time.Time{s.Dialled, s.Connected, s.ClientEnd, s.ServerEnd} {
				got := never
				if !at.IsZero() {
					got = at.Sub(began) / time.Second
				}
				if got != want[i][k] {
					t.Errorf("socket %d, time %d: %d s, want %d s", i, k, got, want[i][k])
				}
			}
		}
	})
}
