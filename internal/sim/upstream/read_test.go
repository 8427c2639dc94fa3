package upstream

import (
	"bufio"
	"bytes"
	"net"
	"testing"
	"time"
)

// ear is a protocol and its sessions: it only listens.
type ear struct{ longest int }

func (e *ear) JoinLocked(*Client) Session   { return e }
func (e *ear) EventLocked(time.Time)        {}
func (e *ear) OpenedLocked()                {}
func (e *ear) EndedLocked()                 {}
func (e *ear) MessageLocked(b []byte)       { e.longest = max(e.longest, len(b)) }
func (e *ear) Flood() ([]byte, func(n int)) { return nil, nil }

func FuzzClientBytes(f *testing.F) {
	f.Add([]byte("\x81\x8f\x00\x00\x00\x00{\"type\":\"PING\"}"))
	f.Add([]byte("\x01\x81\x00\x00\x00\x00{\x80\x81\x00\x00\x00\x00}"))
	f.Add([]byte("\x88\x82\x00\x00\x00\x00\x03\xe8"))
	f.Add([]byte("\x89\x00\x8a\x80\x00\x00\x00\x00"))
	f.Add([]byte("\x89\x83\x01\x02\x03\x04abc"))
	f.Add([]byte("\x81\xff\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00"))
	f.Add([]byte("\x82\xfe\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := &ear{}
		s := NewServer(1, nil, e)
		s.ConfigureLocked(Options{}, nil)
		nc, other := net.Pipe()
		defer other.Close()
		c := s.admit(nc)
		c.br, c.upgraded = bufio.NewReader(bytes.NewReader(b)), true
		if err := c.read(); err == nil {
			t.Error("the reader ended without an error")
		}
		if e.longest > min(maxRequest, len(b)) || len(c.out) > 64+len(b)+10*len(c.marks) {
			t.Errorf("%d bytes made a message of %d and %d bytes of answers", len(b), e.longest, len(c.out))
		}
	})
}
