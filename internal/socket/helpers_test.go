package socket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
)

// The server's side in these tests is written by hand: bytes go out as the test spells them, and what the client sends
// is decoded here, so that a mistake of the library is not made twice.

// frame spells an unmasked frame in its shortest form. first holds FIN, RSV and the opcode.
func frame(first byte, payload string) []byte {
	n := len(payload)
	b := []byte{first}
	switch {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func closeFrame(code int, reason string) []byte {
	return frame(0x88, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// clientFrame is a frame that the client sent.
type clientFrame struct {
	op      byte
	payload string
	mask    [4]byte
	at      time.Time
}

func (f clientFrame) String() string {
	switch f.op {
	case 0x1:
		return "text " + f.payload
	case 0x2:
		return "binary " + f.payload
	case 0x8:
		if len(f.payload) < 2 {
			return "close" + f.payload
		}
		return strings.TrimSpace(fmt.Sprintf("close %d %s", binary.BigEndian.Uint16([]byte(f.payload)), f.payload[2:]))
	case 0x9:
		return "ping " + f.payload
	case 0xa:
		return "pong " + f.payload
	}
	return fmt.Sprintf("opcode %d", f.op)
}

// readClientFrame fails on everything that a client must not send.
func readClientFrame(br *bufio.Reader) (f clientFrame, err error) {
	var head [2]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return f, err
	}
	if head[0]&0xf0 != 0x80 {
		return f, fmt.Errorf("client frame begins with %#x: not FIN alone", head[0])
	}
	if head[1]&0x80 == 0 {
		return f, fmt.Errorf("client frame %x is not masked", head)
	}
	f.op = head[0] & 0x0f
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		var ext [2]byte
		io.ReadFull(br, ext[:])
		n = uint64(binary.BigEndian.Uint16(ext[:]))
	case 127:
		var ext [8]byte
		io.ReadFull(br, ext[:])
		n = binary.BigEndian.Uint64(ext[:])
	}
	if n > 1<<24 {
		return f, fmt.Errorf("client frame of %d bytes", n)
	}
	io.ReadFull(br, f.mask[:])
	payload := make([]byte, n)
	if _, err := io.ReadFull(br, payload); err != nil {
		return f, err
	}
	for i := range payload {
		payload[i] ^= f.mask[i%4]
	}
	f.payload, f.at = string(payload), time.Now()
	return f, nil
}

// peer is the server's side of one connection.
type peer struct {
	net.Conn
	br   *bufio.Reader
	done chan struct{} // closed when the client sends no more

	mu     sync.Mutex
	frames []clientFrame
	bad    error
}

// listen collects what the client sends. closing: the first Close is answered by FIN.
func (p *peer) listen(closing bool) {
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		for {
			f, err := readClientFrame(p.br)
			p.mu.Lock()
			if err == nil {
				p.frames = append(p.frames, f)
			} else {
				p.bad = err
			}
			p.mu.Unlock()
			if err != nil {
				return
			}
			if f.op == 0x8 && closing {
				p.fin()
			}
		}
	}()
}

// fin says no more, and goes on listening where the network can tell the two apart.
func (p *peer) fin() {
	if conn, ok := p.Conn.(*sim.Conn); ok {
		conn.CloseWrite()
		return
	}
	p.Close()
}

func (p *peer) got() []clientFrame {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]clientFrame(nil), p.frames...)
}

func (p *peer) said() []string {
	var s []string
	for _, f := range p.got() {
		s = append(s, f.String())
	}
	return s
}

// send writes frames and fails the test if the client does not take them.
func (p *peer) send(t *testing.T, frames ...[]byte) {
	t.Helper()
	if _, err := p.Write(bytes.Join(frames, nil)); err != nil {
		t.Fatalf("sending: %v", err)
	}
}

// readRequest returns the client's request and the Sec-WebSocket-Accept that it is owed.
func readRequest(br *bufio.Reader) (request, accept string, err error) {
	var key string
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return request, "", err
		}
		request += line
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Sec-WebSocket-Key") {
			key = strings.TrimSpace(value)
		}
		if line == "\r\n" {
			sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			return request, base64.StdEncoding.EncodeToString(sum[:]), nil
		}
	}
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: {accept}\r\n\r\n"

// upgrade makes the server's side of a good handshake; early are frames that come in the same segment.
func upgrade(conn net.Conn, early ...[]byte) (*peer, error) {
	br := bufio.NewReader(conn)
	_, accept, err := readRequest(br)
	if err != nil {
		return nil, err
	}
	answer := strings.ReplaceAll(switching, "{accept}", accept)
	if _, err := conn.Write(append([]byte(answer), bytes.Join(early, nil)...)); err != nil {
		return nil, err
	}
	return &peer{Conn: conn, br: br}, nil
}

// chops are the ways in which a test's bytes arrive: all that is there, one frame or line in each read, or one byte.
var chops = []string{"whole", "by part", "by byte"}

// chopped is a client's end whose reads return one piece at most.
type chopped struct {
	net.Conn
	pieces []int // how long they are; after the last, and with none, a read takes what is there
	byByte bool
}

// chop prepares reads of what parts hold together.
func chop(conn net.Conn, how string, parts [][]byte) *chopped {
	c := &chopped{Conn: conn, byByte: how == "by byte"}
	if how == "by part" {
		for _, part := range parts {
			c.pieces = append(c.pieces, len(part))
		}
	}
	return c
}

func (c *chopped) Read(p []byte) (int, error) {
	if c.byByte {
		return c.Conn.Read(p[:min(1, len(p))])
	}
	if len(c.pieces) == 0 {
		return c.Conn.Read(p)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.pieces[0])])
	if c.pieces[0] -= n; c.pieces[0] == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, err
}

// over makes a dial function that hands out one connection.
func over(conn net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return conn, nil }
}

// open connects a client and a peer through a net.Pipe, which has no buffer: a peer that does not listen is one whose
// window is closed.
func open(t *testing.T, o Options, early ...[]byte) (*Conn, *peer) {
	t.Helper()
	ours, theirs := net.Pipe()
	return openOver(t, o, ours, theirs, early...)
}

// pair is a connection in memory that has a buffer, as a kernel has, and tells FIN from RST.
func pair(t *testing.T) (ours, theirs *sim.Conn) {
	t.Helper()
	network := sim.NewNetwork()
	l := network.Listen()
	defer l.Close()
	client, err := network.DialContext(t.Context(), "tcp", "feed.example:80")
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client.(*sim.Conn), server.(*sim.Conn)
}

func openOver(t *testing.T, o Options, ours, theirs net.Conn, early ...[]byte) (*Conn, *peer) {
	t.Helper()
	result := make(chan *peer, 1)
	go func() {
		p, err := upgrade(theirs, early...)
		if err != nil {
			t.Errorf("upgrading: %v", err)
		}
		result <- p
	}()
	o.URL, o.DialContext = "ws://feed.example/", over(ours)
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p := <-result
	t.Cleanup(func() {
		c.Close()
		p.Close()
	})
	return c, p
}

func (m Message) String() string {
	kind := map[Kind]string{Text: "text", Binary: "binary"}[m.Kind]
	if m.TooBig {
		return kind + " too big"
	}
	if len(m.Data) > 200 {
		return fmt.Sprintf("%s of %d, %x", kind, len(m.Data), sha1.Sum(m.Data))
	}
	return kind + " " + string(m.Data)
}

// readAll reads to the end and checks that the end is the end.
func readAll(t *testing.T, c *Conn) (messages []string, err error) {
	t.Helper()
	for {
		m, err := c.Read()
		if err != nil {
			if m.Data != nil {
				t.Errorf("a message came with the error %v", err)
			}
			if _, again := c.Read(); again != err {
				t.Errorf("Read returned %v, then %v", err, again)
			}
			return messages, err
		}
		messages = append(messages, m.String())
	}
}

// bubble runs f in virtual time with an open connection whose peer listens.
func bubble(t *testing.T, f func(t *testing.T, c *Conn, p *peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, p := open(t, Options{})
		p.listen(false)
		f(t, c, p)
	})
}

// reading reads in the background; the function that it returns waits for the end.
func reading(t *testing.T, c *Conn) (wait func() (messages []string, ended time.Time, err error)) {
	var messages []string
	var err error
	var ended time.Time
	var done sync.WaitGroup
	done.Go(func() {
		messages, err = readAll(t, c)
		ended = time.Now()
	})
	return func() ([]string, time.Time, error) {
		done.Wait()
		return messages, ended, err
	}
}
