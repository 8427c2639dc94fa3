package scaiwave

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/sim"
)

// rawClient speaks WebSocket by hand, so that it shares nothing with what it tests.
type rawClient struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader

	mu     sync.Mutex
	noPong bool
	got    []frame
	err    error     // that ended the reader
	ended  time.Time // when
}

type frame struct {
	at      time.Time
	op      byte
	payload string
}

func (f frame) String() string { return fmt.Sprintf("%x:%.200q", f.op, f.payload) }

// start returns a simulator that serves a network, and ends with the test. What a test plans must happen.
func start(t *testing.T, o Options) (*ScaiWave, *sim.Network) {
	t.Helper()
	o.Record = true
	w, n := New(o), sim.NewNetwork()
	if err := w.o.Check(); err != nil {
		t.Fatal(err)
	}
	serve(t, w, n.Listen())
	return w, n
}

func serve(t *testing.T, w *ScaiWave, l net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if open := w.Open(); open != 0 {
			t.Errorf("%d sockets open after Serve", open)
		}
		if f := w.Unfired(); len(f) > 0 {
			t.Errorf("planned and never happened: %v", f)
		}
	})
}

// shake sends the handshake and returns the answer's header.
func shake(t testing.TB, nc net.Conn, target string) (*rawClient, string, error) {
	t.Helper()
	c := &rawClient{t: t, nc: nc, br: bufio.NewReader(nc)}
	_, err := fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: wave.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", target)
	if err != nil {
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
	nc, err := n.DialContext(context.Background(), "tcp", "wave.test:443")
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// join connects with a token, and reads from then on.
func join(t *testing.T, n *sim.Network, token string) *rawClient {
	t.Helper()
	return read(t, dial(t, n), token)
}

func read(t *testing.T, nc net.Conn, token string) *rawClient {
	t.Helper()
	c, header, err := shake(t, nc, "/v1/stream?token="+token)
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
		c.got = append(c.got, frame{time.Now(), op, string(payload)})
		noPong := c.noPong
		c.mu.Unlock()
		switch {
		case op == 9 && !noPong:
			c.send(10, payload)
		case op == 1 && !noPong && string(payload) == `{"type":"ping"}`:
			c.send(1, []byte(`{"type":"pong"}`))
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
	payload = make([]byte, size)
	_, err = io.ReadFull(c.br, payload)
	return op & 0x7f, payload, err
}

func (c *rawClient) send(op byte, payload []byte) {
	b := []byte{op ^ 0x80, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 1, 2, 3, 4}
	for i, x := range payload {
		b = append(b, x^b[4+i%4])
	}
	c.nc.Write(b) // a connection that ended is seen by the reader
}

// take lets what is under way arrive, and returns and forgets the frames that came.
func (c *rawClient) take() []frame {
	synctest.Wait()
	return c.taken()
}

func (c *rawClient) taken() []frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// end returns what ended the connection, nil while it is open.
func (c *rawClient) end() error {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// wantClose checks that the newest frame that came since the last take is this Close.
func (c *rawClient) wantClose(code int, reason string) {
	c.t.Helper()
	got := c.take()
	want := string([]byte{byte(code >> 8), byte(code)}) + reason
	if len(got) == 0 || got[len(got)-1].op != 8 || got[len(got)-1].payload != want {
		c.t.Errorf("got %v, want Close %d %s at the end", got, code, reason)
	}
}

// streamed is any frame of the stream.
type streamed struct {
	Type     string
	ID       string
	Room     string `json:"room_id"`
	Tenant   string `json:"tenant_id"`
	TS       string
	Sender   string          `json:"sender_id"`
	Content  json.RawMessage `json:"content"`
	Position int64           `json:"stream_position"`
	OriginTS int64           `json:"origin_ts"`
	Session  string          `json:"session_id"`
	Server   string          `json:"server_name"`
}

// texts reads the text messages of got.
func texts(t testing.TB, got []frame) []streamed {
	t.Helper()
	var list []streamed
	for _, f := range got {
		if f.op != 1 {
			continue
		}
		var m streamed
		if err := json.Unmarshal([]byte(f.payload), &m); err != nil {
			t.Fatalf("%v: %s", err, f.payload)
		}
		list = append(list, m)
	}
	return list
}

// synced is the body of an answer of sync, good or bad.
type synced struct {
	Data struct {
		Events []struct {
			ID       string
			Position int64  `json:"stream_position"`
			Room     string `json:"room_id"`
			Type     string `json:"event_type"`
			Content  json.RawMessage
			Sender   string `json:"sender_id"`
			OriginTS int64  `json:"origin_ts"`
		}
		Next int64 `json:"next_cursor"`
		More bool  `json:"has_more"`
	}
	Error struct{ Code, Message string }
}

// httpClient is net/http's own, on the network.
func httpClient(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	tr := &http.Transport{DialContext: dial}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// get asks sync; err is that of the request or of reading its answer.
func get(ctx context.Context, c *http.Client, url, token string) (*http.Response, synced, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, synced{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Do(req)
	if err != nil {
		return nil, synced{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp, synced{}, err
	}
	var s synced
	if resp.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(body, &s); err != nil {
			return resp, s, fmt.Errorf("%w: %s", err, body)
		}
	}
	return resp, s, nil
}

// syncer asks one simulator's sync in a bubble.
type syncer struct {
	t *testing.T
	c *http.Client
}

func newSyncer(t *testing.T, n *sim.Network) *syncer { return &syncer{t, httpClient(t, n.DialContext)} }

func (s *syncer) try(query, token string) (*http.Response, synced, error) {
	return get(s.t.Context(), s.c, "http://wave.test/v1/sync?"+query, token)
}

// page is a request that must succeed.
func (s *syncer) page(query string) synced {
	s.t.Helper()
	resp, got, err := s.try(query, "good")
	if err != nil || resp.StatusCode != 200 {
		s.t.Fatalf("sync?%s: %v, %+v, %v", query, resp, got.Error, err)
	}
	return got
}

// all pages from since on and returns the ids that came, in order.
func (s *syncer) all(since int64, limit int) (ids []string, next int64) {
	s.t.Helper()
	for {
		got := s.page(fmt.Sprintf("since=%d&limit=%d&timeout=0", since, limit))
		for _, e := range got.Data.Events {
			ids = append(ids, e.ID)
		}
		if since = got.Data.Next; !got.Data.More {
			return ids, since
		}
	}
}

func isEOF(err error) bool   { return errors.Is(err, io.EOF) }
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

func wantRules(t *testing.T, w *ScaiWave, want string) {
	t.Helper()
	var names []string
	for _, v := range w.Violations() {
		names = append(names, string(v.Rule))
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("rules broken: %q, want %q", got, want)
	}
}

func published(t *testing.T, w *ScaiWave) []Event {
	t.Helper()
	events, whole := w.Published()
	if !whole {
		t.Fatal("the record is not whole")
	}
	return events
}
