package pool

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/cause"
	"feedmux/internal/credential"
	"feedmux/internal/ledger"
	wave "feedmux/internal/protocol/scaiwave"
	"feedmux/internal/resume"
	"feedmux/internal/sim"
	"feedmux/internal/sim/scaiwave"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/internal/tally"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// body is what subscribers read of an event. Without a position it was never kept by the upstream.
type body struct {
	ID       string `json:"id"`
	Room     string `json:"room_id"`
	Type     string `json:"type"`
	Position int64  `json:"stream_position"`

	subject string
	run     int // of the daemon
}

// bus is NATS as a Taker sees it. What waits is known to have arrived with the next flush, each 100 ms; a broken
// connection, or a crash, lets chance say how much of it did.
type bus struct {
	t      *testing.T
	keep   *keep
	mu     sync.Mutex
	rand   *rand.Rand
	run    int
	room   int // events that may wait; 0: any number
	frozen bool
	lost   bool
	dead   bool
	done   uint64
	wait   []body
	got    []body // by subscribers, of all runs
}

func (b *bus) Take(e *topic.Event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost || b.room > 0 && len(b.wait) >= b.room {
		return false
	}
	v := body{subject: e.Topic.Subject, run: b.run}
	if err := json.Unmarshal(e.Payload, &v); err != nil {
		b.t.Errorf("%s: %v: %s", e.Topic.Subject, err, e.Payload)
	}
	if v.Position != 0 && b.keep.none() {
		b.t.Errorf("%s was handed over before any position was saved", v.ID)
	}
	b.wait = append(b.wait, v)
	return true
}

func (b *bus) Progress() (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done, b.lost
}

func (b *bus) Restart() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait, b.lost = nil, false
	return b.done
}

// flush lets NATS have what waits.
func (b *bus) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.frozen || b.lost || b.dead {
		return
	}
	b.done += uint64(len(b.wait))
	b.got, b.wait = append(b.got, b.wait...), nil
}

// lose breaks the connection, or all of feedmux, with what is on it.
func (b *bus) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.lost && len(b.wait) > 0 {
		b.got = append(b.got, b.wait[:b.rand.IntN(len(b.wait)+1)]...)
	}
	b.wait, b.lost = nil, true
}

func (b *bus) set(room int, frozen bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room, b.frozen = room, frozen
}

// next is the bus of the next run.
func (b *bus) next() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run++
	b.done, b.lost, b.dead, b.wait = 0, false, false, nil
}

func (b *bus) received() []body {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// under is the lowest position that waits; 0: none does.
func (b *bus) under() (lowest int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.wait {
		if e.Position != 0 && (lowest == 0 || e.Position < lowest) {
			lowest = e.Position
		}
	}
	return lowest
}

// keep is the state directory.
type keep struct {
	t      *testing.T
	bus    *bus
	mu     sync.Mutex
	exact  bool // nothing is late, and the history is one: no position may be saved that passes what NATS has not
	closed bool // the process is dead
	at     []byte
	saves  []time.Time
}

func (k *keep) none() bool { return k.position() == "" }

func (k *keep) position() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(k.at)
}

func (k *keep) Load() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(k.at), nil
}

func (k *keep) Save(p []byte) error {
	lowest := k.bus.under()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	if n, _ := strconv.ParseInt(string(p), 10, 64); k.exact && lowest != 0 && n >= lowest {
		k.t.Errorf("position %d is saved, though NATS does not have %d", n, lowest)
	}
	k.at = slices.Clone(p)
	k.saves = append(k.saves, time.Now())
	return nil
}

func (k *keep) set(closed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = closed
}

// diary is a log that may be read meanwhile.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *diary) count(words ...string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
lines:
	for line := range strings.Lines(d.text.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		n++
	}
	return n
}

// sea is a pool of a ScaiWave feed at work, in a synctest bubble. It can be stopped and started again.
type sea struct {
	*scene
	up     *scaiwave.ScaiWave
	bus    *bus
	keep   *keep
	log    *diary
	stream *resume.Stream
	web    *http.Transport
	wanted []shard.Wanted
	start  string // where the very first start begins; "": now
	tenant string
	seed   uint64
	change func(*Options)
	last   *Snapshot
	runs   int

	mu    sync.Mutex
	token string
}

// embark starts a simulator and a feed on it that wants topics; set may say more before it begins.
func embark(t *testing.T, o scaiwave.Options, set func(*sea), topics ...shard.Topic) *sea {
	t.Helper()
	o.Record = true
	s := &sea{
		scene: &scene{t: t, net: sim.NewNetwork(), sink: &memory{}},
		up:    scaiwave.New(o), log: &diary{}, token: "token-1", seed: o.Seed + 1,
	}
	s.keep = &keep{t: t, exact: o.LateEvery == 0}
	s.bus = &bus{t: t, keep: s.keep, rand: rand.New(rand.NewPCG(o.Seed, 7))}
	s.keep.bus = s.bus
	s.web = &http.Transport{DialContext: s.net.DialContext}
	for _, name := range topics {
		s.wanted = append(s.wanted, shard.Wanted{Topic: name})
	}
	if set != nil {
		set(s)
	}
	ctx, end := context.WithCancel(t.Context())
	served, flushed := make(chan struct{}), make(chan struct{})
	l := s.net.Listen()
	go func() {
		defer close(served)
		if err := s.up.Serve(ctx, l); err != nil {
			t.Errorf("simulator: %v", err)
		}
	}()
	go func() {
		defer close(flushed)
		for ctx.Err() == nil {
			s.bus.flush()
			time.Sleep(100 * time.Millisecond)
		}
	}()
	s.run()
	t.Cleanup(func() {
		s.stop()
		end()
		<-served
		<-flushed
		s.web.CloseIdleConnections()
		if unfired := s.up.Unfired(); len(unfired) > 0 {
			t.Errorf("faults that were planned and did not happen: %v", unfired)
		}
	})
	return s
}

func (s *sea) secret(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token, nil
}

// renew gives the feed another token. The upstream takes it only if it was told.
func (s *sea) renew(token string) {
	s.mu.Lock()
	s.token = token
	s.mu.Unlock()
	s.pool.CredentialChanged()
}

// run starts a daemon, as far as the feed is concerned.
func (s *sea) run() {
	s.t.Helper()
	s.runs++
	s.bus.next()
	p := wave.New(wave.Options{URL: "ws://wave.test/v1/stream", Token: s.secret, Tenant: s.tenant})
	limits := p.Limits()
	backoff := limiter.Backoff{Base: time.Second, Max: 30 * time.Second, Settle: time.Minute, AtOnce: limits.RetryAtOnce}
	share, err := account.New(account.Options{
		Name: "wave.test", Connections: 1, Dials: limiter.Window{N: 100, Per: time.Second}, InFlight: 1,
		Hold: 10 * time.Second, Seed: s.seed, Backoff: backoff,
	}).Join("f", 1)
	if err != nil {
		s.t.Fatal(err)
	}
	o := testOptions(s.t, s.sink, s.net)
	o.Name = "scaiwave"
	o.Log = slog.New(slog.NewTextHandler(s.log, nil))
	o.TopicsPerConnection = wave.TopicsPerConnection
	o.Subject = func(w shard.Wanted) (string, error) { return "feed.f." + string(w.Topic), nil }
	o.Last = s.last
	c := &o.Conn
	c.Protocol, c.Share, c.Connections = p, share, 1
	c.SubscribeBatch, c.PingInterval, c.Backoff = wave.SubscribeBatch, limits.Ping, backoff
	c.Credential, c.Tally, c.Seed = &credential.Credential{}, new(tally.Counter), s.seed+uint64(s.runs)
	var start []byte
	if s.start != "" {
		start = []byte(s.start)
	}
	branch := func(t *topic.Topic, values [][]byte) (*topic.Topic, error) {
		return t.Form(t.Options, fmt.Sprintf("feed.f.%s.%s", values[0], values[1])), nil
	}
	s.stream = resume.New(resume.Options{
		Feed: "f", Protocol: p, Taker: s.bus, Client: &http.Client{Transport: s.web}, Start: start, Positions: s.keep,
		Branch: branch, Seed: s.seed + uint64(s.runs), Log: o.Log, Tally: c.Tally,
	})
	c.Stream, c.Branch = s.stream, branch
	if s.change != nil {
		s.change(&o)
	}
	if s.pool, err = New(o); err != nil {
		s.t.Fatal(err)
	}
	s.pool.Want(s.wanted)
	ctx, end := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	s.done = done
	pool := s.pool
	go func() {
		defer close(done)
		if err := pool.Run(ctx); err != nil {
			s.t.Errorf("pool: %v", err)
		}
	}()
	s.end = sync.OnceFunc(end)
}

// stop is SIGTERM.
func (s *sea) stop() {
	s.t.Helper()
	s.end()
	<-s.done
	s.bus.flush()
	if err := s.stream.KeepPosition(); err != nil {
		s.t.Error(err)
	}
	last, err := s.pool.Snapshot(s.t.Context())
	if err == nil {
		s.last = &last
	}
}

// crash is SIGKILL: nothing is written or sent any more.
func (s *sea) crash() {
	s.t.Helper()
	last, err := s.pool.Snapshot(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.last = &last
	s.keep.set(true)
	s.bus.lose()
	s.end()
	<-s.done
	s.keep.set(false)
}

// conn is the number of the upstream's newest stream; 0: none is open.
func (s *sea) conn() int {
	conns := s.up.Conns()
	for i := len(conns) - 1; i >= 0; i-- {
		if c := conns[i]; c.Ended.IsZero() && !c.Hello.IsZero() && !c.Muted {
			return c.ID
		}
	}
	return 0
}

// hush lets nothing happen any more, and waits until the feed has what there is.
func (s *sea) hush() {
	s.t.Helper()
	s.up.Change(func(o *scaiwave.Options) { o.Rate, o.Race = 0, false })
	s.confirmed(len(s.wanted), 20*time.Minute)
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

// whole checks that every event that the feed wants came, in order in its room; once, or at least once.
func (s *sea) whole(once bool) (events, repeats int) {
	s.t.Helper()
	sent, whole := s.up.Published()
	if !whole {
		s.t.Fatal("the simulator could not record everything")
	}
	at := make(map[string]scaiwave.Event, len(sent))
	for _, e := range sent {
		at[e.ID] = e
	}
	seen := make(map[string]bool, len(sent))
	highest := make(map[string]int64)
	for _, b := range s.bus.received() {
		if b.Position == 0 {
			continue
		}
		e, known := at[b.ID]
		if !known || e.Position != b.Position || e.Room != b.Room || b.subject != "feed.f."+e.Room+"."+e.Type {
			s.t.Fatalf("%+v is not what the upstream sent: %+v", b, e)
		}
		if seen[b.ID] {
			repeats++
			if once {
				s.t.Fatalf("%+v came twice", b)
			}
			continue
		}
		seen[b.ID] = true
		if b.Position < highest[b.Room] && !e.Late {
			s.t.Fatalf("%+v came after %d", b, highest[b.Room])
		}
		highest[b.Room] = max(highest[b.Room], b.Position)
	}
	missing := 0
	for _, e := range sent {
		if e.Kept && !seen[e.ID] && s.wants(e) {
			if missing++; missing < 4 {
				s.t.Errorf("it never came: %d %s in %s, of %v, late: %v", e.Position, e.ID, e.Room, e.At, e.Late)
			}
		}
	}
	if missing > 0 {
		s.t.Fatalf("%d of %d events never came", missing, len(sent))
	}
	return len(sent), repeats
}

func (s *sea) wants(e scaiwave.Event) bool {
	return slices.ContainsFunc(s.wanted, func(w shard.Wanted) bool {
		return w.Topic == "*" || string(w.Topic) == e.Room || string(w.Topic) == e.Room+"/"+e.Type
	})
}

// feedNotices are those about the slot, as "state cause".
func (s *sea) feedNotices() (list []string) {
	s.t.Helper()
	synctest.Wait()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, n := range s.sink.notices {
		var f struct{ State, Cause string }
		if strings.HasPrefix(n.subject, "feedmux.feed.") {
			if err := json.Unmarshal([]byte(n.body), &f); err != nil {
				s.t.Fatal(err)
			}
			list = append(list, f.State+" "+f.Cause)
		}
	}
	return list
}

var (
	_ = cause.Auth
	_ = slots.Live
	_ = ledger.AnnounceAfter
	_ = upstream.EndRST
)
