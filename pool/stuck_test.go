package pool

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/sim"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// gate holds up what the pool writes, on all of its sockets, as a network does that takes no bytes. The zero value is
// open. Deadlines do not end the wait.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // nil: it is open
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		<-opened
	}
}

// guard puts the gate before the sockets of a feed.
func (g *gate) guard(o *Options) {
	dial := o.Conn.DialContext
	o.Conn.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return gated{c.(*sim.Conn), g}, nil
	}
}

type gated struct {
	*sim.Conn
	gate *gate
}

func (c gated) Write(p []byte) (int, error) {
	c.gate.pass()
	return c.Conn.Write(p)
}

func TestATopicThatLostItsPlaceAndGotItBackUnseenIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		s := play(t, twitch.PubSubOptions{}, topics(50), func(o *Options) {
			oneConnection(o)
			g.guard(o)
		})
		s.confirmed(50, time.Minute)
		const loser = "video-playback-by-id.48"
		order := func(want []shard.Wanted, state topic.State) {
			t.Helper()
			s.pool.Want(want)
			if got := s.topic(loser); got.State != state {
				t.Fatalf("%+v, want %s", got, state)
			}
		}
		g.shut()
		order(append(topics(49), shard.Wanted{Topic: "new.1"}), topic.Confirmed) // the conn is stuck in its UNLISTEN
		order(append(topics(49), shard.Wanted{Topic: "vip.1", Priority: 1}, shard.Wanted{Topic: "vip.2", Priority: 1}), topic.Unplaced)
		order(append(topics(49), shard.Wanted{Topic: "new.1"}), topic.Assigned)
		g.open()
		s.confirmed(50, 10*time.Second)
		if n := len(s.up.Listening()); n != 50 {
			t.Errorf("the ledger says 50, the upstream sends %d", n)
		}
	})
}

func TestATopicThatWasReplacedUnseenCountsItsEventsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		s := play(t, twitch.PubSubOptions{}, topics(49), func(o *Options) {
			oneConnection(o)
			g.guard(o)
		})
		s.confirmed(49, time.Minute)
		g.shut()
		for _, n := range []int{50, 48, 49} { // the conn is stuck in the LISTEN for the fiftieth
			s.pool.Want(topics(n))
			synctest.Wait()
		}
		g.open()
		s.confirmed(49, 10*time.Second)
		s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 50 })
		time.Sleep(10 * time.Second)
		const replaced = "video-playback-by-id.48"
		if got, want := s.topic(replaced).Events, s.up.Happened(replaced); got != want || want == 0 {
			t.Errorf("%d events counted, %d happened", got, want)
		}
	})
}

func TestEventsThatArrivedBeforeAWriteFailedArePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 2000
		fire := make(chan struct{})
		s := perform(t, topics(2), nil, func(p *peer) {
			p.open()
			p.accept()
			if p.life > 1 {
				p.obey()
				return
			}
			p.ShutWindow(true)
			<-fire
			for range events {
				p.event(topics(1)[0].Topic)
			}
			p.Reset()
		})
		s.confirmed(2, time.Second)
		s.pool.Want(topics(3)) // the conn is stuck in its LISTEN, so the reader waits with its first news
		synctest.Wait()
		close(fire)
		s.confirmed(3, 10*time.Second)
		if got, _ := s.sink.take(); len(got) != events {
			t.Errorf("%d of %d events were published", len(got), events)
		}
		if d := s.status().Counters.Disconnects; d[cause.Reset] != 1 || len(d) != 1 {
			t.Errorf("the peer sent a RST; counted %v", d)
		}
	})
}

func TestTheEndDoesNotWaitForAWriteThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, topics(1), nil, func(p *peer) {
			p.open()
			p.accept()
			p.ShutWindow(true)
			p.awaitEnd()
		})
		s.confirmed(1, time.Second)
		s.pool.Want(topics(2)) // a LISTEN that nobody takes
		time.Sleep(time.Second)
		begin := time.Now()
		s.end()
		<-s.done
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestAPingThatWasStuckHasItsWholeTimeForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, topics(1), func(o *Options) { o.Conn.PingJitter = 0 }, func(p *peer) {
			p.open()
			p.accept()
			p.accept() // the first PING
			time.Sleep(40 * time.Second)
			p.ShutWindow(true) // the second one comes 5 s later, and is stuck for 9.5 s
			time.Sleep(14500 * time.Millisecond)
			p.ShutWindow(false)
			ping, _ := p.next()
			time.Sleep(5 * time.Second)
			p.answer(ping, "")
			p.obey()
		})
		s.confirmed(1, time.Second)
		time.Sleep(3 * time.Minute)
		if got := s.status(); got.Slots[0].Life != 1 || got.Counters.PingRTT.Sum < Seconds(5*time.Second) {
			t.Errorf("life %d, %v, answers took %v", got.Slots[0].Life, got.Counters.Disconnects, time.Duration(got.Counters.PingRTT.Sum))
		}
	})
}
