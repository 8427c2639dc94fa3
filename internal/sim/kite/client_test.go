package kite

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/sim"
	"feedmux/internal/sim/upstream"
)

func isEOF(err error) bool   { return err == io.EOF }
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// still sends nothing of its own accord.
var still = Options{Heartbeat: -1}

// rawClient speaks WebSocket by hand, so that it shares nothing with what it tests. Its reader collects frames.
type rawClient struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader

	mu    sync.Mutex
	got   []received
	err   error // that ended the reader
	ended time.Time
}

type received struct {
	at      time.Time
	op      byte
	payload string
}

// start returns a simulator that serves a network, and ends with the test. What a test plans must happen.
func start(t *testing.T, o Options) (*Ticker, *sim.Network) {
	t.Helper()
	p, n := NewTicker(o), sim.NewNetwork()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	l := n.Listen()
	go func() { served <- p.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if open := p.Open(); open != 0 || len(p.door.open) != 0 || len(p.subscribed) != 0 {
			t.Errorf("after Serve %d sockets are open, %d at the door, %d instruments", open, len(p.door.open), len(p.subscribed))
		}
		if f := p.Unfired(); len(f) > 0 {
			t.Errorf("planned and never happened: %v", f)
		}
	})
	return p, n
}

const goodQuery = "?api_key=key&access_token=good"

// shake sends the handshake and returns the answer: its status and body.
func shake(t testing.TB, nc net.Conn, query string) (c *rawClient, status int, body string, err error) {
	t.Helper()
	c = &rawClient{t: t, nc: nc, br: bufio.NewReader(nc)}
	if _, err := fmt.Fprintf(nc, "GET /%s HTTP/1.1\r\nHost: kite.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", query); err != nil {
		return c, 0, "", err
	}
	r, err := http.ReadResponse(c.br, nil)
	if err != nil || r.StatusCode == 101 {
		if err == nil {
			status = 101
		}
		return c, status, "", err
	}
	b, err := io.ReadAll(r.Body)
	return c, r.StatusCode, string(b), err
}

func dial(t testing.TB, n *sim.Network) net.Conn {
	t.Helper()
	nc, err := n.DialContext(context.Background(), "tcp", "kite.test:443")
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// try returns the status that answers a handshake, and leaves where it is 101.
func try(t *testing.T, n *sim.Network, query string) int {
	t.Helper()
	c, status, _, err := shake(t, dial(t, n), query)
	if err != nil {
		t.Fatal(err)
	}
	if status == 101 {
		c.send(8, []byte{3, 232})
	}
	synctest.Wait()
	c.nc.Close()
	synctest.Wait()
	return status
}

// join connects, upgrades and reads from then on. The server is done with the handshake, too.
func join(t *testing.T, n *sim.Network, query string) *rawClient {
	t.Helper()
	c, status, body, err := shake(t, dial(t, n), query)
	if err != nil || status != 101 {
		t.Fatalf("handshake: %d, %v\n%s", status, err, body)
	}
	synctest.Wait()
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
		c.mu.Unlock()
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

// send sends a masked frame of less than 64 KiB.
func (c *rawClient) send(op byte, payload []byte) {
	b := []byte{op | 0x80, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 1, 2, 3, 4}
	for i, x := range payload {
		b = append(b, x^b[4+i%4])
	}
	c.nc.Write(b) // a connection that ended is seen by the reader
}

func (c *rawClient) say(format string, args ...any) { c.send(1, fmt.Appendf(nil, format, args...)) }

func list(tokens []uint32) string {
	return strings.Join(strings.Fields(fmt.Sprint(tokens)), ",")
}

func (c *rawClient) subscribe(tokens ...uint32)   { c.say(`{"a":"subscribe","v":%s}`, list(tokens)) }
func (c *rawClient) unsubscribe(tokens ...uint32) { c.say(`{"a":"unsubscribe","v":%s}`, list(tokens)) }
func (c *rawClient) mode(m Mode, tokens ...uint32) {
	c.say(`{"a":"mode","v":[%q,%s]}`, m, list(tokens))
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

// texts takes what came and returns the text messages in it.
func (c *rawClient) texts() (texts []string) {
	for _, r := range c.take() {
		if r.op == 1 {
			texts = append(texts, r.payload)
		}
	}
	return texts
}

// packets takes what came and returns its packets; each frame must add up.
func (c *rawClient) packets() (packets [][]byte) {
	c.t.Helper()
	for _, r := range c.take() {
		if r.op == 2 && len(r.payload) > 1 {
			whole, ok := unpack([]byte(r.payload))
			if !ok {
				c.t.Errorf("a frame that does not add up: %x", r.payload)
			}
			packets = append(packets, whole...)
		}
	}
	return packets
}

// unpack returns the packets of a frame that are whole; ok: and there is nothing else.
func unpack(b []byte) (packets [][]byte, ok bool) {
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	for range n {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return packets, false
		}
		end := 2 + int(binary.BigEndian.Uint16(b))
		packets = append(packets, b[2:end])
		b = b[end:]
	}
	return packets, len(b) == 0
}

// number returns the i-th 32-bit number of a packet.
func number(packet []byte, i int) uint32 { return binary.BigEndian.Uint32(packet[4*i:]) }

func (c *rawClient) wantTexts(want ...string) {
	c.t.Helper()
	if got := c.texts(); !slices.Equal(got, want) {
		c.t.Errorf("got texts:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// end returns what ended the connection, nil while it is open.
func (c *rawClient) end() error {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func wantRules(t *testing.T, p *Ticker, want ...upstream.Rule) {
	t.Helper()
	var got []upstream.Rule
	for _, v := range p.Violations() {
		got = append(got, v.Rule)
	}
	if !slices.Equal(got, want) {
		t.Errorf("rules broken: %q, want %q", got, want)
	}
}

// tokens returns n tokens of a segment.
func tokens(segment uint32, n int) []uint32 {
	all := make([]uint32, n)
	for i := range all {
		all[i] = uint32(i+1)<<8 | segment
	}
	return all
}
