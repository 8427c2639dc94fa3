package twitch

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/sim"
)

// rawClient speaks WebSocket by hand, so that it shares nothing with what it tests. In a bubble its reader collects frames.
type rawClient struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader

	mu     sync.Mutex
	noPong bool
	got    []received
	err    error     // that ended the reader
	ended  time.Time // when
}

type received struct {
	at      time.Time
	op      byte
	payload string
}

// start returns a simulator that serves a network, and ends with the test. What a test plans must happen.
func start(t *testing.T, o PubSubOptions) (*PubSub, *sim.Network) {
	t.Helper()
	s, n := NewPubSub(o), sim.NewNetwork()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	l := n.Listen()
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if open := s.Open(); open != 0 {
			t.Errorf("%d sockets open after Serve", open)
		}
		if f := s.Unfired(); len(f) > 0 {
			t.Errorf("planned and never happened: %v", f)
		}
	})
	return s, n
}

const upgradeRequest = "GET /v1 HTTP/1.1\r\nHost: pubsub.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// shake sends the handshake and returns the answer's header.
func shake(t testing.TB, nc net.Conn) (*rawClient, string, error) {
	t.Helper()
	c := &rawClient{t: t, nc: nc, br: bufio.NewReader(nc)}
	if _, err := nc.Write([]byte(upgradeRequest)); err != nil {
		return c, "", err
	}
	var header strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		header.WriteString(line)
		if err != nil || line == "\r\n" {
			return c, header.String(), err
		}
	}
}

func dial(t testing.TB, n *sim.Network) net.Conn {
	t.Helper()
	nc, err := n.DialContext(context.Background(), "tcp", "pubsub.test:443")
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// join connects, upgrades and reads from then on.
func join(t *testing.T, n *sim.Network) *rawClient {
	t.Helper()
	c, header, err := shake(t, dial(t, n))
	if err != nil || !strings.HasPrefix(header, "HTTP/1.1 101 ") {
		t.Fatalf("handshake: %v\n%s", err, header)
	}
	var reader sync.WaitGroup
	reader.Go(c.collect)
	t.Cleanup(func() {
		c.nc.Close()
		reader.Wait()
	})
	return c
}

func (c *rawClient) collect() {
	for {
		op, payload, err := c.readFrame()
		c.mu.Lock()
		if err != nil {
			c.err, c.ended = err, time.Now()
			c.mu.Unlock()
			return
		}
		c.got = append(c.got, received{time.Now(), op, string(payload)})
		noPong := c.noPong
		c.mu.Unlock()
		if op == 9 && !noPong {
			c.send(10, payload)
		}
	}
}

func (c *rawClient) readFrame() (op byte, payload []byte, err error) {
	b := make([]byte, 8)
	if _, err := io.ReadFull(c.br, b[:2]); err != nil {
		return 0, nil, err
	}
	op, size := b[0], uint64(b[1])
	switch size {
	case 126:
		_, err = io.ReadFull(c.br, b[:2])
		size = uint64(binary.BigEndian.Uint16(b))
	case 127:
		_, err = io.ReadFull(c.br, b)
		size = binary.BigEndian.Uint64(b)
	}
	if err != nil {
		return 0, nil, err
	}
	if op&0x80 == 0 || size > 64<<20 {
		return 0, nil, fmt.Errorf("odd frame header: %x, %d bytes", op, size)
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(c.br, payload)
	return op & 0x7f, payload, err
}

// send sends a masked frame of less than 64 KiB; op may carry the other bits of its byte, 0x80 stands for not final.
func (c *rawClient) send(op byte, payload []byte) {
	b := []byte{op ^ 0x80, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 1, 2, 3, 4}
	for i, x := range payload {
		b = append(b, x^b[4+i%4])
	}
	c.nc.Write(b) // a connection that ended is seen by the reader
}

func (c *rawClient) say(format string, args ...any) { c.send(1, fmt.Appendf(nil, format, args...)) }

func (c *rawClient) ask(verb, nonce, token string, topics ...string) {
	list, _ := json.Marshal(topics)
	if token != "" {
		token = fmt.Sprintf(`,"auth_token":%q`, token)
	}
	c.say(`{"type":%q,"nonce":%q,"data":{"topics":%s%s}}`, verb, nonce, list, token)
}

// take lets what is under way arrive, and returns and forgets the frames that came.
func (c *rawClient) take() []received {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// want checks that exactly these text messages came since the last take; WebSocket pings aside.
func (c *rawClient) want(texts ...string) {
	c.t.Helper()
	var got []string
	for _, r := range c.take() {
		if r.op == 1 {
			got = append(got, r.payload)
		} else if r.op != 9 {
			got = append(got, fmt.Sprintf("%x: %q", r.op, r.payload))
		}
	}
	if strings.Join(got, "\n") != strings.Join(texts, "\n") {
		c.t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(texts, "\n"))
	}
}

// wantEnd checks how and when (after start) the connection ended.
func (c *rawClient) wantEnd(started time.Time, after time.Duration, match func(error) bool) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil || !match(c.err) || c.ended.Sub(started) != after {
		c.t.Errorf("ended after %v with %v; want it after %v", c.ended.Sub(started), c.err, after)
	}
}

// end returns what ended the connection, nil while it is open.
func (c *rawClient) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// closes is the text of a Close frame in want.
func closes(code int, reason string) string {
	return fmt.Sprintf("8: %q", string([]byte{byte(code >> 8), byte(code)})+reason)
}

// event is a MESSAGE, taken apart by the standard library.
type event struct {
	topic string
	body  string
	n     uint64
}

// events checks and returns the MESSAGEs of got, and fails on any other text.
func events(t testing.TB, got []received) []event {
	t.Helper()
	var list []event
	for _, r := range got {
		if r.op != 1 {
			continue
		}
		var m struct {
			Type string
			Data struct{ Topic, Message string }
		}
		if err := json.Unmarshal([]byte(r.payload), &m); err != nil || m.Type != "MESSAGE" {
			t.Fatalf("no MESSAGE: %v: %s", err, r.payload)
		}
		n, ok := EventNumber([]byte(m.Data.Message))
		if !ok || !json.Valid([]byte(m.Data.Message)) {
			t.Fatalf("no numbered JSON: %s", m.Data.Message)
		}
		list = append(list, event{m.Data.Topic, m.Data.Message, n})
	}
	return list
}

func rules(s *PubSub) string {
	var names []string
	for _, v := range s.Violations() {
		names = append(names, string(v.Rule))
	}
	return strings.Join(names, " ")
}

func wantRules(t *testing.T, s *PubSub, want string) {
	t.Helper()
	if got := rules(s); got != want {
		t.Errorf("rules broken: %q, want %q", got, want)
	}
}

func topicNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s.%d", prefix, i)
	}
	return names
}

func wantRead(t *testing.T, nc net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}
