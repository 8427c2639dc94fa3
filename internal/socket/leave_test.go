package socket

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLeaveDeliversWhatStillComesUntilThePeersClose(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		wait, began := reading(t, c), time.Now()
		c.Leave(1001, "renewing")
		c.Leave(1000, "again")
		if err := c.Write(Text, []byte("late")); !errors.Is(err, ErrClosing) {
			t.Errorf("Write: %v", err)
		}
		p.send(t, frame(0x81, "a"))
		time.Sleep(time.Second)
		p.send(t, frame(0x89, "p"), frame(0x81, "b"), closeFrame(1001, ""), frame(0x81, "c"))
		time.Sleep(time.Second / 2)
		p.Close()
		messages, ended, err := wait()
		if !slices.Equal(messages, []string{"text a", "text b"}) || endOf(err) != "closed 1001" || ended.Sub(began) != 1500*time.Millisecond {
			t.Errorf("read %q, then %v after %v", messages, err, ended.Sub(began))
		}
		if !c.PeerGone() {
			t.Error("the FIN was not seen")
		}
		if want := []string{"close 1001 renewing"}; !slices.Equal(p.said(), want) {
			t.Errorf("client said %q", p.said())
		}
	})
}

func TestLeaveTakesTwoSecondsAtMost(t *testing.T) {
	for name, test := range map[string]struct {
		speak func(p *peer)
		end   error
	}{
		"silence":        {func(*peer) {}, ErrUnanswered},
		"half a message": {func(p *peer) { p.Write([]byte{0x81, 5, 'h'}) }, ErrUnanswered},
		"messages for ever": {func(p *peer) {
			for err := error(nil); err == nil; time.Sleep(time.Millisecond) {
				_, err = p.Write(frame(0x81, "x"))
			}
		}, ErrUnanswered},
		"Close and no FIN": {func(p *peer) { p.Write(closeFrame(1000, "")) }, &CloseError{}},
		"Close, then bytes for ever": {func(p *peer) {
			p.Write(closeFrame(1000, ""))
			for err := error(nil); err == nil; time.Sleep(time.Millisecond) {
				_, err = p.Write(make([]byte, 1<<16))
			}
		}, &CloseError{}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *Conn, p *peer) {
				var speaker sync.WaitGroup
				wait, began := reading(t, c), time.Now()
				c.Leave(1000, "")
				speaker.Go(func() { test.speak(p) })
				_, ended, err := wait()
				if ended.Sub(began) != closeTime || c.PeerGone() {
					t.Errorf("%v after %v, peer gone: %v", err, ended.Sub(began), c.PeerGone())
				}
				if _, closed := test.end.(*CloseError); closed != errors.As(err, new(*CloseError)) || !closed && !errors.Is(err, test.end) {
					t.Errorf("ended with %v", err)
				}
				c.Close()
				speaker.Wait()
			})
		})
	}
}

func TestLeaveIsNotHeldUpByAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := open(t, Options{})
		wait := reading(t, c)
		var writer sync.WaitGroup
		writer.Go(func() { c.Write(Text, []byte("x")) })
		synctest.Wait()
		began := time.Now()
		c.Leave(1000, "")
		if took := time.Since(began); took != hurryTime {
			t.Errorf("took %v", took)
		}
		if _, ended, err := wait(); !errors.Is(err, os.ErrDeadlineExceeded) || ended.Sub(began) != hurryTime {
			t.Errorf("Read: %v after %v", err, ended.Sub(began))
		}
		writer.Wait()
	})
}

func TestALongReasonIsCutBetweenCharacters(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		c.Leave(1000, strings.Repeat("é", 100))
		synctest.Wait()
		if want := []string{"close 1000 " + strings.Repeat("é", 61)}; !slices.Equal(p.said(), want) {
			t.Errorf("client said %q", p.said())
		}
	})
}

func TestACloseThatNoFINFollowsIsWaitedForTwoSeconds(t *testing.T) {
	for name, sent := range map[string][]byte{
		"closed 1012":   closeFrame(1012, ""),
		"protocol 1002": frame(0x83, ""),
		"too big":       {0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *Conn, p *peer) {
				wait, began := reading(t, c), time.Now()
				p.send(t, sent)
				_, ended, err := wait()
				if endOf(err) != name || ended.Sub(began) != closeTime || c.PeerGone() {
					t.Errorf("%v after %v, peer gone: %v", err, ended.Sub(began), c.PeerGone())
				}
			})
		})
	}
}

func TestAbortEndsEverythingAtOnce(t *testing.T) {
	for name, before := range map[string]func(c *Conn, p *peer){
		"while idle":      func(*Conn, *peer) {},
		"after Leave":     func(c *Conn, p *peer) { c.Leave(1000, "") },
		"in a message":    func(c *Conn, p *peer) { p.Write([]byte{0x81, 9, 'h'}) },
		"after a failure": func(c *Conn, p *peer) { p.Write(closeFrame(1000, "")) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *Conn, p *peer) {
				wait, began := reading(t, c), time.Now()
				before(c, p)
				synctest.Wait()
				var aborts sync.WaitGroup
				for range 3 {
					aborts.Go(c.Abort)
				}
				aborts.Wait()
				_, ended, err := wait()
				if want := name == "after a failure"; errors.Is(err, ErrAborted) == want || ended != began || c.PeerGone() {
					t.Errorf("%v after %v, peer gone: %v", err, ended.Sub(began), c.PeerGone())
				}
				if err := c.Write(Text, nil); err == nil {
					t.Error("Write after Abort worked")
				}
				if !c.LastPong().IsZero() {
					t.Error("a pong was seen")
				}
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}

func TestCloseBeforeTheEndEndsIt(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		wait := reading(t, c)
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, _, err := wait(); !errors.Is(err, net.ErrClosed) || c.PeerGone() {
			t.Errorf("Read: %v", err)
		}
	})
}
