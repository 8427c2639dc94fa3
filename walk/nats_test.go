package walk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"feedmux/internal/sim"
)

// message is what somebody published.
type message struct {
	at      time.Time // when the server had read it and was not paused
	subject string
	body    []byte
}

// server is as much of a NATS server as publishing needs. It records all messages, can be cut off, refuse to be dialled,
// and pause: then it goes on reading, since a client that cannot write holds its lock, for which others would wait in a
// way that stops the bubble's clock; but nothing of what it read counts or is answered before it goes on, and what
// it has read is lost when its connection is cut.
type server struct {
	network *sim.Network
	clients sync.WaitGroup

	mu       sync.Mutex
	paused   bool
	conns    []*link
	messages []message
	failures []error
}

// link is one connection to the server.
type link struct {
	nc     net.Conn
	opened bool     // the client's first PING was answered
	waits  []func() // what was read while the server was paused
}

func startServer(t *testing.T) *server {
	s := &server{network: sim.NewNetwork()}
	l := s.network.Listen()
	s.clients.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.clients.Go(func() { s.serve(nc) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.cut()
		s.clients.Wait()
		if len(s.failures) > 0 {
			t.Errorf("NATS: %v", s.failures)
		}
	})
	return s
}

// cut sends a RST to all clients. What a paused server had read is lost.
func (s *server) cut() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.conns)
	for _, c := range s.conns {
		c.waits = nil
		c.nc.(*sim.Conn).Reset()
	}
	s.conns = nil
	return n
}

func (s *server) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = true
}

func (s *server) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = false
	for _, c := range s.conns {
		for _, do := range c.waits {
			do()
		}
		c.waits = nil
	}
}

// take returns what came since the last call.
func (s *server) take() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages
	s.messages = nil
	return m
}

func (s *server) serve(nc net.Conn) {
	defer nc.Close()
	c := &link{nc: nc}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns = slices.DeleteFunc(s.conns, func(other *link) bool { return other == c })
	}()
	const info = `INFO {"server_id":"W","version":"2.11.0","proto":1,"headers":true,"max_payload":1048576}` + "\r\n"
	if _, err := io.WriteString(nc, info); err != nil {
		return
	}
	br := bufio.NewReader(nc)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		if err := s.onLine(c, br, strings.Fields(line)); err != nil {
			if errors.Is(err, errProtocol) {
				s.mu.Lock()
				s.failures = append(s.failures, err)
				s.mu.Unlock()
			}
			return
		}
	}
}

var errProtocol = errors.New("a line that nobody may send")

func (s *server) onLine(c *link, br *bufio.Reader, words []string) error {
	if len(words) == 0 {
		return errProtocol
	}
	switch words[0] {
	case "CONNECT", "PONG":
		return nil
	case "PING":
		s.do(c, func() {
			c.opened = true
			_, _ = io.WriteString(c.nc, "PONG\r\n") // its reader says what matters
		})
		return nil
	case "PUB", "HPUB":
		size, err := strconv.Atoi(words[len(words)-1])
		if err != nil {
			return fmt.Errorf("%w: %q", errProtocol, words)
		}
		head := 0
		if words[0] == "HPUB" {
			if head, err = strconv.Atoi(words[len(words)-2]); err != nil {
				return fmt.Errorf("%w: %q", errProtocol, words)
			}
		}
		body := make([]byte, size+2)
		if _, err := io.ReadFull(br, body); err != nil {
			return err
		}
		if !bytes.HasSuffix(body, []byte("\r\n")) {
			return fmt.Errorf("%w: a body of another length: %q", errProtocol, words)
		}
		s.do(c, func() {
			s.messages = append(s.messages, message{time.Now(), words[1], body[head:size]})
		})
		return nil
	}
	return fmt.Errorf("%w: %q", errProtocol, words)
}

// do carries out what a client asked for, with the lock: now, or when the server goes on.
func (s *server) do(c *link, what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused && c.opened {
		c.waits = append(c.waits, what)
		return
	}
	what()
}
