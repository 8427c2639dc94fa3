package socket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWriteSendsOneMaskedFrameAndLeavesThePayloadAlone(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		var want []string
		for _, n := range []int{0, 1, 15, 16, 17, 125, 126, 65535, 65536, 200_000} {
			payload := []byte(sized(n))
			if err := c.Write(Text, payload); err != nil {
				t.Fatal(err)
			}
			if err := c.Write(Binary, payload); err != nil {
				t.Fatal(err)
			}
			if string(payload) != sized(n) {
				t.Error("the payload was changed")
			}
			want = append(want, "text "+sized(n), "binary "+sized(n))
		}
		if err := c.Ping(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !slices.Equal(p.said(), append(want, "ping ")) {
			t.Error("the peer got something else")
		}
		masks := map[[4]byte]bool{}
		for _, f := range p.got() {
			masks[f.mask] = true
		}
		if len(masks) != len(want)+1 {
			t.Errorf("%d masks for %d frames", len(masks), len(want)+1)
		}
	})
}

func TestWritersTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		var writers sync.WaitGroup
		for i := range 8 {
			writers.Go(func() {
				for j := range 50 {
					if err := c.Write(Text, fmt.Appendf(nil, "%d:%d:%s", i, j, sized(j*7))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		synctest.Wait()
		next := map[string]int{}
		for _, f := range p.got() {
			parts := strings.SplitN(f.payload, ":", 3)
			if parts[1] != fmt.Sprint(next[parts[0]]) || parts[2] != sized(next[parts[0]]*7) {
				t.Fatalf("writer %s: %s came for %d", parts[0], parts[1], next[parts[0]])
			}
			next[parts[0]]++
		}
		if len(next) != 8 {
			t.Errorf("%d writers", len(next))
		}
	})
}

// counting counts writes to the socket.
type counting struct {
	net.Conn
	writes int
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

func TestAFrameIsOneWriteToTheSocket(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		socket := &counting{Conn: c.wire.Conn}
		c.wire.Conn = socket
		for i := range 3 {
			c.Write(Text, make([]byte, i*40_000))
			if socket.writes != i+1 {
				t.Fatalf("%d writes for %d frames", socket.writes, i+1)
			}
		}
	})
}

func TestAPeerThatDoesNotReadIsResetWhenAWriteIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := open(t, Options{})
		wait := reading(t, c)
		began := time.Now()
		var writers sync.WaitGroup
		for range 3 { // one writes, two wait for their turn
			writers.Go(func() {
				err := c.Write(Text, []byte("x"))
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != writeTime {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		}
		writers.Wait()
		if _, ended, err := wait(); !errors.Is(err, os.ErrDeadlineExceeded) || ended.Sub(began) != writeTime {
			t.Errorf("Read: %v after %v", err, ended.Sub(began))
		}
		if c.PeerGone() {
			t.Error("PeerGone, but the peer was there")
		}
	})
}

func TestAFailedWriteLeavesTheReaderTimeToFindTheReason(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		broken := &brokenWrites{Conn: c.wire.Conn}
		c.wire.Conn = broken
		wait := reading(t, c)
		if err := c.Write(Text, []byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Fatal(err)
		}
		p.send(t, frame(0x81, "a"), closeFrame(4003, "auth"))
		p.Close()
		if messages, _, err := wait(); !slices.Equal(messages, []string{"text a"}) || endOf(err) != "closed 4003 auth" {
			t.Errorf("read %q, then %v", messages, err)
		}
	})
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		c.wire.Conn = &brokenWrites{Conn: c.wire.Conn}
		wait, began := reading(t, c), time.Now()
		c.Ping()
		if _, ended, err := wait(); !errors.Is(err, io.ErrClosedPipe) || ended.Sub(began) != closeTime {
			t.Errorf("%v after %v", err, ended.Sub(began))
		}
	})
}

type brokenWrites struct{ net.Conn }

func (brokenWrites) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAbortReleasesAWriterThatIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := open(t, Options{})
		var writers sync.WaitGroup
		began := time.Now()
		for range 2 { // one writes, one waits for its turn
			writers.Go(func() {
				if err := c.Write(Text, []byte("x")); !errors.Is(err, ErrAborted) || time.Since(began) != time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		}
		time.Sleep(time.Second)
		c.Abort()
		writers.Wait()
	})
}

func TestTheEndReleasesWhoWaitsToWrite(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		c.turn <- struct{}{} // somebody's write takes its ten seconds
		var writer sync.WaitGroup
		writer.Go(func() {
			if err := c.Write(Text, []byte("x")); !errors.Is(err, ErrNoClose) {
				t.Error(err)
			}
		})
		p.Close()
		readAll(t, c)
		writer.Wait()
	})
}
