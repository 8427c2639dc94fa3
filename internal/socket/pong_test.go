package socket

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPingFloodIsAnsweredTenTimesASecond(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		wait := reading(t, c)
		var flood [][]byte
		for i := range 10_000 {
			flood = append(flood, frame(0x89, fmt.Sprint(i)))
		}
		for chunk := range slices.Chunk(flood, 100) { // a hundred every 20 ms: two seconds
			p.send(t, chunk...)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		p.Close()
		wait()
		pongs := p.got()
		if len(pongs) < 20 || len(pongs) > 21 {
			t.Errorf("%d pongs", len(pongs))
		}
		if last := pongs[len(pongs)-1].String(); last != "pong 9999" {
			t.Errorf("the last is %q", last)
		}
		for i := range pongs[1:] {
			if gap := pongs[i+1].at.Sub(pongs[i].at); gap < pongEvery {
				t.Errorf("%v between two pongs", gap)
			}
		}
	})
}

func TestAPingThatComesWhileAPongIsWrittenIsAnsweredToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := open(t, Options{})
		wait := reading(t, c)
		for _, payload := range []string{"1", "2", "3"} {
			p.send(t, frame(0x89, payload))
			synctest.Wait()
		}
		p.listen(false)
		time.Sleep(time.Second)
		p.Close()
		wait()
		if want := []string{"pong 1", "pong 3"}; !slices.Equal(p.said(), want) {
			t.Errorf("client said %q", p.said())
		}
	})
}

func TestAPongInTheInstantOfTheDialIsSeen(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		wait := reading(t, c)
		p.send(t, frame(0x8a, ""))
		p.Close()
		if wait(); c.LastPong().IsZero() {
			t.Error("it was not")
		}
	})
}

func TestReadingDoesNotWaitForAPongToBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := open(t, Options{}) // p reads nothing
		wait := reading(t, c)
		p.send(t, frame(0x89, "ping"), frame(0x81, "a"))
		synctest.Wait()
		began := time.Now()
		p.send(t, frame(0x89, "ping"), frame(0x81, "b"))
		if time.Since(began) != 0 {
			t.Error("reading stopped")
		}
		messages, ended, err := wait() // the pong's own deadline ends it
		if !slices.Equal(messages, []string{"text a", "text b"}) || !errors.Is(err, os.ErrDeadlineExceeded) || ended.Sub(began) != writeTime {
			t.Errorf("read %q, then %v after %v", messages, err, ended.Sub(began))
		}
	})
}

func TestNoPongIsDueAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		wait := reading(t, c)
		p.send(t, frame(0x89, "1"))
		synctest.Wait()
		p.send(t, frame(0x89, "2"))
		synctest.Wait()
		c.Abort()
		wait()
		if c.pong.timer.Stop() {
			t.Error("the timer was still set")
		}
		if want := []string{"pong 1"}; !slices.Equal(p.said(), want) {
			t.Errorf("client said %q", p.said())
		}
	})
}

func TestLastReadAndLastPongTellWhenBytesCame(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		began := time.Now()
		check := func(read, pong time.Duration) {
			t.Helper()
			synctest.Wait()
			if got := c.LastRead().Sub(began); got != read {
				t.Errorf("LastRead is %v, want %v", got, read)
			}
			if pong < 0 && !c.LastPong().IsZero() || pong >= 0 && c.LastPong().Sub(began) != pong {
				t.Errorf("LastPong is %v, want %v", c.LastPong(), pong)
			}
		}
		received := make(chan time.Duration, 9)
		var reader sync.WaitGroup
		reader.Go(func() {
			for m, err := c.Read(); err == nil; m, err = c.Read() {
				received <- m.Received.Sub(began)
			}
		})
		check(0, -1)
		time.Sleep(time.Second)
		check(0, -1)
		p.send(t, frame(0x81, "hello")[:3])
		check(time.Second, -1)
		time.Sleep(time.Second)
		p.send(t, frame(0x81, "hello")[3:])
		check(2*time.Second, -1)
		time.Sleep(time.Second)
		p.send(t, frame(0x8a, "x"))
		check(3*time.Second, 3*time.Second)
		time.Sleep(time.Second)
		p.send(t, frame(0x81, "a"), frame(0x81, "b"))
		check(4*time.Second, 3*time.Second)
		p.Close()
		reader.Wait()
		close(received)
		var got []time.Duration
		for d := range received {
			got = append(got, d)
		}
		if want := []time.Duration{2 * time.Second, 4 * time.Second, 4 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("received at %v, want %v", got, want)
		}
	})
}
