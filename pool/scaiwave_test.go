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
	breaks bool            // lines and daemons end at moments that chance picks
	again  map[string]bool // events that a clean end went back behind, for one that the upstream showed late

	mu    sync.Mutex
	token string
}

// embark starts a simulator and a feed on it that wants topics; set may say more before it begins.
func embark(t *testing.T, o scaiwave.Options, set func(*sea), topics ...shard.Topic) *sea {
	t.Helper()
	o.Record = true
	s := &sea{
		scene: &scene{t: t, net: sim.NewNetwork(), sink: &memory{}},
		up:    scaiwave.New(o), log: &diary{}, token: "token-1", seed: o.Seed + 1, again: make(map[string]bool),
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
	if at, _ := strconv.ParseInt(s.keep.position(), 10, 64); !s.keep.exact {
		for _, b := range s.bus.received() {
			if b.Position > at {
				s.again[b.ID] = true
			}
		}
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
	synctest.Wait()
	conns := s.up.Conns()
	for i := len(conns) - 1; i >= 0; i-- {
		if c := conns[i]; c.Ended.IsZero() && !c.Hello.IsZero() && !c.Muted && c.Why == "" {
			return c.ID
		}
	}
	return 0
}

// hush lets nothing happen any more, and waits until the feed has what there is.
func (s *sea) hush() {
	s.t.Helper()
	s.up.Change(func(o *scaiwave.Options) { o.Rate, o.Race = 0, false })
	time.Sleep(time.Minute) // a line that is dead without a word is noticed
	s.confirmed(len(s.wanted), 20*time.Minute)
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

// whole checks that every event that the feed wants came, in order in its room; once, or at least once. Once is not what
// came after an event that the upstream showed late and that a clean end had to go back for.
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
			if once && !s.again[b.ID] {
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
			if e.Late && s.breaks { // it came to be below the position from which the feed goes on
				continue
			}
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

func paced(n float64) scaiwave.Options {
	return scaiwave.Options{Options: upstream.Options{Rate: n, Seed: 5}, Keep: -1}
}

// slot is what is known of the feed's only one.
func (s *sea) slot() SlotStatus {
	s.t.Helper()
	return s.status().Slots[0]
}

// closedGaps are those that closed since the last look.
func (s *sea) closedGaps() []GapNotice {
	_, closed := s.gaps()
	return closed
}

// streamsSince are the streams that were dialled since; the network's own list has the requests, too.
func (s *sea) streamsSince(since time.Time) (list []scaiwave.ConnRecord) {
	for _, c := range s.up.Conns() {
		if !c.Accepted.Before(since) {
			list = append(list, c)
		}
	}
	return list
}

func TestALifeWithoutHelloEndsAfterTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := paced(0)
		o.HelloLoss = 1
		s := embark(t, o, nil, "*")
		time.Sleep(2500 * time.Millisecond)
		first := s.up.Conns()[0]
		if took := first.Ended.Sub(first.Upgraded); took != wave.LiveWithin {
			t.Errorf("it ended after %v", took)
		}
		s.up.Change(func(o *scaiwave.Options) { o.HelloLoss = 0 })
		s.confirmed(1, time.Minute)
		if d := s.status().Counters.Disconnects; d[cause.Timeout] == 0 || len(d) != 1 {
			t.Errorf("counted: %v", d)
		}
	})
}

func TestATokenForAnotherTenantParksAndNothingOfItIsPublished(t *testing.T) {
	for _, refused := range []bool{false, true} { // the streams, so that /v1/sync would be asked alone
		synctest.Test(t, func(t *testing.T) {
			o := paced(10)
			if refused {
				o.Refuse = 1
			}
			s := embark(t, o, func(s *sea) {
				s.tenant, s.start = "tenant-9", "0"
				for range 20 {
					s.up.Publish("room-1", scaiwave.TypeMessage, "")
				}
			}, "*")
			time.Sleep(time.Hour)
			if got := s.slot(); !refused && (got.State != slots.Parked || got.LastCause != cause.Auth || !strings.Contains(got.LastError, "tenant-9")) {
				t.Errorf("%+v", got)
			}
			if n := len(s.up.Conns()); !refused && n != 1 {
				t.Errorf("%d streams", n)
			}
			if got := s.bus.received(); len(got) > 0 {
				t.Errorf("%d events of another tenant were published", len(got))
			}
			if n := len(s.up.Syncs()); n > 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestADeadTokenParksUntilAnotherAndNothingIsAskedWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := paced(5)
		o.EndSockets = true
		s := embark(t, o, func(s *sea) { s.up.SetToken(s.token) }, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.sink.take()
		s.up.SetToken("token-2")
		time.Sleep(time.Second)
		asked := len(s.up.Syncs())
		dead := time.Now()
		time.Sleep(time.Hour)
		if got := s.slot(); got.State != slots.Parked || got.LastCause != cause.TokenExpired {
			t.Errorf("%+v", got)
		}
		if n := len(s.up.Syncs()) - asked; n > 0 || len(s.streamsSince(dead)) > 0 {
			t.Errorf("%d requests and %d dials with a dead token", n, len(s.streamsSince(dead)))
		}
		changed := time.Now()
		s.renew("token-2")
		s.confirmed(1, 10*time.Second)
		if list := s.streamsSince(dead); len(list) != 1 || list[0].Accepted.Sub(changed) > time.Second {
			t.Errorf("dialled: %+v", list)
		}
		if gaps := s.closedGaps(); len(gaps) != 1 || gaps[0].Cause != cause.TokenExpired || gaps[0].Filled != AllFilled {
			t.Errorf("%+v", gaps)
		}
		s.hush()
		s.whole(true)
	})
}

// A token may die for /v1/sync, and the stream that was opened with it live on.
func TestATokenThatOnlySyncDeniesIsSeenAndNotDialledWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(5), func(s *sea) { s.up.SetToken(s.token) }, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.up.SetToken("token-2") // its sockets live on
		s.bus.set(0, true)
		time.Sleep(time.Second)
		s.bus.lose() // now something must be fetched
		s.bus.set(0, false)
		time.Sleep(2 * time.Minute)
		asked := len(s.up.Syncs())
		if s.slot().State != slots.Live {
			t.Fatalf("%+v", s.slot())
		}
		if s.log.count("level=ERROR", "does not accept the credential") != 1 {
			t.Error("no error in the log")
		}
		if list := s.feedNotices(); !slices.Contains(list, "live token_expired") {
			t.Errorf("feed notices: %q", list)
		}
		begin := time.Now()
		s.up.Reset(s.conn())
		time.Sleep(time.Hour)
		if got := s.slot(); got.State != slots.Parked || len(s.streamsSince(begin)) > 0 || len(s.up.Syncs()) != asked {
			t.Errorf("%+v; %d dials, %d requests", got, len(s.streamsSince(begin)), len(s.up.Syncs())-asked)
		}
		s.renew("token-2")
		s.confirmed(1, 10*time.Second)
		if n := len(s.streamsSince(begin)); n != 1 {
			t.Errorf("%d dials", n)
		}
		s.hush()
		s.whole(false)
	})
}

func TestATokenThatOnlySyncDeniesParksASlotThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(5), func(s *sea) { s.up.SetToken(s.token) }, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.up.Change(func(o *scaiwave.Options) { o.Refuse = 1 })
		s.up.SetToken("token-2")
		s.up.Reset(s.conn())
		time.Sleep(2 * time.Minute)
		if got := s.slot(); got.State != slots.Parked || got.LastCause != cause.Auth {
			t.Errorf("%+v", got)
		}
		s.up.Change(func(o *scaiwave.Options) { o.Refuse = 0 })
		s.renew("token-2")
		s.confirmed(1, 10*time.Second)
		s.hush()
		s.whole(true)
	})
}

func TestNobodyFightsForAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(5), nil, "*")
		s.confirmed(1, time.Minute)
		for range 3 {
			time.Sleep(2 * time.Minute)
			s.sink.take()
			begin := time.Now()
			s.up.TakeOver(s.conn())
			time.Sleep(15*time.Minute - time.Second)
			if n := len(s.streamsSince(begin)); n > 0 {
				t.Fatalf("%d dials", n)
			}
			if got := s.slot(); got.State != slots.Waiting || got.LastCause != cause.Duplicate {
				t.Errorf("%+v", got)
			}
			if list := s.feedNotices(); !slices.Contains(list, "waiting duplicate_connection") {
				t.Errorf("feed notices: %q", list)
			}
			s.confirmed(1, time.Minute)
			if n := len(s.streamsSince(begin)); n != 1 {
				t.Errorf("%d dials", n)
			}
			if gaps := s.closedGaps(); len(gaps) != 1 || gaps[0].Cause != cause.Duplicate || gaps[0].Filled != AllFilled {
				t.Errorf("%+v", gaps)
			}
		}
		if n := s.log.count("level=ERROR", "cause=duplicate_connection"); n != 3 {
			t.Errorf("%d errors in the log", n)
		}
		s.hush()
		s.whole(true)
	})
}

func TestWhoSaysSoEndsTheWaitForAToken(t *testing.T) {
	for name, say := range map[string]func(s *sea){
		"a renewal":     func(s *sea) { s.pool.Renew() },
		"another token": func(s *sea) { s.renew("token-2") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := embark(t, paced(5), nil, "*")
				s.confirmed(1, time.Minute)
				time.Sleep(2 * time.Minute)
				begin := time.Now()
				s.up.TakeOver(s.conn())
				time.Sleep(5 * time.Minute)
				if n := len(s.streamsSince(begin)); n > 0 {
					t.Fatalf("%d dials", n)
				}
				say(s)
				s.confirmed(1, 5*time.Second)
				if n := len(s.streamsSince(begin)); n != 1 {
					t.Errorf("%d dials", n)
				}
				s.hush()
				s.whole(true)
			})
		})
	}
}

func TestAPingTimeoutOfTheUpstreamIsNoDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(5), nil, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(2 * time.Minute)
		begin := time.Now()
		s.up.PingTimeout(s.conn())
		time.Sleep(time.Second)
		if list := s.streamsSince(begin); len(list) != 1 || list[0].Accepted.Sub(begin) > 10*time.Millisecond {
			t.Errorf("dialled %+v", list)
		}
		if d := s.status().Counters.Disconnects; d[cause.PingTimeout] != 1 || len(d) != 1 {
			t.Errorf("counted: %v", d)
		}
		s.hush()
		s.whole(true)
	})
}

func TestASilentScaiWaveStreamIsNoticedAndAQuietOneIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(0), func(s *sea) { s.start = "0" }, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(3 * time.Hour)
		if n := len(s.up.Conns()); n != 1 || len(s.up.Violations()) > 0 {
			t.Fatalf("%d streams in three quiet hours, %v", n, s.up.Violations())
		}
		s.up.Mute(1)
		muted := time.Now()
		s.up.Publish("room-1", scaiwave.TypeMessage, "")
		for s.slot().State == slots.Live {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(muted); took > 27500*time.Millisecond+10*time.Second+100*time.Millisecond {
			t.Errorf("noticed after %v", took)
		}
		s.confirmed(1, time.Minute)
		s.hush()
		s.whole(true)
	})
}

func TestTheFirstRedialIsAtOnceAndTheNextOnesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(0), nil, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(2 * time.Minute)
		begin := time.Now()
		s.up.Change(func(o *scaiwave.Options) { o.Refuse = 1 })
		s.up.Reset(s.conn())
		time.Sleep(time.Hour)
		list := s.streamsSince(begin)
		if len(list) < 120 {
			t.Fatalf("%d dials in an hour", len(list))
		}
		before, longest := begin, time.Duration(0)
		for i, c := range list {
			most := min(30*time.Second, time.Second<<min(max(0, i-1), 5))
			if i == 0 {
				most = 0
			}
			d := c.Accepted.Sub(before)
			if before = c.Accepted; d > most+10*time.Millisecond {
				t.Errorf("dial %d came after %v, not %v", i, d, most)
			}
			longest = max(longest, d)
		}
		if longest < 20*time.Second {
			t.Errorf("the longest wait was %v", longest)
		}
	})
}

func TestARebuiltUpstreamIsAGapThatNothingFills(t *testing.T) {
	for _, quiet := range []time.Duration{0, 10 * time.Minute} { // between its return and its first event
		synctest.Test(t, func(t *testing.T) {
			s := embark(t, paced(10), func(s *sea) { s.keep.exact = false }, "*")
			s.confirmed(1, time.Minute)
			time.Sleep(5 * time.Minute)
			s.up.Change(func(o *scaiwave.Options) { o.Rate = 0 })
			time.Sleep(3 * time.Second)
			s.sink.take()
			old, err := strconv.Atoi(s.keep.position())
			if err != nil || old < 1000 {
				t.Fatalf("the position is %d, %v", old, err)
			}
			lastKnown := s.bus.received()
			s.up.Rebuild()
			rebuilt := time.Now()
			if quiet > 0 {
				s.confirmed(1, time.Minute)
				time.Sleep(quiet)
			}
			s.up.Change(func(o *scaiwave.Options) { o.Rate = 10 })
			time.Sleep(30 * time.Second)
			var none []GapNotice
			_, notices := s.sink.take()
			for _, n := range notices {
				var g GapNotice
				if json.Unmarshal([]byte(n.body), &g) == nil && g.Phase == GapClosed && g.Cause == cause.Rebuilt {
					none = append(none, g)
				}
			}
			if len(none) != 1 || none[0].Filled != NotFilled || none[0].At != AtUpstream || none[0].From.After(rebuilt) || none[0].To.Before(rebuilt) {
				t.Errorf("rebuilt at %v: %+v", rebuilt, none)
			}
			if !slices.ContainsFunc(notices, func(n savedNotice) bool {
				return strings.HasPrefix(n.subject, "feedmux.feed.") && strings.Contains(n.body, `"cause":"rebuilt"`)
			}) {
				t.Error("no notice of the feed")
			}
			if n := s.log.count("level=ERROR", "rebuilt"); n == 0 {
				t.Error("no error in the log")
			}
			if n, _ := strconv.Atoi(s.keep.position()); n >= old || n == 0 {
				t.Errorf("the position is %d", n)
			}
			s.hush()
			s.bus.mu.Lock()
			s.bus.got = s.bus.got[len(lastKnown):]
			s.bus.mu.Unlock()
			s.whole(true)
			s.stop()
			s.run() // it goes on in the new history
			s.up.Change(func(o *scaiwave.Options) { o.Rate = 10 })
			time.Sleep(time.Minute)
			s.hush()
			s.whole(true)
		})
	}
}

func TestALongOutageIsPolledThroughWhileDialsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(5), nil, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.sink.take()
		begin := time.Now()
		s.up.Change(func(o *scaiwave.Options) { o.Refuse = 1 })
		s.up.Reset(s.conn())
		time.Sleep(29 * time.Second)
		synctest.Wait()
		before := len(s.bus.received())
		time.Sleep(5 * time.Second)
		for range 10 {
			time.Sleep(time.Minute)
			synctest.Wait()
			got := s.bus.received()
			sent, _ := s.up.Published()
			if behind := len(sent) - len(got); behind > 10 { // two seconds' worth
				t.Errorf("%d events behind", behind)
			}
		}
		if len(s.bus.received()) < before+1000 || len(s.streamsSince(begin)) < 20 {
			t.Errorf("%d events and %d dials in ten minutes", len(s.bus.received())-before, len(s.streamsSince(begin)))
		}
		if got := s.status().Topics; got.Confirmed != 0 {
			t.Errorf("%+v", got)
		}
		s.up.Change(func(o *scaiwave.Options) { o.Refuse = 0 })
		s.confirmed(1, time.Minute)
		if gaps := s.closedGaps(); len(gaps) != 1 || gaps[0].Filled != AllFilled || gaps[0].Cause != cause.Reset {
			t.Errorf("%+v", gaps)
		}
		s.hush()
		s.whole(true)
	})
}

func TestAFullBufferLosesNothingAndIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := paced(50)
		o.Typing = 0.1
		s := embark(t, o, nil, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.sink.take()
		s.bus.set(50, true)
		time.Sleep(3 * time.Second)
		stands := s.keep.position()
		time.Sleep(8 * time.Minute)
		if s.keep.position() != stands {
			t.Error("the position went on while NATS stood still")
		}
		if got := s.slot(); got.State != slots.Live || time.Since(got.LastFrame) > time.Second {
			t.Errorf("the stream is not read: %+v", got)
		}
		s.bus.set(50, false)
		time.Sleep(2 * time.Minute)
		s.bus.set(0, false)
		time.Sleep(time.Minute)
		s.hush()
		s.whole(true)
		if n := len(s.up.Conns()); n != 1 || len(s.up.Violations()) > 0 {
			t.Errorf("%d streams, %v", n, s.up.Violations())
		}
		if n := len(s.up.Syncs()); n < 10 {
			t.Errorf("%d requests: nothing was left out and fetched", n)
		}
		if _, notices := s.sink.take(); len(notices) > 0 {
			t.Errorf("noticed: %q", notices)
		}
	})
}

func TestWhatCannotBeFetchedIsSaid(t *testing.T) {
	for name, after := range map[string]int{NotFilled: 0, PartlyFilled: 2} { // good answers
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := embark(t, paced(20), nil, "*")
				s.confirmed(1, time.Minute)
				time.Sleep(2 * time.Minute)
				s.sink.take()
				s.net.SetRefuse(true)
				s.web.CloseIdleConnections()
				from := time.Now()
				s.up.Reset(s.conn())
				time.Sleep(2 * time.Minute)
				if after == 0 {
					s.up.Change(func(o *scaiwave.Options) { o.SyncGone = 404 })
				} else {
					s.up.Change(func(o *scaiwave.Options) { o.SyncDelay = 2 * time.Second })
				}
				asked := len(s.up.Syncs())
				s.net.SetRefuse(false)
				for after > 0 && len(s.up.Syncs()) < asked+after {
					time.Sleep(100 * time.Millisecond)
				}
				if after > 0 {
					s.up.Change(func(o *scaiwave.Options) { o.SyncDelay, o.SyncGone = 0, 404 })
				}
				if got := s.confirmed(1, 8*time.Minute); got < 4*time.Minute {
					t.Errorf("given up after %v", got)
				}
				s.up.Change(func(o *scaiwave.Options) { o.SyncGone = 0 })
				gaps := s.closedGaps()
				if len(gaps) != 1 || gaps[0].Filled != name {
					t.Fatalf("%+v", gaps)
				}
				if g := gaps[0]; name == PartlyFilled && (!g.FilledTo.After(from) || !g.FilledTo.Before(g.To)) {
					t.Errorf("cut at %v: %+v", from, g)
				}
			})
		})
	}
}

func TestTheVeryFirstStartIsWhereItIsToldToBe(t *testing.T) {
	for start, first := range map[string]int64{"": 101, "0": 1, "42": 43} {
		synctest.Test(t, func(t *testing.T) {
			s := embark(t, paced(0), func(s *sea) {
				s.start = start
				for range 100 {
					s.up.Publish("room-1", scaiwave.TypeMessage, "")
				}
			}, "*")
			s.confirmed(1, time.Minute)
			s.up.Publish("room-1", scaiwave.TypeMessage, "")
			time.Sleep(5 * time.Second)
			got := s.bus.received()
			if len(got) != int(102-first) || got[0].Position != first {
				t.Errorf("start %q: %d events, the first %+v", start, len(got), got[:min(1, len(got))])
			}
			if s.keep.position() != "101" {
				t.Errorf("the position is %s", s.keep.position())
			}
			s.stop()
			s.run()
			s.confirmed(1, time.Minute)
			time.Sleep(5 * time.Second)
			if n := len(s.bus.received()) - len(got); n != 0 {
				t.Errorf("start %q: %d events came again", start, n)
			}
		})
	}
}

func TestAnEventOfManyTopicsIsPublishedOnce(t *testing.T) {
	for _, wanted := range [][]shard.Topic{
		{"*", "room-1", "room-1/swp.room.message", "room-2/swp.room.message"},
		{"room-1", "room-2/swp.room.message", "room-9/swp.room.name"},
		{"room-3/typing"},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := paced(50)
			o.Others, o.Typing, o.Presence = 0.3, 0.1, 0.1
			s := embark(t, o, nil, wanted...)
			s.confirmed(len(wanted), time.Minute)
			time.Sleep(time.Minute)
			s.up.Reset(s.conn())
			time.Sleep(time.Minute)
			s.hush()
			s.whole(true)
			kinds := make(map[string]int)
			for _, b := range s.bus.received() {
				kinds[b.Room+"/"+b.Type]++
				if b.Position != 0 && !s.wants(scaiwave.Event{Room: b.Room, Type: b.Type}) {
					t.Fatalf("nobody wants %+v", b)
				}
			}
			for _, line := range s.status().Ledger {
				n := kinds[string(line.Topic)]
				if strings.Contains(string(line.Topic), "/") && (int(line.Events) != n || n == 0) {
					t.Errorf("%s: %d events are counted, %d came", line.Topic, line.Events, n)
				}
			}
		})
	}
}

func TestThePositionIsSavedEachSecondAndNeverPassesWhatNATSHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(50), nil, "*")
		s.confirmed(1, time.Minute)
		for i := range 20 { // Save itself checks the position
			s.bus.set(0, i%2 == 0)
			time.Sleep(time.Duration(i) * 700 * time.Millisecond)
		}
		s.bus.set(0, false)
		time.Sleep(2 * time.Second)
		begin := time.Now()
		time.Sleep(time.Minute)
		s.keep.mu.Lock()
		defer s.keep.mu.Unlock()
		before := begin
		for _, at := range s.keep.saves {
			if at.After(begin) && at.Sub(before) > time.Second {
				t.Errorf("no position was saved for %v", at.Sub(before))
			}
			before = at
		}
		if time.Since(before) > time.Second {
			t.Errorf("no position was saved for %v", time.Since(before))
		}
	})
}

func TestARestartIsAGapThatIsFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(20), nil, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		stopped := time.Now()
		s.stop()
		time.Sleep(5 * time.Minute)
		s.sink.take()
		s.up.Change(func(o *scaiwave.Options) { o.SyncDelay = 500 * time.Millisecond })
		s.run()
		time.Sleep(2 * time.Second) // it catches up
		got := s.status()
		if line := s.topic("*"); got.Slots[0].State != slots.Live || line.State == topic.Confirmed || got.Topics.Ready() != 0 {
			t.Errorf("while it catches up: slot %s, topic %s, ready %v", got.Slots[0].State, line.State, got.Topics.Ready())
		}
		begin := time.Now()
		s.stop() // SIGTERM does not wait for it
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the end took %v", took)
		}
		s.run()
		s.confirmed(1, time.Minute)
		gaps := s.closedGaps()
		if len(gaps) != 1 || gaps[0].Cause != cause.Restart || gaps[0].Filled != AllFilled || gaps[0].From.After(stopped) {
			t.Errorf("stopped at %v: %+v", stopped, gaps)
		}
		if s.topic("*").By != topic.ByAck {
			t.Errorf("confirmed by %s", s.topic("*").By)
		}
		s.hush()
		s.whole(true)
	})
}

func TestALineThatIsCutLosesNothingAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := paced(50)
		o.Race, o.Holes = true, 0.2
		s := embark(t, o, func(s *sea) { s.start = "0" }, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		for range 20 {
			s.sink.take()
			s.up.Reset(s.conn())
			time.Sleep(time.Duration(s.bus.rand.Int64N(int64(30 * time.Second))))
			s.confirmed(1, time.Minute)
			if gaps := s.closedGaps(); len(gaps) != 1 || gaps[0].Filled != AllFilled || gaps[0].Cause != cause.Reset {
				t.Errorf("%+v", gaps)
			}
		}
		s.hush()
		s.whole(true)
	})
}
