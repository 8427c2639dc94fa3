package pool

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/bubble"
	"feedmux/internal/sim"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/limiter"
	"feedmux/shard"
)

// soak is a scene in which something goes wrong each minute.
type soak struct {
	*scene
	r    *rand.Rand
	last map[string]uint64 // the newest event of each topic
}

// A day of ten connections with a fault a minute: the cap, the budget and the order of events hold all the time, and in
// the end the ledger says what the upstream does.
func TestADayWithAFaultAMinute(t *testing.T) {
	length := 24 * time.Hour
	if bubble.Raced || testing.Short() {
		length = time.Hour
	}
	synctest.Test(t, func(t *testing.T) {
		const seed = 11
		s := &soak{r: rand.New(rand.NewPCG(seed, seed)), last: make(map[string]uint64)}
		o := twitch.PubSubOptions{Options: upstream.Options{Seed: seed, Rate: 2, Connections: -1}} // the network counts better
		s.scene = play(t, o, topics(500), withCredential)
		s.confirmed(500, time.Minute)
		for n := time.Duration(0); n < length/time.Minute || n < 24*60 && len(s.up.Unfired()) > 0; n++ {
			s.minute()
			s.check()
		}
		time.Sleep(70 * time.Minute) // refusals are forgotten, and what is half open is noticed
		s.check()
		s.arrive()
		t.Logf("%d dials; faults: %v; ended: %v", len(s.net.Dials()), s.up.Fired(), s.status().Counters.Disconnects)
	})
}

// minute lets one thing go wrong, for a while where it is no single event.
func (s *soak) minute() {
	pause := time.Duration(s.r.Int64N(int64(30 * time.Second)))
	time.Sleep(30*time.Second - pause)
	undo := s.fault()
	time.Sleep(30*time.Second + pause)
	undo()
}

func (s *soak) fault() (undo func()) {
	change := func(with func(o *twitch.PubSubOptions)) func() {
		s.up.Change(with)
		if open := s.open(); len(open) > 0 && s.r.IntN(2) == 0 {
			s.up.Reset(open[s.r.IntN(len(open))]) // who dials feels it
		}
		return func() {
			s.up.Change(func(o *twitch.PubSubOptions) {
				o.Refuse, o.RetryAfter, o.RefuseStatus, o.AcceptThenClose, o.HandshakeDelay, o.CloseDelay = 0, 0, 0, false, 0, 0
				o.PongDelay, o.PongLoss, o.ResponseDelay, o.ResponseLoss, o.ServerErrors = 0, 0, 0, 0, 0
				o.PoisonTopics, o.Unknown, o.Spaces, o.Newline, o.OversizeEvery, o.GarbageEvery = nil, 0, false, false, 0, 0
			})
		}
	}
	undo = func() {}
	switch s.r.IntN(24) {
	case 0:
		s.net.SetRefuse(true)
		s.storm()
		undo = func() { s.net.SetRefuse(false) }
	case 1:
		s.net.SetHang(true)
		s.storm()
		undo = func() { s.net.SetHang(false) }
	case 2:
		s.storm()
	case 3:
		undo = change(func(o *twitch.PubSubOptions) { o.Refuse = 0.7 })
	case 4:
		undo = change(func(o *twitch.PubSubOptions) { o.Refuse, o.RefuseStatus, o.RetryAfter = 1, 429, 2*time.Minute })
	case 5:
		undo = change(func(o *twitch.PubSubOptions) { o.AcceptThenClose = true })
	case 6:
		undo = change(func(o *twitch.PubSubOptions) { o.HandshakeDelay, o.CloseDelay = 3*time.Second, time.Second })
		s.pool.Renew()
	case 7:
		undo = change(func(o *twitch.PubSubOptions) { o.ResponseDelay, o.PongDelay = 2*time.Second, 2*time.Second })
	case 8:
		undo = change(func(o *twitch.PubSubOptions) { o.ResponseLoss, o.PongLoss, o.ServerErrors = 0.3, 0.3, 0.3 })
	case 9:
		undo = change(func(o *twitch.PubSubOptions) { o.PoisonTopics = []string{"*.1?"} })
	case 10:
		undo = change(func(o *twitch.PubSubOptions) {
			o.Unknown, o.Spaces, o.Newline = 0.5, true, true
			o.OversizeEvery, o.OversizeBytes, o.GarbageEvery = 20*time.Second, 1<<20+1, 20*time.Second
		})
	case 11:
		undo = change(func(o *twitch.PubSubOptions) { o.Refuse, o.RefuseStatus = 1, 401 })
		again := undo
		undo = func() { again(); s.pool.CredentialChanged() }
	case 12:
		s.pool.Renew()
	case 13:
		s.pool.Want(topics(500 - s.r.IntN(100)))
		undo = func() { s.pool.Want(topics(500)) }
	case 14, 15, 16: // the network forgets a connection
		if conns := s.net.Conns(); len(conns) > 0 {
			c := conns[s.r.IntN(len(conns))]
			[]func(*sim.Conn){(*sim.Conn).Cut, (*sim.Conn).CutIn, (*sim.Conn).CutOut}[s.r.IntN(3)](c)
		}
	default:
		if open := s.open(); len(open) > 0 {
			id := open[s.r.IntN(len(open))]
			faults := []func(id int) bool{
				s.up.Reset, s.up.FIN, s.up.Mute, s.up.BadFrame, s.up.Garbage, s.up.Reconnect,
				func(id int) bool { return s.up.Close(id, 1012, "restart") },
				func(id int) bool { return s.up.Close(id, 4100, "ping pong failed") },
				func(id int) bool { return s.up.Revoke(id, fmt.Sprintf("video-playback-by-id.%d", s.r.IntN(500))) },
			}
			if i := s.r.IntN(len(faults)); !faults[i](id) {
				s.t.Errorf("fault %d does not strike connection %d", i, id)
			}
		}
	}
	return undo
}

func (s *soak) storm() {
	if s.up.Open() > 0 {
		s.up.ResetAll()
	}
}

// open are the connections that a fault can strike.
func (s *soak) open() (ids []int) {
	synctest.Wait()
	s.up.Mu.Lock()
	defer s.up.Mu.Unlock()
	for _, client := range s.up.ClientsLocked() { // Conns copies all that they did in a day
		c := client.RecordLocked()
		if !c.Upgraded.IsZero() && c.Ended.IsZero() && c.Why == "" && !c.Muted {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// check looks at what must hold all the time.
func (s *soak) check() {
	s.t.Helper()
	got := s.status()
	if n := got.Account.Connections; n > 10 || n < s.net.Open() {
		s.t.Errorf("the account counts %d connections, the network %d", n, s.net.Open())
	}
	if n := got.Topics.Unplaced + got.Topics.Assigned + got.Topics.Asked + got.Topics.Confirmed + got.Topics.Refused; n != got.Topics.Wanted {
		s.t.Errorf("%+v", got.Topics)
	}
	events, _ := s.sink.take()
	for _, e := range events {
		n, ok := twitch.EventNumber([]byte(e.body))
		if !ok || n <= s.last[e.subject] {
			s.t.Fatalf("%s: event %d came after %d (slot %d, life %d)", e.subject, n, s.last[e.subject], e.slot, e.life)
		}
		s.last[e.subject] = n
	}
}

// arrive looks at what must hold when it is over.
func (s *soak) arrive() {
	s.t.Helper()
	got, listening := s.status(), s.up.Listening()
	if got.Topics.Confirmed != 500 || len(listening) != 500 || got.Account.Connections != 10 || s.up.Open() != 10 {
		s.t.Errorf("%+v; the upstream sends %d on %d connections of %d", got.Topics, len(listening), s.up.Open(), got.Account.Connections)
	}
	for name, conns := range listening {
		if len(conns) != 1 {
			s.t.Errorf("%s is sent to %v", name, conns)
		}
	}
	if n := s.net.MaxOpen(); n > 10 {
		s.t.Errorf("%d sockets were open at once", n)
	}
	sockets := s.net.Sockets()
	for i := 1; i < len(sockets); i++ {
		began, before := sockets[i].Dialled, sockets[i-1]
		ended := before.Connected
		if ended.IsZero() {
			ended = before.ClientEnd
		}
		if began.Sub(ended) < 2*time.Second {
			s.t.Errorf("dial %d began at %v, the one before ended at %v", i, began, ended)
		}
	}
	for _, v := range s.up.Violations() {
		if v.Rule != upstream.RuleWSPong { // a connection that is half open has none
			s.t.Errorf("rule broken: %+v", v)
		}
	}
}

func TestTenThousandReconnectsLeaveNothingBehind(t *testing.T) {
	rounds := 10
	if bubble.Raced || testing.Short() {
		rounds = 2
	}
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, topics(100), func(o *Options) {
			connections(o, 10)
			o.TopicsPerConnection = 10
			o.Conn.Backoff = limiter.Backoff{Base: time.Millisecond, Max: time.Millisecond, Settle: time.Minute}
			o.Conn.Share = shareBy(chance{1, o.Conn.Backoff}, 10, limiter.Window{N: 100, Per: time.Second}, 10)
		}, func(p *peer) {
			p.open()
			r, _ := p.next()
			p.answer(r, "")
			p.event(shard.Topic("video-playback-by-id.0"))
			time.Sleep(20 * time.Millisecond)
			p.Reset()
		})
		thousand := func() (heap uint64, goroutines int) {
			for to := len(s.net.Dials()) + 1000; len(s.net.Dials()) < to; s.sink.take() {
				time.Sleep(time.Second)
			}
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc, runtime.NumGoroutine()
		}
		heap, goroutines := thousand()
		begin := heap
		for range rounds {
			heap, _ = thousand()
		}
		// Of each dial the network keeps some hundred bytes, in a list that doubles. A buffer of each life would be 32 KiB.
		if heap > begin+8<<20 {
			t.Errorf("%d KiB in use after 1,000 reconnects, %d KiB after %d,000 more", begin>>10, heap>>10, rounds)
		}
		s.end()
		<-s.done
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > goroutines-11 { // the pool and ten conns at least are over
			t.Errorf("%d goroutines while it ran, %d afterwards", goroutines, n)
		}
		if got := len(s.net.Conns()); got != 0 {
			t.Errorf("%d sockets are open", got)
		}
		t.Logf("%d dials, %d KiB, then %d KiB", len(s.net.Dials()), begin>>10, heap>>10)
	})
}
