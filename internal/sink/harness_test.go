package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"feedmux/internal/subject"
	"feedmux/pool"
	"feedmux/shard"
)

func TestMain(m *testing.M) {
	os.Setenv("TZ", "Asia/Tokyo") // before anybody asks for the local time: one that should be UTC and is not is seen
	goleak.VerifyTestMain(m)
}

// eventually waits for something that a real socket brings.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// startServer starts a NATS server that ends with the test. change may be nil.
func startServer(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stopServer(s) })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server takes no connections")
	}
	return s
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// subscriber collects messages of a server.
type subscriber struct {
	*nats.Subscription
	nc *nats.Conn
}

func subscribe(t testing.TB, url, subject string) *subscriber {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), nc.FlushTimeout(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	return &subscriber{sub, nc}
}

func (s *subscriber) next(t testing.TB) *nats.Msg {
	t.Helper()
	m, err := s.NextMsg(20 * time.Second)
	if err != nil {
		t.Fatalf("waiting for a message: %v", err)
	}
	return m
}

// want receives exactly these bodies, in order.
func (s *subscriber) want(t testing.TB, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if got := string(s.next(t).Data); got != body {
			t.Fatalf("the body is %.80q, want %.80q", got, body)
		}
	}
}

// wantNoMore fails if anything has come that was not received.
func (s *subscriber) wantNoMore(t testing.TB) {
	t.Helper()
	if err := s.nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if n, _, err := s.Pending(); n != 0 || err != nil {
		t.Fatalf("%d messages more came (%v)", n, err)
	}
}

// running is a Core that runs until the test ends, or stop.
type running struct {
	*Core
	feed   pool.Sink
	log    *logBuffer
	cancel context.CancelFunc
	ended  chan error
	once   sync.Once
	err    error
}

// startCore runs a Core with one feed, "f". Its connection is tried again after 10 ms, and confirms every 20 ms.
func startCore(t testing.TB, o Options) *running {
	t.Helper()
	log := new(logBuffer)
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	o.Connect = append([]nats.Option{nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0)}, o.Connect...)
	if o.Buffer == 0 {
		o.Buffer = 16 << 20
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Core: NewCore(o), log: log, cancel: cancel, ended: make(chan error, 1)}
	r.feed, r.confirmEvery, r.sayEvery = r.Feed("f"), 20*time.Millisecond, 200*time.Millisecond
	go func() { r.ended <- r.Run(ctx) }()
	t.Cleanup(func() { r.stop() })
	return r
}

// stop ends Run and gives its error.
func (r *running) stop() error {
	r.once.Do(func() {
		r.cancel()
		r.err = <-r.ended
	})
	return r.err
}

func (r *running) publish(t testing.TB, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if err := publish(r.feed, event(r.feed, body)); err != nil {
			t.Fatalf("publishing %.80q: %v", body, err)
		}
	}
}

func (r *running) wantConnected(t testing.TB, connected bool) {
	t.Helper()
	eventually(t, "NATS is connected, or not", func() bool { return r.Stats().Connected == connected })
}

func (r *running) dropped(reason Reason) uint64 { return r.Stats().Feeds[0].Dropped[reason] }

// topicOf makes a topic that the sink knows.
func topicOf(s pool.Sink, name string) *pool.Topic {
	t := &pool.Topic{Name: shard.Topic(name), Subject: "feed.f." + name}
	s.Topic(t)
	return t
}

// event is one of the topic "t".
func event(s pool.Sink, body string) *pool.Event { return eventOf(topicOf(s, "t"), body) }

func eventOf(t *pool.Topic, body string) *pool.Event {
	return &pool.Event{Topic: t, Payload: []byte(body), Received: time.Now()}
}

// note is a notice about a topic.
func note(topic string) (subject string, n pool.Notice) {
	return "feedmux.topic.f." + topic, &pool.TopicNotice{Feed: "f", Topic: shard.Topic(topic), State: "confirmed"}
}

// wantNotes receives exactly these, in order.
func (s *subscriber) wantNotes(t testing.TB, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		var n pool.TopicNotice
		if m := s.next(t); json.Unmarshal(m.Data, &n) != nil || string(n.Topic) != topic {
			t.Fatalf("%.300s came, want a notice about %s", m.Data, topic)
		}
	}
}

// proxy stands between a client and a server, so that a connection can be cut or stalled while the server goes on.
type proxy struct {
	target string

	mu      sync.Mutex
	l       net.Listener
	conns   []net.Conn
	stalled chan struct{} // nil, or closed when bytes to the server may flow again
	pongs   int           // that went to the client
	wg      sync.WaitGroup
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	p := &proxy{target: strings.TrimPrefix(target, "nats://")}
	p.listen(t, "127.0.0.1:0")
	t.Cleanup(func() {
		p.flow()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.l.Addr().String() }

func (p *proxy) listen(t testing.TB, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l = l
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(client)
		}
	})
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, client, server)
	p.wg.Go(func() {
		defer server.Close()
		b := make([]byte, 4096)
		for {
			n, err := client.Read(b)
			if err != nil {
				return
			}
			p.mu.Lock()
			stalled := p.stalled
			p.mu.Unlock()
			if stalled != nil {
				<-stalled
			}
			if _, err := server.Write(b[:n]); err != nil {
				return
			}
		}
	})
	p.wg.Go(func() {
		defer client.Close()
		b := make([]byte, 4096)
		for {
			n, err := server.Read(b)
			if _, bad := client.Write(b[:n]); err != nil || bad != nil {
				return
			}
			p.mu.Lock()
			p.pongs += bytes.Count(b[:n], []byte("PONG\r\n"))
			p.mu.Unlock()
		}
	})
}

// cut ends every connection and takes no new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l.Close()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// mend takes connections again, at the same address.
func (p *proxy) mend(t testing.TB) { p.listen(t, p.l.Addr().String()) }

// stall reads nothing more of the connections that there are.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = make(chan struct{})
}

// flow ends stall.
func (p *proxy) flow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// confirmed is how often the server answered a ping.
func (p *proxy) confirmed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pongs
}

// tell sends protocol text to the clients, as if it came from the server.
func (p *proxy) tell(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 0; i < len(p.conns); i += 2 {
		p.conns[i].Write([]byte(text))
	}
}

// logBuffer is what was logged so far.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What became of an event, for tests that publish one at a time.
var (
	errFull   = errors.New("there was no room")
	errClosed = errors.New("it came after the end")
)

var chunks = sync.Pool{New: func() any { return newChunk(chunkSize) }}

// publish brings an event as a reader does whose burst has only one.
func publish(s pool.Sink, e *pool.Event) error {
	f := s.(*feed)
	b := newBatch(f, chunks.Get().(*chunk))
	count := func() (full, late, long uint64) {
		return f.dropped[BufferFull].Load(), f.dropped[Drain].Load(), f.dropped[BadSubject].Load()
	}
	full, late, long := count()
	b.Add(e)
	b.Flush()
	chunks.Put(b.chunk)
	switch fullNow, lateNow, longNow := count(); {
	case longNow > long && len(e.Topic.Subject) > subject.MaxLength:
		return subject.ErrTooLong
	case fullNow > full:
		return errFull
	case lateNow > late:
		return errClosed
	}
	return nil
}
