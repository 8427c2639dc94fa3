package pool

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"feedmux/internal/bubble"
	"feedmux/internal/cause"
	"feedmux/internal/conn"
	"feedmux/internal/credential"
	"feedmux/internal/protocol/kite"
	"feedmux/internal/sim"
	simkite "feedmux/internal/sim/kite"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// market is a scene with a simulated Kite.
type market struct {
	*scene
	up *simkite.Ticker
}

// trade is play against Kite, with the figures of its documents and defaults.
func trade(t *testing.T, o simkite.Options, wanted []shard.Wanted, change func(*Options)) *market {
	t.Helper()
	s := &scene{t: t, net: sim.NewNetwork(), sink: &memory{}, done: make(chan struct{})}
	m := &market{s, simkite.NewTicker(o)}
	upstream, endUpstream := context.WithCancel(t.Context())
	served := make(chan struct{})
	l := s.net.Listen()
	go func() {
		defer close(served)
		if err := m.up.Serve(upstream, l); err != nil {
			t.Errorf("simulator: %v", err)
		}
	}()
	opts := kiteOptions(t, s)
	if change != nil {
		change(&opts)
	}
	s.start(opts, wanted, func() {
		endUpstream()
		<-served
		if unfired := m.up.Unfired(); len(unfired) > 0 {
			t.Errorf("faults that were planned and did not happen: %v", unfired)
		}
	})
	return m
}

func kiteOptions(t *testing.T, s *scene) Options {
	o := testOptions(t, s.sink, s.net)
	o.Name = "kite"
	o.Conn.Share = share(3, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
	o.Conn.Connections = 3
	o.Conn.SubscribeBatch = kite.DefaultBatch
	o.Conn.SubscribeRate = limiter.Window{N: 1, Per: kite.DefaultEvery}
	o.Conn.PingInterval = kite.PingInterval
	o.Conn.Branch = func(t *topic.Topic, values [][]byte) (*topic.Topic, error) {
		return t.Form(nil, fmt.Sprintf("feed.f.%s.%s", t.Name, values[0])), nil
	}
	o.TopicsPerConnection = kite.TopicsPerConnection
	o.Note = kite.Note
	speakKite(&o, kite.Options{})
	return o
}

// speakKite lets a pool speak Kite as k says; by default with a token that is good.
func speakKite(o *Options, k kite.Options) {
	k.URL, k.APIKey = "ws://kite.test", "key"
	if k.Token == nil {
		k.Token = func(context.Context) (string, error) { return "good", nil }
	}
	o.Conn.Protocol = kite.New(k)
	o.Conn.Credential = new(credential.Credential)
}

// instruments wants n of them, from a number on: those of NSE, and no two alike.
func instruments(from, n int, mode kite.Mode) []shard.Wanted {
	list := make([]shard.Wanted, n)
	for i := range list {
		token := uint32(from+i+1)<<8 | 1
		list[i] = shard.Wanted{Topic: shard.Topic(fmt.Sprint(token)), Options: kite.Instrument{Token: token, Mode: mode}}
	}
	return list
}

func tokenIn(w shard.Wanted) uint32 { return w.Options.(kite.Instrument).Token }

// small gives each connection room for ten.
func small(o *Options) { o.TopicsPerConnection = 10 }

// rate sets how many ticks a second come.
func (m *market) rate(n float64) { m.up.Change(func(o *simkite.Options) { o.Rate = n }) }

// wantDense fails unless the ticks since the last look are, for each instrument, all from its first to its last one, in
// order; a snapshot may repeat the one before it. It returns how many there were, and how many of these repeats.
func (m *market) wantDense() (n, repeats int) {
	m.t.Helper()
	events, _ := m.sink.takeEvents()
	last := make(map[string]uint64)
	for _, e := range events {
		var tick struct {
			Volume *uint64 `json:"volume_traded"`
		}
		if err := json.Unmarshal([]byte(e.body), &tick); err != nil || tick.Volume == nil {
			m.t.Fatalf("no tick: %v: %s", err, e.body)
		}
		before, known := last[e.subject]
		switch {
		case known && *tick.Volume == before:
			repeats++
		case known && *tick.Volume != before+1:
			m.t.Fatalf("%s: tick %d came after %d (slot %d, life %d)", e.subject, *tick.Volume, before, e.slot, e.life)
		}
		last[e.subject] = *tick.Volume
	}
	return len(events), repeats
}

// wantCalm fails unless no rule was broken, no connection ended, and there were so many dials.
func (m *market) wantCalm(dials int) {
	m.t.Helper()
	if v := m.up.Violations(); len(v) > 0 {
		m.t.Errorf("rules broken: %+v", v)
	}
	if d := m.status().Counters.Disconnects; len(d) > 0 {
		m.t.Errorf("connections ended: %v", d)
	}
	if n := len(m.net.Dials()); n != dials {
		m.t.Errorf("%d dials, want %d", n, dials)
	}
}

func TestKiteNineThousandInstrumentsAreAskedForInPacedBatchesAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := slices.Concat(instruments(0, 3000, kite.Full), instruments(3000, 6100, kite.Quote))
		m := trade(t, simkite.Options{}, wanted, nil)
		m.confirmed(9000, time.Minute)
		got := m.status()
		if got.Capacity != 9000 || got.Topics.Unplaced != 100 || got.Account.Connections != 3 {
			t.Errorf("capacity %d, %+v, %+v", got.Capacity, got.Topics, got.Account)
		}
		if said := noticesOf[CapacityNotice](m.scene, NoticeFeed); !slices.ContainsFunc(said, func(n CapacityNotice) bool { return n.Unplaced == 100 }) {
			t.Errorf("nobody was told: %+v", said)
		}
		for _, c := range m.up.Conns() {
			for i, a := range c.Asks {
				if len(a.Tokens) > 500 || a.Ignored > 0 || a.Error != "" {
					t.Errorf("connection %d: %s of %d, %d of them ignored: %q", c.ID, a.Action, len(a.Tokens), a.Ignored, a.Error)
				}
				if i > 0 && a.At.Sub(c.Asks[i-1].At) < kite.DefaultEvery {
					t.Errorf("connection %d: %v between two messages", c.ID, a.At.Sub(c.Asks[i-1].At))
				}
			}
			if len(c.Instruments) != 3000 {
				t.Errorf("connection %d has %d instruments", c.ID, len(c.Instruments))
			}
		}
		time.Sleep(time.Minute)
		m.wantCalm(3)
	})
}

func TestKiteARefusedTokenIsDialledOnceAndItsSuccessorOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s secret
		s.Store("bad")
		m := trade(t, simkite.Options{Token: "good"}, instruments(0, 30, kite.Quote), func(o *Options) {
			small(o)
			speakKite(o, kite.Options{Token: s.token})
		})
		time.Sleep(time.Hour)
		if n := len(m.net.Dials()); n != 1 || m.states()[slots.Parked] != 3 {
			t.Errorf("%d dials, %v", n, m.states())
		}
		for _, slot := range m.status().Slots {
			if slot.LastCause != cause.Auth || strings.Contains(slot.LastError, "bad") {
				t.Errorf("%+v", slot)
			}
		}
		s.Store("worse")
		m.pool.CredentialChanged()
		time.Sleep(time.Hour)
		if n := len(m.net.Dials()); n != 2 || m.states()[slots.Parked] != 3 {
			t.Errorf("%d dials after another one that is refused, %v", n, m.states())
		}
		s.Store("") // as while the file is written
		m.pool.CredentialChanged()
		time.Sleep(time.Hour)
		if n := len(m.net.Dials()); n != 2 || m.states()[slots.Parked] != 3 {
			t.Errorf("%d dials after it was emptied, %v", n, m.states())
		}
		s.Store("good")
		changed := time.Now()
		m.pool.CredentialChanged()
		m.confirmed(30, 20*time.Second)
		dials := m.net.Dials()
		if len(dials) != 5 || dials[2].Sub(changed) > time.Second {
			t.Fatalf("%d dials, the first after %v", len(dials), dials[2].Sub(changed))
		}
		if c := m.up.Conns(); dials[3].Before(c[2].Upgraded) {
			t.Error("the second dial did not wait for what becomes of the first")
		}
	})
}

func TestKiteAMissingTokenParksWithoutADial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s secret
		s.Store("")
		m := trade(t, simkite.Options{}, instruments(0, 30, kite.Quote), func(o *Options) {
			small(o)
			speakKite(o, kite.Options{Token: s.token})
		})
		time.Sleep(time.Hour)
		if n := len(m.net.Dials()); n != 0 || m.states()[slots.Parked] != 3 {
			t.Errorf("%d dials, %v", n, m.states())
		}
		if s := m.status().Slots; !slices.ContainsFunc(s, func(s SlotStatus) bool { return strings.Contains(s.LastError, "no access token") }) {
			t.Errorf("the status does not say why: %+v", s)
		}
		s.Store("good")
		m.pool.CredentialChanged()
		m.confirmed(30, 20*time.Second)
		m.wantCalm(3)
	})
}

func TestKiteOpenSocketsOutliveTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s secret
		s.Store("yesterday's")
		m := trade(t, simkite.Options{}, instruments(0, 30, kite.Quote), func(o *Options) {
			small(o)
			speakKite(o, kite.Options{Token: s.token})
		})
		m.confirmed(30, time.Minute)
		m.up.TokenDies(time.Now())
		time.Sleep(time.Hour)
		m.wantCalm(3)
		m.up.Reset(2)
		time.Sleep(time.Hour)
		if got := m.states(); got[slots.Parked] != 1 || got[slots.Live] != 2 || len(m.net.Dials()) != 4 {
			t.Errorf("%v, %d dials", got, len(m.net.Dials()))
		}
		s.Store("today's")
		m.pool.CredentialChanged()
		m.confirmed(30, 5*time.Second)
		if n := len(m.net.Dials()); n != 5 {
			t.Errorf("%d dials: the open ones need none", n)
		}
	})
}

// intrude opens a socket of somebody else's with the same key.
func (m *market) intrude() (leave func()) {
	m.t.Helper()
	d := ws.Dialer{NetDial: m.net.DialContext}
	nc, _, _, err := d.Dial(m.t.Context(), "ws://kite.test/?api_key=key&access_token=good")
	if err != nil {
		m.t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(io.Discard, nc)
	}()
	leave = func() {
		nc.Close()
		<-read
	}
	return leave
}

func TestKiteAForeignSocketOnTheKeyIsWaitedForAndLiveOnesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{}, nil, small)
		leave := m.intrude()
		m.pool.Want(instruments(0, 30, kite.Quote))
		begin := time.Now()
		m.confirmed(20, 20*time.Second)
		time.Sleep(2 * time.Hour)
		dials := m.net.Dials()[3:] // but the stranger's, and the two that were let in
		want := []time.Duration{hold, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute}
		for i, least := range want {
			if took := dials[i+1].Sub(dials[i]); took < least || took > least+3*time.Minute {
				t.Errorf("dial %d came %v after the one before, want about %v", i+1, took, least)
			}
		}
		if n := len(dials); n > 15 {
			t.Errorf("%d dials in %v", n, time.Since(begin))
		}
		got := m.status()
		if got.Account.NextDial.IsZero() || got.Topics.Confirmed != 20 || len(got.Counters.Disconnects) != 0 {
			t.Errorf("%+v, %+v, %v", got.Account, got.Topics, got.Counters.Disconnects)
		}
		leave()
		m.confirmed(30, 20*time.Minute)
	})
}

func TestKiteASocketThatLingersIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{Linger: 8 * time.Second}, instruments(0, 30, kite.Quote), small)
		m.confirmed(30, time.Minute)
		time.Sleep(2 * time.Minute)
		m.up.Reset(1)
		lost := time.Now()
		m.confirmed(20, time.Second)
		m.confirmed(30, 30*time.Second)
		dials := m.net.Dials()[3:]
		if len(dials) != 2 || dials[1].Sub(dials[0]) < hold {
			t.Errorf("%d dials, the first after %v", len(dials), dials[0].Sub(lost))
		}
		if d := m.status().Counters; d.Disconnects[cause.Reset] != 1 || len(d.Disconnects) != 1 || d.Dials["ok"] != 4 {
			t.Errorf("%+v", d)
		}
	})
}

// A key that is full for somebody else's sake has room again once one of our own sockets is gone.
func TestKiteALostSocketDoesNotWaitForThePauseThatAForeignOneCaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{}, nil, small)
		leave := m.intrude()
		defer leave()
		m.pool.Want(instruments(0, 30, kite.Quote))
		m.confirmed(20, 20*time.Second)
		time.Sleep(time.Hour) // the pauses are long by now
		for id := 2; id < 4; id++ {
			next := m.status().Account.NextDial
			time.Sleep(time.Until(next) + time.Minute) // a new pause has just begun
			m.up.Reset(id)
			if n := m.status().Topics.Confirmed; n != 10 {
				t.Fatalf("%d confirmed", n)
			}
			if took := m.confirmed(20, 20*time.Minute); took > 2*hold {
				t.Errorf("it came back after %v", took)
			}
		}
	})
}

// interest keeps somebody else, with a key of their own, subscribed to instruments until the test ends: so they tick, whatever
// becomes of the pool's connections.
func (m *market) interest(wanted []shard.Wanted) {
	ctx, end := context.WithCancel(m.t.Context())
	ended := make(chan struct{})
	m.t.Cleanup(func() {
		end()
		<-ended
	})
	var tokens []uint32
	for _, w := range wanted {
		tokens = append(tokens, tokenIn(w))
	}
	ask, err := json.Marshal(map[string]any{"a": "subscribe", "v": tokens})
	if err != nil {
		m.t.Fatal(err)
	}
	d := ws.Dialer{NetDial: m.net.DialContext}
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if nc, _, _, err := d.Dial(ctx, "ws://kite.test/?api_key=another&access_token=good"); err == nil {
				stop := context.AfterFunc(ctx, func() { nc.Close() })
				ws.WriteFrame(nc, ws.MaskFrame(ws.NewTextFrame(ask)))
				io.Copy(io.Discard, nc)
				nc.Close()
				stop()
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
}

// heartbeat is Kite's.
func (p *peer) heartbeat() { ws.WriteFrame(p.Conn, ws.NewBinaryFrame([]byte{0})) }

func performKite(t *testing.T, n int, change func(*Options), serve func(*peer)) *scene {
	return perform(t, instruments(0, n, kite.Quote), func(o *Options) {
		c := kiteOptions(t, &scene{sink: o.Sink.(*memory)})
		c.Conn.DialContext, c.Sink = o.Conn.DialContext, o.Sink
		*o = c
		oneConnection(o)
		if change != nil {
			change(o)
		}
	}, serve)
}

func TestKiteATopicIsAssumedTwoSecondsAfterItsAskIfAnythingCameSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := 5 * time.Second // the heartbeat after the ask
		var asked time.Time
		s := performKite(t, 10, nil, func(p *peer) {
			p.open()
			p.heartbeat()
			p.next()
			asked = time.Now()
			time.Sleep(late)
			for range 20 {
				p.heartbeat()
				time.Sleep(time.Second)
			}
		})
		s.confirmed(10, 10*time.Second)
		if took := time.Since(asked); took < late || took > late+1100*time.Millisecond {
			t.Errorf("after %v", took)
		}
		if line := s.status().Ledger[0]; line.By != topic.ByAssumed {
			t.Errorf("by %q", line.By)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var asked time.Time
		s := performKite(t, 10, nil, func(p *peer) {
			p.open()
			go p.obeySilently()
			asked = time.Now()
			for range 60 {
				p.heartbeat()
				time.Sleep(500 * time.Millisecond)
			}
		})
		s.confirmed(10, 10*time.Second)
		if took := time.Since(asked); took < 2*time.Second || took > 2200*time.Millisecond {
			t.Errorf("after %v", took)
		}
	})
}

func TestKiteAnErrorPutsOffWhatIsAssumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked time.Time
		s := performKite(t, 10, nil, func(p *peer) {
			p.open()
			p.heartbeat()
			p.next()
			asked = time.Now()
			for i := range 60 {
				if i == 3 {
					p.say(`{"type":"error","data":"Sorry, try later."}`)
				}
				p.heartbeat()
				time.Sleep(500 * time.Millisecond)
			}
		})
		s.confirmed(10, 10*time.Second)
		if took := time.Since(asked); took < 3500*time.Millisecond || took > 3700*time.Millisecond {
			t.Errorf("after %v", took)
		}
	})
}

// obeySilently reads until the pool closes.
func (p *peer) obeySilently() {
	for {
		if _, ok := p.next(); !ok {
			return
		}
	}
}

func TestKiteADeadConnectionIsNeverAssumedToSendAndEndsAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := performKite(t, 10, nil, func(p *peer) {
			p.open()
			p.heartbeat()
			p.obeySilently()
		})
		begin := time.Now()
		for time.Since(begin) < 10*time.Minute {
			if got := s.status(); got.Topics.Confirmed > 0 {
				t.Fatal("it is confirmed")
			}
			time.Sleep(500 * time.Millisecond)
		}
		if d := s.status().Counters.Disconnects; d[cause.Silent] < 4 || len(d) != 1 {
			t.Errorf("%v", d)
		}
		if dials := s.net.Dials(); dials[1].Sub(dials[0]) < kite.Silence || dials[1].Sub(dials[0]) > kite.Silence+hold+3*time.Second {
			t.Errorf("%v between the first dials", dials[1].Sub(dials[0]))
		}
	})
}

func TestKiteSilenceEndsALifeAndAQuietMarketDoesNot(t *testing.T) {
	for name, strike := range map[string]func(*market) bool{
		"nothing is sent any more": func(m *market) bool { return m.up.Mute(1) },
		"no heartbeats any more":   func(m *market) bool { return m.up.StopHeartbeat(1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := trade(t, simkite.Options{HeartbeatIdle: true}, instruments(0, 30, kite.Quote), small)
				m.confirmed(30, time.Minute)
				time.Sleep(time.Hour)
				m.wantCalm(3)
				strike(m)
				struck := time.Now()
				m.confirmed(20, time.Minute)
				if took := time.Since(struck); took > 2*kite.Silence || took < kite.Silence-1100*time.Millisecond { // the answer to a ping may come yet
					t.Errorf("noticed after %v", took)
				}
				if d := m.status().Counters.Disconnects; d[cause.Silent] != 1 || len(d) != 1 {
					t.Errorf("%v", d)
				}
				m.confirmed(30, time.Minute)
			})
		})
	}
}

func TestKiteAPingsRoundTripIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{}, instruments(0, 30, kite.Quote), small)
		m.confirmed(30, time.Minute)
		time.Sleep(10 * time.Minute)
		h := m.status().Counters.PingRTT
		n := uint64(0)
		for _, c := range h.Counts {
			n += c
		}
		if n < 3*22 || n > 3*26 {
			t.Errorf("%d round trips in ten minutes", n)
		}
	})
}

func TestKiteTooManyInstrumentsOnceCostsAPauseAndNoCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{}, nil, nil)
		m.up.SetCap(1, 1999)
		m.pool.Want(instruments(0, 3000, kite.Quote))
		m.confirmed(3000, time.Minute)
		c := m.up.Conns()
		if len(c) != 2 || c[1].Accepted.Sub(c[0].Ended) < hold || c[1].Accepted.Sub(c[0].Ended) > hold+5*time.Second {
			t.Fatalf("%d dials", len(c))
		}
		got := m.status()
		if got.Capacity != 9000 || got.Topics.Unplaced != 0 || got.Counters.Disconnects[cause.RateLimited] != 1 {
			t.Errorf("%d, %+v, %v", got.Capacity, got.Topics, got.Counters.Disconnects)
		}
		words := noticesOf[UpstreamNotice](m.scene, NoticeFeed)
		if !slices.ContainsFunc(words, func(n UpstreamNotice) bool { return strings.Contains(n.Text, "subscribe to more than 3000") }) {
			t.Errorf("%+v", words)
		}
	})
}

func TestKiteTooManyInstrumentsTwiceLowersTheSlotByABatch(t *testing.T) {
	for name, connections := range map[string]int{"another slot has room": 2, "no slot has room": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := trade(t, simkite.Options{}, nil, func(o *Options) {
					o.Conn.Share = share(connections, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
					o.Conn.Connections = connections
				})
				m.up.SetCap(1, 2700)
				m.up.SetCap(2, 2700)
				m.pool.Want(instruments(0, 3000, kite.Quote))
				want := 3000
				if connections == 1 {
					want = 2500
				}
				m.confirmed(want, 2*time.Minute)
				time.Sleep(50 * time.Minute)
				got := m.status()
				if got.Topics.Confirmed != want || got.Topics.Unplaced != 3000-want || got.Capacity != 3000*connections-500 {
					t.Errorf("capacity %d, %+v", got.Capacity, got.Topics)
				}
				if d := got.Counters.Disconnects; d[cause.RateLimited] != 2 || len(d) != 1 {
					t.Errorf("%v", d)
				}
				c := m.up.Conns()
				if c[1].Accepted.Sub(c[0].Ended) < hold || c[2].Accepted.Sub(c[1].Ended) < hold && connections == 1 {
					t.Error("a dial before hold was over")
				}
				if connections == 1 {
					said := noticesOf[CapacityNotice](m.scene, NoticeFeed)
					if !slices.ContainsFunc(said, func(n CapacityNotice) bool { return n.Unplaced == 500 && n.Capacity == 2500 }) {
						t.Error("nobody was told of topics without a place")
					}
					if line := got.Ledger[2999]; !strings.Contains(line.Reason, "takes no more topics") {
						t.Errorf("%+v", line)
					}
				}
				time.Sleep(15 * time.Minute) // it may have been for a while only
				if got := m.status(); got.Topics.Confirmed != 3000 || got.Capacity != 3000*connections || got.Counters.Disconnects[cause.RateLimited] != 2 {
					t.Errorf("an hour later: capacity %d, %+v, %v", got.Capacity, got.Topics, got.Counters.Disconnects)
				}
			})
		})
	}
}

// What it was asked for just now is all that it can mean.
func TestKiteTooManyInstrumentsOnASettledConnectionCostNobodyElseAnything(t *testing.T) {
	for name, connections := range map[string]int{"another slot has room": 2, "no slot has room": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := trade(t, simkite.Options{}, nil, func(o *Options) {
					o.Conn.Share = share(connections, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
					o.Conn.Connections = connections
				})
				m.up.SetCap(1, 2700)
				m.pool.Want(instruments(0, 2500, kite.Quote))
				m.confirmed(2500, time.Minute)
				time.Sleep(2 * time.Minute)
				m.pool.Want(instruments(0, 3000, kite.Quote))
				want := 3000
				if connections == 1 {
					want = 2500
				}
				time.Sleep(time.Minute)
				got := m.status()
				if got.Topics.Confirmed != want || got.Topics.Unplaced != 3000-want || len(got.Counters.Disconnects) > 0 {
					t.Errorf("%+v, %v", got.Topics, got.Counters.Disconnects)
				}
				if len(got.Counters.Gaps) > 0 {
					t.Errorf("gaps %v", got.Counters.Gaps)
				}
				if n := len(m.up.Conns()[0].Instruments); n != 2500 {
					t.Errorf("the upstream sends %d instruments", n)
				}
			})
		})
	}
}

// An end that the upstream does not see makes it count the instruments of the life before: our own ends must not do that.
func TestKiteTheEndOfALifeWithTooManyIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{LingerInstruments: time.Minute}, nil, func(o *Options) {
			o.Conn.Share = share(1, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
			o.Conn.Connections = 1
		})
		m.up.SetCap(1, 1999)
		m.pool.Want(instruments(0, 3000, kite.Quote))
		m.confirmed(3000, time.Minute)
		if d := m.status().Counters.Disconnects; d[cause.RateLimited] != 1 || len(d) != 1 {
			t.Errorf("%v", d)
		}
		m.up.Reset(2) // one that the upstream does not see, to know that it would have counted
		time.Sleep(time.Minute)
	})
}

// Its old connection counts for a minute after the upstream lost it: that costs time, and room for an hour at most.
func TestKiteALingeringConnectionCostsNoRoomForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{LingerInstruments: time.Minute}, nil, func(o *Options) {
			o.Conn.Share = share(1, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
			o.Conn.Connections = 1
		})
		m.pool.Want(instruments(0, 3000, kite.Quote))
		m.confirmed(3000, time.Minute)
		time.Sleep(2 * time.Minute)
		m.up.Reset(1)
		m.confirmed(2000, 90*time.Second)
		time.Sleep(70 * time.Minute)
		if got := m.status(); got.Topics.Confirmed != 3000 || got.Counters.Disconnects[cause.RateLimited] > 3 {
			t.Errorf("%+v, %v", got.Topics, got.Counters.Disconnects)
		}
	})
}

func TestKiteAChangedModeCostsNoTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{}, instruments(0, 3000, kite.Quote), nil)
		m.confirmed(3000, time.Minute)
		m.rate(3000)
		time.Sleep(10 * time.Second)
		m.sink.take()
		for _, mode := range []kite.Mode{kite.Full, kite.Quote} {
			m.pool.Want(instruments(0, 3000, mode))
			time.Sleep(5 * time.Second)
			events, notices := m.sink.take()
			m.sink.events = events
			for _, n := range notices {
				if strings.HasPrefix(n.subject, "feedmux.gap.") {
					t.Fatalf("a gap: %s", n.body)
				}
			}
			if n, _ := m.wantDense(); n < 14_000 {
				t.Errorf("%d ticks in 5 s", n)
			}
			for token, got := range m.up.Conns()[0].Instruments {
				if string(got) != mode.String() {
					t.Fatalf("%d has mode %s", token, got)
				}
			}
		}
		subscribes, modes := 0, 0
		for _, a := range m.up.Conns()[0].Asks {
			switch a.Action {
			case "subscribe":
				subscribes++
			case "mode":
				modes++
			default:
				t.Errorf("%s", a.Action)
			}
		}
		if subscribes != 6 || modes != 12 {
			t.Errorf("%d subscribes, %d modes", subscribes, modes)
		}
		m.wantCalm(1)
	})
}

func TestKiteATopicThatBecameAnotherInstrumentIsAskedForAnewAndSaidToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := instruments(0, 3, kite.Full)
		wanted[0].Topic = "NSE:INFY"
		m := trade(t, simkite.Options{}, wanted, nil)
		m.confirmed(3, time.Minute)
		m.rate(10)
		time.Sleep(time.Minute)
		m.sink.take()
		old := tokenIn(wanted[0])
		changed := slices.Clone(wanted)
		changed[0].Options = kite.Instrument{Token: 999<<8 | 1, Mode: kite.Full, Was: old}
		m.pool.Want(changed)
		time.Sleep(time.Minute)
		said := noticesOf[TopicNotice](m.scene, NoticeTopicState)
		want := fmt.Sprintf("the instruments file gives it token %d, where it was %d", 999<<8|1, old)
		n := 0
		for _, s := range said {
			if s.Topic == "NSE:INFY" && s.Reason == want {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d notices that say so: %+v", n, said)
		}
		has := m.up.Conns()[0].Instruments
		if _, still := has[old]; still || has[999<<8|1] != simkite.ModeFull || len(has) != 3 {
			t.Errorf("%v", has)
		}
		if line := m.topic("NSE:INFY"); line.State != topic.Confirmed {
			t.Errorf("%+v", line)
		}
		m.wantCalm(1)
	})
}

// wantOrdersOnce fails unless each postback since the last look came once, on its subject.
func (m *market) wantOrdersOnce() (n int) {
	m.t.Helper()
	want := make(map[string]int)
	for _, o := range m.up.Orders() {
		want["feed.f.order."+o.Status+" "+o.Data]++
		n++
	}
	events, _ := m.sink.takeEvents()
	for _, e := range events {
		if strings.HasPrefix(e.subject, "feed.f.order.") {
			want[e.subject+" "+e.body]--
		}
	}
	for order, n := range want {
		if n != 0 {
			m.t.Errorf("%d times too few: %.60s", n, order)
		}
	}
	return n
}

func TestKiteAnOrdersPostbackIsPublishedOnceWhicheverSocketsBringIt(t *testing.T) {
	for name, one := range map[string]bool{"all of them": false, "one of them": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := trade(t, simkite.Options{OrderToOne: one}, instruments(0, 20, kite.Quote), func(o *Options) {
					small(o)
					o.Conn.Connections = 2 // and a place to hand over
				})
				m.confirmed(20, time.Minute)
				m.up.Change(func(o *simkite.Options) { o.OrderEvery = 30 * time.Millisecond })
				time.Sleep(time.Second)
				for range 5 {
					m.pool.Renew()
					time.Sleep(20 * time.Second)
				}
				m.up.Change(func(o *simkite.Options) { o.OrderEvery = 0 })
				time.Sleep(time.Second)
				if lives := m.status().Slots[0].Life; lives != 6 {
					t.Errorf("life %d after five hand-overs", lives)
				}
				repeats := m.status().Counters.Skipped["repeated_order"]
				if n := m.wantOrdersOnce(); n < 3000 || one != (repeats == 0) {
					t.Errorf("%d orders, %d repeats", n, repeats)
				}
			})
		})
	}
}

func TestKiteWordsAreToldAndWhatMakesNoSenseIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trade(t, simkite.Options{UnknownPackets: 0.01}, instruments(0, 10, kite.Quote), nil)
		m.confirmed(10, time.Minute)
		m.rate(100)
		time.Sleep(time.Second)
		m.sink.take()
		m.up.Message(1, "Markets will close early.")
		m.up.Error(1, "Something is wrong.")
		for range 6 {
			m.up.UnknownText(1)
			m.up.Garbage(1)
			m.up.Truncate(1)
			m.up.Trailing(1)
		}
		time.Sleep(10 * time.Second)
		words := noticesOf[UpstreamNotice](m.scene, NoticeFeed)
		words = slices.DeleteFunc(words, func(n UpstreamNotice) bool { return n.Text == "" }) // state notices
		if len(words) != 2 || words[0].Kind != "message" || words[0].Text != "Markets will close early." ||
			words[1].Kind != "error" || words[1].Text != "Something is wrong." {
			t.Errorf("%+v", words)
		}
		got := m.status().Counters.Skipped
		if got["unknown_type"] != 6 || got["malformed"] != 6 || got["truncated"] != 6 || got["trailing_bytes"] != 6 || got["unknown_length"] == 0 {
			t.Errorf("%v", got)
		}
		m.wantCalm(1)
	})
}

func TestKiteTicksThatContradictThemselvesAreCountedAndWithheldIfThatIsWanted(t *testing.T) {
	for name, drop := range map[string]bool{"published": false, "withheld": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const strange = 5000<<8 | 0xff
				wanted := append(instruments(0, 10, kite.Full), shard.Wanted{Topic: "odd", Options: kite.Instrument{Token: strange, Mode: kite.LTP}})
				m := trade(t, simkite.Options{Record: true}, wanted, func(o *Options) { speakKite(o, kite.Options{DropInvalid: drop}) })
				m.confirmed(11, time.Minute)
				m.sink.take()
				m.up.TakeSent()
				before := m.status().Counters.Odd
				m.up.Change(func(o *simkite.Options) { o.Rate, o.Odd = 100, 0.1 })
				time.Sleep(time.Minute)
				m.rate(0)
				time.Sleep(time.Second)
				sent, _ := m.up.TakeSent()
				odd, good := make(map[simkite.Oddity]uint64), 0
				for _, p := range sent {
					switch {
					case p.Token == strange:
						odd[simkite.OddSegment]++
					case p.Extra: // of nobody's token
					case p.Odd != "":
						odd[p.Odd]++
					default:
						good++
					}
				}
				got := m.status().Counters
				for kind, of := range map[string]simkite.Oddity{
					"high_below_low": simkite.OddHighLow, "price_outside_range": simkite.OddLastOutside,
					"time_backwards": simkite.OddTime, "unknown_segment": simkite.OddSegment,
				} {
					if got.Odd[kind]-before[kind] != odd[of] || odd[of] == 0 {
						t.Errorf("%s: counted %d of %d", kind, got.Odd[kind]-before[kind], odd[of])
					}
				}
				events, _ := m.sink.take()
				all := good
				for _, n := range odd {
					all += int(n)
				}
				if want := map[bool]int{false: all, true: good}[drop]; len(events) != want {
					t.Errorf("%d events of %d good ones and %v", len(events), good, odd)
				}
			})
		})
	}
}

func TestKiteAHandOverLosesNoTickAndNoneComesLate(t *testing.T) {
	n := 2 * kite.TopicsPerConnection
	if bubble.Raced {
		n = 200
	}
	for name, row := range map[string]struct {
		mode   kite.Mode
		begin  func(*market)
		change func(*conn.Options)
	}{
		"renewed, quote": {kite.Quote, func(m *market) { m.pool.Renew() }, func(*conn.Options) {}},
		"renewed, full":  {kite.Full, func(m *market) { m.pool.Renew() }, func(*conn.Options) {}},
		"of age":         {kite.Quote, func(*market) {}, func(o *conn.Options) { o.MaxAge = 70 * time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := trade(t, simkite.Options{}, instruments(0, n, row.mode), func(o *Options) {
					o.Conn.Connections = 2
					o.TopicsPerConnection = n / 2
					row.change(&o.Conn)
				})
				m.confirmed(n, time.Minute)
				time.Sleep(time.Minute)
				m.rate(float64(n))
				time.Sleep(2 * time.Second)
				m.sink.take()
				m.rate(float64(n) / 3)
				row.begin(m)
				time.Sleep(30 * time.Second)
				m.rate(0)
				time.Sleep(time.Second)
				got := m.status()
				if got.Slots[0].Life < 2 || got.Slots[1].Life < 2 || len(got.Counters.Gaps) > 0 || got.Topics.Confirmed != n {
					t.Errorf("lives %d and %d, gaps %v, %+v", got.Slots[0].Life, got.Slots[1].Life, got.Counters.Gaps, got.Topics)
				}
				if d := got.Counters.Disconnects; len(d) != 1 || d[cause.Renewed] == 0 {
					t.Errorf("%v", d)
				}
				if _, repeats := m.wantDense(); repeats > 2*n { // a snapshot of each instrument on each life
					t.Errorf("%d repeats", repeats)
				}
			})
		})
	}
}

// TestKiteWhatIsMissingIsInsideAnAnnouncedGap lets everything go wrong that can, by chance, while modes change and connections
// are handed over: each tick that was sent comes, or was sent inside a gap of its topic, and none comes after a newer one.
func TestKiteWhatIsMissingIsInsideAnAnnouncedGap(t *testing.T) {
	seeds := uint64(5)
	if bubble.Raced {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 20
				r := rand.New(rand.NewPCG(seed, 0))
				m := trade(t, simkite.Options{Record: true, Options: upstream.Options{Seed: seed}}, instruments(0, n, kite.Quote), func(o *Options) {
					small(o)
					o.Conn.Connections, o.Conn.Seed = 2, seed
				})
				m.confirmed(n, time.Minute)
				m.interest(instruments(0, n, kite.Quote))
				m.up.Change(func(o *simkite.Options) {
					o.Rate, o.OrderEvery = 50, 500*time.Millisecond
					o.ResetEvery, o.FINEvery, o.CloseEvery = 40*time.Second, 70*time.Second, 60*time.Second
					o.SilenceEvery, o.HeartbeatStopEvery, o.StormEvery = 90*time.Second, 2*time.Minute, 2*time.Minute
					o.TruncateEvery, o.TrailingEvery, o.GarbageEvery, o.UnknownTextEvery = 3*time.Second, 3*time.Second, 3*time.Second, 3*time.Second
					o.BadFrameEvery, o.ErrorEvery, o.MessageEvery = 2*time.Minute, 10*time.Second, 10*time.Second
					o.Linger, o.UnknownPackets, o.Odd = 15*time.Second, 0.05, 0.05
				})
				for begin := time.Now(); time.Since(begin) < 15*time.Minute; {
					time.Sleep(time.Duration(r.Int64N(int64(10 * time.Second))))
					switch mode := []kite.Mode{kite.Quote, kite.Full}[r.IntN(2)]; r.IntN(3) {
					case 0:
						m.pool.Want(slices.Concat(instruments(0, n/2, mode), instruments(n/2, n/2, kite.Quote)))
					case 1:
						m.pool.Renew()
					}
				}
				m.up.Change(func(o *simkite.Options) { *o = simkite.Options{Options: upstream.Options{Rate: 50}, Record: true} })
				m.confirmed(n, 20*time.Minute)
				time.Sleep(time.Minute)
				m.rate(0)
				time.Sleep(time.Second)
				m.wantMissingInGaps()
			})
		})
	}
}

// wantMissingInGaps looks at all that was sent and came so far. A tick that was sent to nobody is missing, too.
func (m *market) wantMissingInGaps() {
	m.t.Helper()
	sent, whole := m.up.TakeSent()
	events, notices := m.sink.take()
	if !whole {
		m.t.Fatal("the simulator could not record everything")
	}
	type tick struct {
		subject string
		n       uint64
	}
	at := make(map[tick]time.Time) // of the first time that it was written
	for _, p := range sent {
		k := tick{fmt.Sprint("feed.f.", p.Token), p.N}
		if at[k].IsZero() {
			at[k] = p.At
		}
	}
	gaps := make(map[string][]GapNotice)
	for _, n := range notices {
		var g GapNotice
		if strings.HasPrefix(n.subject, "feedmux.gap.") && json.Unmarshal([]byte(n.body), &g) == nil && g.Phase == GapClosed {
			gaps[g.Subject] = append(gaps[g.Subject], g)
		}
	}
	last, came, missing := make(map[string]uint64), make(map[tick]bool), uint64(0)
	for _, e := range events {
		var body struct {
			Volume *uint64 `json:"volume_traded"`
		}
		if json.Unmarshal([]byte(e.body), &body) != nil || body.Volume == nil {
			continue // an order
		}
		before, now := tick{e.subject, last[e.subject]}, tick{e.subject, *body.Volume}
		last[e.subject], came[now] = now.n, true
		switch {
		case now.n < before.n:
			m.t.Fatalf("%s: tick %d came after %d (slot %d, life %d)", e.subject, now.n, before.n, e.slot, e.life)
		case now.n > before.n+1:
			missing += now.n - before.n - 1
			if !slices.ContainsFunc(gaps[e.subject], func(g GapNotice) bool { return !at[now].Before(g.From) && !at[before].After(g.To) }) {
				m.t.Fatalf("%s: after tick %d, of %v, came %d, of %v (slot %d, life %d), and none of the gaps is there: %+v",
					e.subject, before.n, at[before], now.n, at[now], e.slot, e.life, gaps[e.subject])
			}
		}
	}
	for subject, n := range last {
		var token uint32
		fmt.Sscanf(subject, "feed.f.%d", &token)
		if n != m.up.Happened(token) {
			m.t.Errorf("%s: tick %d is the last that came, of %d", subject, n, m.up.Happened(token))
		}
	}
	if missing == 0 || len(came) < 10_000 {
		m.t.Errorf("%d ticks came, %d are missing: it proves little", len(came), missing)
	}
}
