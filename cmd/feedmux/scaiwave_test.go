package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"feedmux/internal/sim/scaiwave"
	faults "feedmux/internal/sim/upstream"
)

// chat is a simulated ScaiWave on a real socket of loopback.
func chat(t *testing.T, o scaiwave.Options) (w *scaiwave.ScaiWave, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Record, o.Keep = true, -1
	w = scaiwave.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("simulator: %v", err)
		}
		if unfired := w.Unfired(); len(unfired) > 0 {
			t.Errorf("faults that were planned and did not happen: %v", unfired)
		}
	})
	return w, l.Addr().String()
}

// weir stands between feedmux and NATS: it lets bytes through, or none, or breaks every connection.
type weir struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	open  *sync.Cond
	shut  bool
	ended bool
	pairs map[net.Conn]net.Conn
	broke int
}

func newWeir(t *testing.T, to string) *weir {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &weir{l: l, to: to, pairs: make(map[net.Conn]net.Conn)}
	w.open = sync.NewCond(&w.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.carry(in, &running) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		w.ended, w.shut = true, false
		w.mu.Unlock()
		w.tear()
		running.Wait()
	})
	return w
}

func (w *weir) carry(in net.Conn, running *sync.WaitGroup) {
	out, err := net.Dial("tcp", w.to)
	if err != nil {
		in.Close()
		return
	}
	in.(*net.TCPConn).SetReadBuffer(32 << 10) // else the kernel has more room than feedmux
	w.mu.Lock()
	w.pairs[in] = out
	ended := w.ended
	w.mu.Unlock()
	if ended {
		in.Close()
		out.Close()
	}
	pour := func(to, from net.Conn) {
		defer in.Close()
		defer out.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			w.mu.Lock()
			for w.shut {
				w.open.Wait()
			}
			w.mu.Unlock()
			if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
				return
			}
		}
	}
	running.Go(func() { pour(out, in) })
	pour(in, out)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pairs, in)
}

func (w *weir) address() string { return w.l.Addr().String() }

func (w *weir) close(shut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = shut
	w.open.Broadcast()
}

// tear breaks all connections. What is on them, either way, is lost.
func (w *weir) tear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open.Broadcast()
	for in, out := range w.pairs {
		w.broke++
		in.(*net.TCPConn).SetLinger(0)
		in.Close()
		out.Close()
	}
	clear(w.pairs)
}

// waveReader is somebody who reads what feedmux publishes of a ScaiWave feed.
type waveReader struct {
	t      *testing.T
	mu     sync.Mutex
	events []waveEvent
	gaps   []waveGap
	feed   []string
}

type waveEvent struct {
	ID       string `json:"id"`
	Room     string `json:"room_id"`
	Type     string `json:"type"`
	Position int64  `json:"stream_position"`
	subject  string
}

type waveGap struct {
	Topic, Phase, Cause, At, Filled string
	From, To                        time.Time
}

func readWave(t *testing.T, bus string) *waveReader {
	t.Helper()
	r := &waveReader{t: t}
	nc, err := nats.Connect("nats://" + bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sub, err := nc.Subscribe(">", r.take)
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *waveReader) take(m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	switch {
	case strings.HasPrefix(m.Subject, "feedmux.gap."):
		var g waveGap
		err = json.Unmarshal(m.Data, &g)
		r.gaps = append(r.gaps, g)
	case strings.HasPrefix(m.Subject, "feedmux.feed."):
		r.feed = append(r.feed, string(m.Data))
	case strings.HasPrefix(m.Subject, "feed."):
		e := waveEvent{subject: m.Subject}
		if err = json.Unmarshal(m.Data, &e); e.Position != 0 {
			r.events = append(r.events, e)
		}
	}
	if err != nil {
		r.t.Errorf("%s: %v: %s", m.Subject, err, m.Data)
	}
}

func (r *waveReader) received() []waveEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *waveReader) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

func (r *waveReader) closed() (gaps []waveGap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.gaps {
		if g.Phase == "closed" {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// waveToken is a value as a token of a subject, spelled out once more.
func waveToken(value string) string {
	if value == "" {
		return "="
	}
	return regexp.MustCompile(`[^A-Za-z0-9_-]`).ReplaceAllStringFunc(value, func(s string) string {
		out := ""
		for _, b := range []byte(s) {
			out += fmt.Sprintf("=%02X", b)
		}
		return out
	})
}

// whole waits until every event that the upstream has came, and checks the order in each room; once: and that none came twice.
func (r *waveReader) whole(w *scaiwave.ScaiWave, once bool) (events, repeats int) {
	r.t.Helper()
	sent, all := w.Published()
	if !all {
		r.t.Fatal("the simulator could not record everything")
	}
	ids := make(map[string]scaiwave.Event, len(sent))
	for _, e := range sent {
		ids[e.ID] = e
	}
	var missing []scaiwave.Event
	var got []waveEvent
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if got = r.received(); len(got) >= len(sent) || time.Now().After(deadline) {
			seen := make(map[string]bool, len(got))
			for _, e := range got {
				seen[e.ID] = true
			}
			missing = slices.DeleteFunc(slices.Clone(sent), func(e scaiwave.Event) bool { return seen[e.ID] })
			if len(missing) == 0 || time.Now().After(deadline) {
				break
			}
		}
	}
	if len(missing) > 0 {
		r.t.Fatalf("%d of %d events never came; the first: %+v", len(missing), len(sent), missing[0])
	}
	seen, highest := make(map[string]bool, len(got)), make(map[string]int64)
	for _, e := range got {
		sent := ids[e.ID]
		if want := "feed.wave." + waveToken(sent.Room) + "." + waveToken(sent.Type); e.subject != want || e.Position != sent.Position {
			r.t.Fatalf("%+v came, %+v was sent: the subject is %s", e, sent, want)
		}
		if seen[e.ID] {
			repeats++
			continue
		}
		seen[e.ID] = true
		if e.Position < highest[e.Room] {
			r.t.Fatalf("%+v came after position %d of its room", e, highest[e.Room])
		}
		highest[e.Room] = e.Position
	}
	if once && repeats > 0 {
		r.t.Errorf("%d events came twice", repeats)
	}
	return len(sent), repeats
}

// waveConfig is that of a feed whose figures are as short as they may be.
func waveConfig(bus, upstream, token, more string) string {
	return fmt.Sprintf(`
[nats]
url = "nats://%s"
%s
[[feed]]
name = "wave"
protocol = "scaiwave"
url = "ws://%s/v1/stream"
topics = ["*"]
[feed.auth]
file = %q
[feed.options]
start = 0
[feed.dial]
rate = "100/1s"
[feed.limits]
hold = "100ms"
[feed.ping]
interval = "1s"
timeout = "500ms"
[feed.backoff]
base = "10ms"
max = "100ms"
`, bus, more, upstream, token)
}

// gale does things to a feed at random moments.
type gale struct {
	t     *testing.T
	r     *rand.Rand
	up    *scaiwave.ScaiWave
	token tokenFile
	named int
	did   map[string]int

	stop, start func()
	seen        func() int // events that came so far
}

// conn is the newest stream that is open; 0: none is within reach.
func (g *gale) conn() int {
	conns := g.up.Conns()
	if len(conns) == 0 {
		return 0
	}
	if c := conns[len(conns)-1]; c.Ended.IsZero() && !c.Hello.IsZero() && !c.Muted && c.Why == "" {
		return c.ID
	}
	return 0
}

// strike does something to the stream, as soon as there is one.
func (g *gale) strike(what string, f func(id int) bool) {
	g.t.Helper()
	g.did[what]++
	eventually(g.t, what, func() bool {
		id := g.conn()
		return id != 0 && f(id)
	})
}

// mode lets dials go wrong until one did.
func (g *gale) mode(what string, f faults.Fault, on, off func(o *scaiwave.Options)) {
	g.t.Helper()
	g.did[what]++
	before := g.up.Fired()[f]
	g.up.Change(on)
	eventually(g.t, what, func() bool {
		if id := g.conn(); id != 0 {
			g.up.Reset(id)
		}
		return g.up.Fired()[f] > before
	})
	g.up.Change(off)
}

func (g *gale) restart(what string, end func()) {
	g.did[what]++
	end()
	time.Sleep(time.Duration(g.r.IntN(300)) * time.Millisecond)
	g.start()
}

func (g *gale) another() {
	g.named++
	token := fmt.Sprintf("token-%d", g.named)
	g.up.SetToken(token)
	g.token.set(token)
}

// steps are what may happen without an event coming twice.
func (g *gale) steps() []func() {
	close := func(code int) func() {
		return func() {
			g.strike(fmt.Sprintf("Close %d", code), func(id int) bool { return g.up.Close(id, code, "so it is") })
		}
	}
	refuse := func(status int) func() {
		return func() {
			g.mode(fmt.Sprintf("handshake %d", status), faults.FaultRefuse,
				func(o *scaiwave.Options) { o.Refuse, o.RefuseStatus = 1, status },
				func(o *scaiwave.Options) { o.Refuse, o.RefuseStatus = 0, 0 })
		}
	}
	sync := func(f faults.Fault) func() {
		return func() {
			g.up.FailSync(f, 2)
			g.strike(string(f), g.up.Reset)
		}
	}
	return []func(){
		func() { g.strike("RST", g.up.Reset) },
		func() { g.strike("FIN", g.up.FIN) },
		close(1000), close(1001), close(1011), close(1012), close(4003), close(4999),
		func() { g.strike("ping_timeout", g.up.PingTimeout) },
		func() { g.strike("silence", g.up.Mute) },
		func() { g.strike("bad frame", g.up.BadFrame) },
		func() { g.strike("garbage", g.up.Garbage) },
		func() { g.strike("oversize", g.up.Oversize) },
		func() {
			g.mode("accept, then close", faults.FaultAcceptThenClose,
				func(o *scaiwave.Options) { o.AcceptThenClose = true }, func(o *scaiwave.Options) { o.AcceptThenClose = false })
		},
		refuse(http.StatusServiceUnavailable), refuse(http.StatusNotFound), refuse(faults.EndRST),
		func() {
			g.mode("late hello", scaiwave.FaultHelloDelay,
				func(o *scaiwave.Options) { o.HelloDelay = 300 * time.Millisecond }, func(o *scaiwave.Options) { o.HelloDelay = 0 })
		},
		func() {
			g.mode("no hello", scaiwave.FaultHelloLoss,
				func(o *scaiwave.Options) { o.HelloLoss = 1 }, func(o *scaiwave.Options) { o.HelloLoss = 0 })
		},
		sync(scaiwave.FaultSyncError), sync(scaiwave.FaultSyncCut), sync(scaiwave.FaultSyncReset), sync(scaiwave.FaultSyncLimit),
		func() { // what is fetched is slow
			g.mode("slow sync", scaiwave.FaultSyncDelay,
				func(o *scaiwave.Options) { o.SyncDelay = 200 * time.Millisecond }, func(o *scaiwave.Options) { o.SyncDelay = 0 })
		},
		func() { g.did["new token"]++; g.another() },
		func() { // 4001, though the token is good: only another one will do
			g.strike("4001", g.up.Expire)
			time.Sleep(time.Duration(g.r.IntN(200)) * time.Millisecond)
			g.another()
		},
		func() { // nobody fights: it comes back after a quarter of an hour, or as another process
			g.strike("duplicate_connection", g.up.TakeOver)
			time.Sleep(100 * time.Millisecond)
			g.restart("restart", g.stop)
		},
		func() { g.restart("restart", g.stop) },
		func() { g.restart("restart", g.stop) },
		func() { // while it catches up
			g.restart("restart", g.stop)
			time.Sleep(time.Duration(g.r.IntN(30)) * time.Millisecond)
			g.restart("restart again", g.stop)
		},
	}
}

// blow does all of that and more of it, n things together, in an order that chance picks.
func (g *gale) blow(steps []func(), n int) {
	for len(steps) < n {
		steps = append(steps, steps[g.r.IntN(len(steps))])
	}
	g.r.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	for _, step := range steps {
		step()
		time.Sleep(time.Duration(g.r.IntN(250)) * time.Millisecond)
		if g.r.IntN(2) == 0 { // else the next one strikes before all is well again
			n := g.seen()
			for deadline := time.Now().Add(3 * time.Second); g.seen() == n && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	// What was planned for requests needs some.
	for range 50 {
		if len(g.up.Unfired()) == 0 {
			break
		}
		g.strike("RST for what has not happened yet", g.up.Reset)
		time.Sleep(200 * time.Millisecond)
	}
}

func load() scaiwave.Options {
	return scaiwave.Options{
		Options: faults.Options{Seed: 8, Rate: 400}, Rooms: 20,
		Others: 0.3, Chunks: 0.1, Typing: 0.1, Presence: 0.02, Holes: 0.2, Duplicate: 0.05, Unknown: 0.02,
		SyncErrors: 0.02, SyncCuts: 0.02, SyncResets: 0.02, EndSockets: true, Race: true,
	}
}

// TestScaiWaveIsExactlyOnceThroughFiftyBreaksAndCleanRestarts: while NATS lives and the daemon is stopped in good manner, each
// event of the upstream is published once, in order in its room.
func TestScaiWaveIsExactlyOnceThroughFiftyBreaksAndCleanRestarts(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	up, address := chat(t, load())
	bus := quietNATS(t, server.Options{})
	r := readWave(t, bus)
	g := &gale{t: t, r: rand.New(rand.NewPCG(1, 1)), up: up, token: newTokenFile(t, "token-0"), did: make(map[string]int), seen: r.count}
	up.SetToken("token-0")
	text, dir := waveConfig(bus, address, g.token.path, "[http]\nlisten = \"\""), t.TempDir()
	var end func()
	g.start = func() { _, end = startDaemonIn(t, text, dir) }
	g.stop = func() { end() }
	g.start()
	eventually(t, "events", func() bool { return r.count() > 100 })
	up.Publish("a room/with.all *of it> ü", scaiwave.TypeMessage, "hello")
	t.Cleanup(func() {
		if t.Failed() {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, n := range r.feed[max(0, len(r.feed)-12):] {
				t.Log(n)
			}
			for _, c := range up.Conns()[max(0, len(up.Conns())-5):] {
				t.Logf("%+v", c)
			}
			t.Log(time.Now(), g.did)
		}
	})
	g.blow(g.steps(), 50)

	up.Change(func(o *scaiwave.Options) { o.Rate, o.Race = 0, false })
	events, _ := r.whole(up, true)
	none := 0
	for _, gap := range r.closed() {
		if gap.Filled != "all" || gap.At != "upstream" || gap.To.Before(gap.From) {
			t.Errorf("%+v", gap)
		}
		none++
	}
	if none == 0 {
		t.Error("no gap was announced")
	}
	for _, v := range up.Violations() {
		if v.Rule != scaiwave.RuleDuplicate { // a silent connection is in use to the upstream
			t.Errorf("rule broken: %+v", v)
		}
	}
	t.Logf("%d events, %d streams, %d requests, %d gaps in %v: %v",
		events, len(up.Conns()), len(up.Syncs()), none, time.Since(begin).Round(time.Millisecond), g.did)
}

// TestScaiWaveIsAtLeastOnceThroughSIGKILLAndBreaksOfNATS: the same with ends that nobody can tidy up before.
func TestScaiWaveIsAtLeastOnceThroughSIGKILLAndBreaksOfNATS(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	o := load()
	o.SyncErrors, o.SyncCuts, o.SyncResets = 0.1, 0.05, 0.05
	up, address := chat(t, o)
	bus := quietNATS(t, server.Options{})
	w := newWeir(t, bus)
	r := readWave(t, bus)
	g := &gale{t: t, r: rand.New(rand.NewPCG(2, 2)), up: up, token: newTokenFile(t, "token-0"), did: make(map[string]int), seen: r.count}
	up.SetToken("token-0")
	text := waveConfig(w.address(), address, g.token.path, "buffer = \"64KiB\"\n[http]\nlisten = \"\"")
	dir := t.TempDir()
	var p *child
	g.start = func() { p = spawnFeedmux(t, text, dir) }
	g.stop = func() { p.stop() }
	g.start()
	eventually(t, "events", func() bool { return r.count() > 100 })
	kill := func() { g.restart("SIGKILL", p.kill) }
	steps := append(g.steps()[:4:4], kill, kill, kill, kill, kill, kill,
		func() { // in the middle of catching up
			kill()
			eventually(t, "the feed", func() bool { return g.conn() != 0 })
			kill()
		},
		func() { g.restart("SIGTERM", g.stop) },
		func() { g.restart("SIGTERM", g.stop) },
		func() { g.did["NATS broke"]++; w.tear() },
		func() { g.did["NATS broke"]++; w.tear() },
		func() { // with all that waits
			g.did["NATS stood still and broke"]++
			w.close(true)
			time.Sleep(700 * time.Millisecond)
			w.tear()
			w.close(false)
		},
		func() { // longer than the buffer is large
			g.did["NATS stood still"]++
			w.close(true)
			time.Sleep(2 * time.Second)
			w.close(false)
		},
		func() {
			g.did["NATS stood still at SIGKILL"]++
			w.close(true)
			time.Sleep(500 * time.Millisecond)
			kill()
			w.close(false)
		},
	)
	g.blow(steps, 25)

	up.Change(func(o *scaiwave.Options) { o.Rate, o.Race = 0, false })
	events, repeats := r.whole(up, false)
	if w.broke == 0 {
		t.Error("no connection to NATS broke")
	}
	t.Logf("%d events, %d came again, %d streams, %d requests in %v: %v",
		events, repeats, len(up.Conns()), len(up.Syncs()), time.Since(begin).Round(time.Millisecond), g.did)
}

// wavePosition is the position in the state directory; 0: there is none.
func wavePosition(t *testing.T, dir string) (at int64) {
	t.Helper()
	for name, text := range stateFiles(t, dir) {
		if found := regexp.MustCompile(`"position":\s*"(\d+)"`).FindStringSubmatch(text); found != nil && strings.Contains(name, "position-") {
			at, _ = strconv.ParseInt(found[1], 10, 64)
		}
	}
	return at
}

// TestAFullBufferOfAScaiWaveFeedLosesNothing: while NATS stands still the stream is read on, and the position that is kept
// never passes what NATS has.
func TestAFullBufferOfAScaiWaveFeedLosesNothing(t *testing.T) {
	t.Parallel()
	o := load()
	o.SyncErrors, o.SyncCuts, o.SyncResets, o.Race = 0, 0, 0, false
	up, address := chat(t, o)
	bus := quietNATS(t, server.Options{})
	w := newWeir(t, bus)
	r := readWave(t, bus)
	token, dir := newTokenFile(t, "token-0"), t.TempDir()
	d, _ := startDaemonIn(t, waveConfig(w.address(), address, token.path, "buffer = \"512KiB\"\n[http]\nlisten = \"127.0.0.1:0\""), dir)
	eventually(t, "the topic", func() bool { return confirmed(t, d) == 1 })
	eventually(t, "events", func() bool { return wavePosition(t, dir) > 1000 })
	broke := false // a write to NATS may have taken longer than it may: then the connection was left, and events come again
	for range 2 {
		closed := time.Now()
		w.close(true)
		for n := -1; n != r.count(); time.Sleep(300 * time.Millisecond) { // what has passed comes to its reader
			n = r.count()
		}
		has := r.received()
		highest := has[len(has)-1].Position
		large := strings.Repeat("x", 60<<10)
		for i := range 250 { // more than may be held back, and than kernels buffer; in less time than a write to NATS may take
			up.Publish("room-1", scaiwave.TypeMessage, large)
			time.Sleep(5 * time.Millisecond)
			if i%10 > 0 {
				continue
			}
			if at := wavePosition(t, dir); at > highest {
				t.Fatalf("the position is %d, and NATS has only %d", at, highest)
			}
		}
		if n := metric(t, d, "feedmux_events_dropped_total"); n > 0 {
			t.Errorf("%v events were dropped", n)
		}
		w.close(false)
		broke = broke || time.Since(closed) > 2500*time.Millisecond
		n := r.count()
		eventually(t, "events", func() bool { return r.count() > n+500 })
	}
	if status, _ := get(t, d, "/readyz"); status != http.StatusOK {
		t.Errorf("readyz says %d", status)
	}
	up.Change(func(o *scaiwave.Options) { o.Rate, o.Race = 0, false })
	events, _ := r.whole(up, !broke)
	eventually(t, "the last position", func() bool {
		sent, _ := up.Published()
		return wavePosition(t, dir) == sent[len(sent)-1].Position
	})
	if n := len(up.Syncs()); n < 3 {
		t.Errorf("%d requests: nothing was left out and fetched", n)
	}
	if n := len(up.Conns()); n != 1 || len(up.Violations()) > 0 || !broke && len(r.closed()) > 0 {
		t.Errorf("%d streams, %v, gaps %+v", n, up.Violations(), r.closed())
	}
	t.Logf("%d events, %d requests", events, len(up.Syncs()))
}
