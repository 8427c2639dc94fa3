package pool

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim/twitch"
	"feedmux/internal/slots"
	"feedmux/limiter"
	"feedmux/shard"
)

func TestNoSecondOfAConnectionHasMoreMessagesThanTheSubscribeRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(50), func(o *Options) {
			oneConnection(o)
			o.Conn.SubscribeBatch = 1 // so that all 50 are felt
			o.Conn.PingInterval = 300 * time.Millisecond
			o.Conn.PingTimeout = 10 * time.Second
		})
		for life := 1; life <= 4; life++ {
			time.Sleep(3 * time.Second)
			s.pool.Want(append(topics(40), shard.Wanted{Topic: shard.Topic(fmt.Sprintf("new.%d", life))})) // UNLISTENs
			time.Sleep(10 * time.Second)
			s.pool.Want(topics(50))
			s.confirmed(50, time.Minute)
			s.up.Reset(life)
		}
		s.confirmed(50, time.Minute)
		time.Sleep(10 * time.Second)
		for _, c := range s.up.Conns() {
			sent := slices.Clone(c.Pings)
			for _, a := range c.Asks {
				sent = append(sent, a.At)
			}
			slices.SortFunc(sent, time.Time.Compare)
			most := 0
			for i, from := range sent {
				n, _ := slices.BinarySearchFunc(sent, from.Add(time.Second), time.Time.Compare)
				most = max(most, n-i)
			}
			if most != 10 || len(c.Pings) < 10 || len(c.Asks) < 50 {
				t.Errorf("connection %d: %d messages in one second, want 10 at most, and that many at times; %d pings, %d asks",
					c.ID, most, len(c.Pings), len(c.Asks))
			}
		}
	})
}

func TestThePingsOfTenConnectionsAreLevelAndTheirJitterIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval, rounds = 45 * time.Second, 40
		s := play(t, twitch.PubSubOptions{}, topics(500), nil)
		s.confirmed(500, time.Minute)
		begin := time.Now()
		time.Sleep((rounds + 1) * interval)

		var all [10]int // by tenth of the interval
		distances := make(map[time.Duration]int)
		conns := s.up.Conns()
		for _, c := range conns {
			pings := slices.DeleteFunc(c.Pings, func(at time.Time) bool { return at.Before(begin) })[:rounds]
			var early, late time.Duration
			for i := 1; i < rounds; i++ {
				d := pings[i].Sub(pings[i-1])
				distances[d]++
				early, late = min(early, d-interval), max(late, d-interval)
				if d < interval*9/10 || d > interval*11/10 {
					t.Errorf("connection %d: %v between two pings", c.ID, d)
				}
			}
			if early > -interval/40 || late < interval/40 { // a quarter of what the jitter allows
				t.Errorf("connection %d: its pings are from %v early to %v late: hardly any jitter", c.ID, early, late)
			}
			for _, at := range pings {
				all[at.Sub(begin)%interval*10/interval]++
			}
		}
		for i, n := range all {
			if n < rounds*7/10 || n > rounds*13/10 {
				t.Errorf("tenth %d of the interval has %d of %d pings: %v", i, n, 10*rounds, all)
			}
		}
		if n := len(distances); len(conns) != 10 || n < 10*(rounds-1)*9/10 {
			t.Errorf("%d connections, %d different distances between %d pings: the jitter repeats itself", len(conns), n, 10*rounds)
		}
		if v := s.up.Violations(); len(v) > 0 {
			t.Errorf("rules broken: %v", v)
		}
	})
}

func TestTheNextDialComesSoonerAfterALongLife(t *testing.T) {
	const outage = 30 * time.Minute
	for _, row := range []struct {
		name        string
		outage      time.Duration // of refused dials, before the life
		settle      time.Duration
		lived       time.Duration
		least, most time.Duration // of the longest of eight delays
	}{
		{"the first failure ever", 0, time.Minute, 5 * time.Second, 250 * time.Millisecond, time.Second},
		{"a short life after an outage", outage, time.Minute, 5 * time.Second, 30 * time.Second, 2 * time.Minute},
		{"a life that settled, after an outage", outage, time.Minute, 2 * time.Minute, 250 * time.Millisecond, time.Second},
		{"a long life that did not settle", outage, time.Hour, 2 * time.Minute, 6 * time.Second, 24 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			var longest time.Duration
			for seed := range uint64(8) {
				synctest.Test(t, func(t *testing.T) {
					s := play(t, twitch.PubSubOptions{}, nil, func(o *Options) {
						oneConnection(o)
						o.Conn.Backoff.Settle = row.settle
						o.Conn.Seed = seed
						o.Conn.Share = shareBy(chance{seed, o.Conn.Backoff}, 1, limiter.Window{N: 100, Per: time.Second}, 1)
					})
					s.net.SetRefuse(row.outage > 0)
					s.pool.Want(topics(1))
					time.Sleep(row.outage)
					s.net.SetRefuse(false)
					s.confirmed(1, 5*time.Minute)
					time.Sleep(row.lived)
					dials := len(s.net.Dials())
					ended := time.Now()
					conns := s.up.Conns()
					s.up.Reset(conns[len(conns)-1].ID)
					s.confirmed(0, 0)
					s.confirmed(1, 5*time.Minute)
					next := s.net.Dials()[dials].Sub(ended)
					if next > row.most {
						t.Errorf("seed %d: the next dial came after %v, want %v at most", seed, next, row.most)
					}
					longest = max(longest, next)
				})
			}
			if longest < row.least {
				t.Errorf("of 8 delays the longest was %v, want %v at least", longest, row.least)
			}
		})
	}
}

func TestTopicsThatComeAndGoDoNotUndoTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, oneConnection)
		s.net.SetRefuse(true)
		for range 600 {
			s.pool.Want(topics(1))
			time.Sleep(500 * time.Millisecond)
			s.pool.Want(nil)
			time.Sleep(500 * time.Millisecond)
		}
		if n := len(s.net.Dials()); n < 10 || n > 60 {
			t.Errorf("%d dials in ten minutes of an outage", n)
		}
	})
}

func TestLivesThatEndedAsPlannedDoNotLengthenTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, oneConnection)
		for range 10 {
			s.pool.Want(topics(1))
			s.confirmed(1, time.Second)
			time.Sleep(5 * time.Second)
			s.pool.Want(nil)
			time.Sleep(5 * time.Second)
		}
		s.pool.Want(topics(1))
		s.confirmed(1, time.Second)
		s.up.Reset(11)
		got := s.status().Slots[0]
		if wait := time.Until(got.NextDial); got.State != slots.Waiting || wait > time.Second {
			t.Errorf("%s: after the first failure ever the next dial is in %v, want a second at most", got.State, wait)
		}
	})
}

func TestALifeThatSettledAndEndedAsPlannedEndsTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, oneConnection)
		s.net.SetRefuse(true)
		s.pool.Want(topics(1))
		time.Sleep(30 * time.Minute)
		s.net.SetRefuse(false)
		s.confirmed(1, 5*time.Minute)
		time.Sleep(2 * time.Minute)
		s.pool.Want(nil)
		time.Sleep(5 * time.Second)
		s.pool.Want(topics(1))
		s.confirmed(1, 3*time.Second)
		s.up.Reset(2)
		got := s.status().Slots[0]
		if wait := time.Until(got.NextDial); got.State != slots.Waiting || wait > time.Second {
			t.Errorf("%s: the outage before that life is remembered: the next dial is in %v", got.State, wait)
		}
	})
}
