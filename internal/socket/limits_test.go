package socket

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAMessageMustBeCompleteThirtySecondsAfterItsFirstByte(t *testing.T) {
	// Each of these drips for ever, and no single byte is late.
	for name, drip := range map[string]func(i int) []byte{
		"in a payload": func(i int) []byte { return append([]byte{0x81, 120}, sized(120)...)[i : i+1] },
		"in a header":  func(i int) []byte { return []byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 9}[i : i+1] },
		"large":        func(i int) []byte { return append([]byte{0x82, 126, 255, 255}, sized(120)...)[i : i+1] },
		"skipped": func(i int) []byte {
			return append([]byte{0x82, 127, 0, 0, 0, 0, 0, 255, 255, 255}, sized(120)...)[i : i+1]
		},
		"in a ping":     func(i int) []byte { return append([]byte{0x89, 120}, sized(120)...)[i : i+1] },
		"fragments":     func(i int) []byte { return frame([]byte{0x01, 0x00}[min(i, 1)], "x") },
		"empty ones":    func(i int) []byte { return frame([]byte{0x01, 0x00}[min(i, 1)], "") },
		"pings between": func(i int) []byte { return frame([]byte{0x01, 0x8a}[min(i, 1)], "") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *Conn, p *peer) {
				wait := reading(t, c)
				time.Sleep(time.Hour) // nothing came yet: there is no limit
				p.send(t, frame(0x81, "a"))
				time.Sleep(time.Hour)
				began := time.Now()
				for i := range 8 {
					p.send(t, drip(i))
					time.Sleep(4 * time.Second)
				}
				messages, ended, err := wait()
				if !slices.Equal(messages, []string{"text a"}) || !errors.Is(err, ErrStalled) || ended.Sub(began) != messageTime {
					t.Errorf("read %q, then %v after %v", messages, err, ended.Sub(began))
				}
				if c.PeerGone() {
					t.Error("PeerGone, but the peer was there")
				}
			})
		})
	}
}

func TestASlowMessageThatIsInTimeIsRead(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		wait := reading(t, c)
		for range 3 {
			for _, part := range [][]byte{{0x01}, {5}, []byte("hel"), []byte("lo"), {0x80, 0}} {
				p.send(t, part)
				time.Sleep(7 * time.Second)
			}
		}
		time.Sleep(time.Hour)
		p.send(t, closeFrame(1000, ""))
		p.Close()
		messages, _, err := wait()
		if want := slices.Repeat([]string{"text hello"}, 3); !slices.Equal(messages, want) || endOf(err) != "closed 1000" {
			t.Errorf("read %q, then %v", messages, err)
		}
	})
}

func TestMemoryIsWhatArrivedAndIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		c.maxMessage = ceiling
		wait := reading(t, c)
		p.send(t, []byte{0x82, 127, 0, 0, 0, 0, 0, 255, 255, 255}, []byte("few")) // 16 MiB promised
		synctest.Wait()
		c.Abort()
		wait()
		if got := cap(c.buf); got > 64<<10 {
			t.Errorf("%d bytes taken for 3 that came", got)
		}
	})
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		wait := reading(t, c)
		p.send(t, frame(0x82, sized(700_000)), frame(0x82, "small"), closeFrame(1000, ""))
		p.Close()
		if messages, _, err := wait(); len(messages) != 2 || cap(c.buf) > keptBytes {
			t.Errorf("%d bytes kept after %v, %v", cap(c.buf), len(messages), err)
		}
		if err := c.sendInTurn(0x2, make([]byte, 700_000)); err == nil || c.out.Cap() > keptFrame {
			t.Errorf("%v, %d bytes kept", err, c.out.Cap())
		}
	})
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		if err := c.Write(Binary, make([]byte, 700_000)); err != nil || c.out.Cap() > keptFrame {
			t.Errorf("%v, %d bytes kept", err, c.out.Cap())
		}
	})
}

func TestMessagesAreValidUntilTheNextRead(t *testing.T) {
	bubble(t, func(t *testing.T, c *Conn, p *peer) {
		var sent [][]byte
		for i := range 300 {
			sent = append(sent, frame(0x82, strings.Repeat(string(rune('a'+i%26)), i*i%9000)))
		}
		go func() {
			p.Write(bytes.Join(sent, nil))
			p.Close()
		}()
		for i := range 300 {
			m, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // whatever could overwrite it had its chance
			if string(m.Data) != strings.Repeat(string(rune('a'+i%26)), i*i%9000) {
				t.Fatalf("message %d is wrong", i)
			}
		}
	})
}
