package socket

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
)

// Whether a quiet peer is dead is for the caller to say: the socket gives it LastRead and LastPong. What the socket
// ends by itself is a message that does not become complete, and a write that is not taken.
func TestGroupHLiveness(t *testing.T) {
	message := frame(0x81, "a")
	every := func(pause time.Duration, frames ...[]byte) func(*peer) {
		return func(p *peer) {
			for i := 0; ; i++ {
				if _, err := p.Write(frames[i%len(frames)]); err != nil {
					return
				}
				time.Sleep(pause)
			}
		}
	}
	dripping := func(pause time.Duration, frames ...[]byte) func(*peer) {
		return every(pause, slices.Collect(slices.Chunk(slices.Concat(frames...), 1))...)
	}
	nothing := func(*peer) {}
	shut := func(p *peer) { p.Conn.(*sim.Conn).ShutWindow(true) }
	timedOut := func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
	stalled := func(err error) bool { return errors.Is(err, ErrStalled) }
	pinging := func(c *Conn) {
		for c.Ping() == nil {
			time.Sleep(10 * time.Second)
		}
	}
	for name, test := range map[string]struct {
		peer     func(*peer) // runs beside the reader
		client   func(*Conn) // as well; nil: nothing
		messages int         // that are read within ten minutes
		ended    time.Duration
		end      func(error) bool // nil: it does not end
		lastRead time.Duration    // before the end
		pong     bool             // one was seen in the last ten seconds
	}{
		"neither speaks":             {peer: nothing, lastRead: 10 * time.Minute},
		"speaks but never pongs":     {peer: every(time.Second, message), client: pinging, messages: 600},
		"pongs but no data":          {peer: every(time.Second, frame(0x8a, "")), client: pinging, pong: true},
		"pongs with another payload": {peer: every(time.Second, frame(0x8a, "other")), client: pinging, pong: true},
		"pings but no data":          {peer: every(time.Second, frame(0x89, "x"))},
		"zero window":                {peer: shut, client: pinging, ended: writeTime, end: timedOut, lastRead: writeTime},
		"zero window for nine seconds": {peer: func(p *peer) {
			shut(p)
			time.Sleep(9 * time.Second)
			p.Conn.(*sim.Conn).ShutWindow(false)
		}, client: pinging, lastRead: 10 * time.Minute},
		"zero window, yet it speaks": {peer: func(p *peer) { shut(p); every(900*time.Millisecond, message)(p) }, client: pinging,
			messages: 12, ended: writeTime, end: timedOut, lastRead: time.Second},
		"zero window, yet it pings": {peer: func(p *peer) { shut(p); every(time.Second, frame(0x89, "x"), message)(p) },
			messages: 5, ended: writeTime, end: timedOut, lastRead: time.Second},
		"drip in a payload": {peer: dripping(20*time.Second, frame(0x81, sized(120))), ended: messageTime, end: stalled, lastRead: 10 * time.Second},
		"drip in a header":  {peer: dripping(20*time.Second, []byte{0x82, 127}, make([]byte, 8)), ended: messageTime, end: stalled, lastRead: 10 * time.Second},
		"drip in a ping":    {peer: dripping(20*time.Second, frame(0x89, sized(120))), ended: messageTime, end: stalled, lastRead: 10 * time.Second},
		"drip in a Close":   {peer: dripping(20*time.Second, closeFrame(1000, "why")), ended: messageTime, end: stalled, lastRead: 10 * time.Second},
		"drip of fragments": {peer: every(20*time.Second, frame(0x01, "a"), frame(0x00, "b"), frame(0x00, "c")), ended: messageTime, end: stalled,
			lastRead: 10 * time.Second},
		"fragments without a pause": {peer: func(p *peer) {
			p.Write(frame(0x01, ""))
			every(time.Millisecond, frame(0x00, ""))(p)
		}, ended: messageTime, end: stalled, lastRead: time.Millisecond},
		"messages in two parts": {peer: every(20*time.Second, message[:1], message[1:]), messages: 15, lastRead: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := pair(t)
				c, p := openOver(t, Options{}, ours, theirs)
				var others sync.WaitGroup
				began := time.Now()
				wait := reading(t, c)
				others.Go(func() { test.peer(p) })
				synctest.Wait()
				if test.client != nil {
					others.Go(func() { test.client(c) })
				}
				time.Sleep(10*time.Minute - time.Nanosecond)
				lastRead, lastPong, now := c.LastRead(), c.LastPong(), time.Now()
				c.Abort()
				messages, ended, err := wait()
				p.Close()
				others.Wait()
				if test.end == nil {
					test.ended, test.end = now.Sub(began), func(err error) bool { return errors.Is(err, ErrAborted) }
				}
				if ended.Sub(began) != test.ended || !test.end(err) {
					t.Errorf("ended after %v with %v", ended.Sub(began), err)
				}
				if len(messages) != test.messages {
					t.Errorf("%d messages, want %d", len(messages), test.messages)
				}
				if quiet := ended.Sub(lastRead); quiet > max(test.lastRead, time.Second) || quiet < test.lastRead-time.Second {
					t.Errorf("LastRead is %v before the end, want %v", quiet, test.lastRead)
				}
				if seen := !lastPong.IsZero() && now.Sub(lastPong) <= 10*time.Second; seen != test.pong {
					t.Errorf("a pong was seen: %v", seen)
				}
			})
		})
	}
}

func TestGroupHAcceptsAndNeverSpeaks(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := pair(t)
			defer theirs.Close()
			began := time.Now()
			_, err := Dial(t.Context(), Options{URL: scheme + "://feed.example/", DialContext: over(ours)})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != defaultTimeout {
				t.Errorf("%s: %v after %v", scheme, err, time.Since(began))
			}
		})
	}
}

func TestGroupHAPeerThatNeverReadsIsResetOnceItsWindowIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := pair(t)
		c, _ := openOver(t, Options{}, ours, theirs)
		wait, began := reading(t, c), time.Now()
		var err error
		taken := 0
		for payload := []byte(sized(1000)); err == nil && taken < 1000; taken++ {
			err = c.Write(Text, payload)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || taken < 100 || time.Since(began) != writeTime {
			t.Errorf("%d writes, then %v after %v", taken, err, time.Since(began))
		}
		if _, _, err := wait(); !errors.Is(err, os.ErrDeadlineExceeded) || c.PeerGone() {
			t.Errorf("Read: %v, peer gone: %v", err, c.PeerGone())
		}
		if _, err := io.Copy(io.Discard, theirs); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer saw %v", err)
		}
	})
}
