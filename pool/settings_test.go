package pool

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/sim"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// configure changes the newest settings.
func (s *scene) configure(change func(*Settings)) {
	s.t.Helper()
	settings := *s.pool.newest.Load()
	change(&settings)
	if err := s.pool.Configure(settings); err != nil {
		s.t.Fatal(err)
	}
}

func pingOften(s *Settings) { s.Conn.PingInterval = 15 * time.Second }

// outdated are the slots whose lives were dialled with other settings than the newest.
func (s *scene) outdated() (list []shard.Slot) {
	s.t.Helper()
	for _, slot := range s.status().Slots {
		if slot.Outdated {
			list = append(list, slot.Slot)
		}
	}
	return list
}

// pingsOf are how many pings came on each open connection since a time.
func (s *scene) pingsOf(since time.Time) map[int]int {
	n := make(map[int]int)
	for _, c := range s.up.Conns() {
		if c.Ended.IsZero() {
			n[c.ID] = len(slices.DeleteFunc(slices.Clone(c.Pings), func(at time.Time) bool { return at.Before(since) }))
		}
	}
	return n
}

func TestALifeKeepsTheSettingsThatItWasDialledWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{}, nil)
		s.configure(pingOften)
		if got := s.outdated(); len(got) != 2 {
			t.Errorf("slots %v wait for their next life, want both", got)
		}
		s.up.Reset(s.conn(0))
		s.confirmed(30, time.Second)
		reset := time.Now()
		s.confirmed(80, time.Minute)
		time.Sleep(time.Minute)
		if got := s.outdated(); !slices.Equal(got, []shard.Slot{1}) {
			t.Errorf("slots %v wait for their next life, want slot 1 alone", got)
		}
		if slot := s.status().Slots[0]; slot.Began.Before(reset) || slot.Began.After(time.Now().Add(-time.Minute)) {
			t.Errorf("the new life began at %v, the reset was at %v", slot.Began, reset)
		}
		if slot := s.status().Slots[1]; slot.Began.IsZero() || slot.Began.After(reset) {
			t.Errorf("the old life began at %v, the reset was at %v", slot.Began, reset)
		}
		since, kept, changed := time.Now(), s.conn(1), s.conn(0)
		time.Sleep(3 * time.Minute)
		if n := s.pingsOf(since); n[kept] < 3 || n[kept] > 5 || n[changed] < 11 || n[changed] > 13 {
			t.Errorf("in 3 minutes %d pings each 45 s and %d each 15 s", n[kept], n[changed])
		}
	})
}

func TestRenewBringsNewSettingsToEveryConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{}, nil)
		s.configure(pingOften)
		s.pool.Renew()
		time.Sleep(2 * time.Minute)
		if got := s.outdated(); len(got) != 0 {
			t.Errorf("slots %v have old settings", got)
		}
		for _, slot := range s.status().Slots {
			if slot.Life != 2 {
				t.Errorf("%+v", slot)
			}
		}
		since := time.Now()
		time.Sleep(3 * time.Minute)
		for id, n := range s.pingsOf(since) {
			if n < 11 || n > 13 {
				t.Errorf("%d pings in 3 minutes on connection %d", n, id)
			}
		}
		s.wantEveryEvent()
		if open, closed := s.gaps(); len(open)+len(closed) > 0 {
			t.Errorf("gaps: %v %v", open, closed)
		}
	})
}

// Else it would keep its settings for ever, though everything was to be renewed.
func TestRenewReachesADialThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := play(t, twitch.PubSubOptions{}, topics(10), func(o *Options) {
			connections(o, 1)
			dial := o.Conn.DialContext
			o.Conn.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				<-gate
				return dial(ctx, network, address)
			}
		})
		time.Sleep(time.Second)
		s.configure(pingOften)
		s.pool.Renew()
		synctest.Wait()
		close(gate)
		time.Sleep(2 * time.Minute)
		// The first life was dialled with the old ones.
		if got := s.status().Slots[0]; got.Outdated || got.Life != 2 || got.Confirmed != 10 {
			t.Errorf("%+v", got)
		}
	})
}

func TestFewerTopicsPerConnectionEvictTheLeastWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := append(named("dear", 30, 1), topics(70)...)
		s := play(t, twitch.PubSubOptions{}, wanted, func(o *Options) { connections(o, 2) })
		s.confirmed(100, time.Minute)
		before := s.status().Ledger
		s.sink.take()
		s.configure(func(s *Settings) { s.TopicsPerConnection = 20 })
		s.confirmed(40, time.Minute)
		got, moved := s.status(), 0
		if got.Capacity != 40 || got.Topics.Unplaced != 60 {
			t.Errorf("capacity %d, %+v", got.Capacity, got.Topics)
		}
		for i, line := range got.Ledger {
			switch {
			case line.Priority == 1 && line.State != topic.Confirmed:
				t.Errorf("%+v", line)
			case line.Slot == nil:
				if !strings.Contains(line.Reason, "fewer topics") {
					t.Errorf("%+v", line)
				}
			case *line.Slot != *before[i].Slot:
				moved++
				if line.LastGap == nil || line.LastGap.Cause != cause.Moved || line.LastGap.To.IsZero() {
					t.Errorf("%+v, its gap %+v", line, line.LastGap)
				}
			case line.Gaps > 0:
				t.Errorf("it had its place, and a gap: %+v", line)
			}
		}
		if moved != 10 {
			t.Errorf("%d topics moved: 10 of the dear ones had to", moved)
		}
		if notices := noticesOf[TopicNotice](s, NoticeTopicState); len(notices) < 60 {
			t.Errorf("%d topics were told of", len(notices))
		}
		if fits := s.pool.Fits(topics(41)); fits == nil {
			t.Error("41 topics fit in 40 places")
		}
		s.configure(func(s *Settings) { s.TopicsPerConnection = 50 })
		s.confirmed(100, time.Minute)
	})
}

func TestAShorterDwellEndsTurnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{TopicsPerConnection: 10}, topics(20), func(o *Options) {
			turning(1)(o)
			o.Dwell = 24 * time.Hour
		})
		s.confirmed(10, time.Minute)
		time.Sleep(10 * time.Minute)
		s.configure(func(s *Settings) { s.Dwell = time.Minute })
		time.Sleep(30 * time.Second)
		for _, line := range s.status().Ledger[:10] {
			if line.State == topic.Confirmed {
				t.Errorf("its turn goes on: %+v", line)
			}
		}
	})
}

// The wait that is under way goes on; all later ones are as the new settings say. Of an account without a live connection it
// is the account that waits, else the slot.
func TestANewBackoffCountsFromTheNextFailureOn(t *testing.T) {
	for _, live := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, twitch.PubSubOptions{}, topics(50*live), func(o *Options) {
				connections(o, 2)
				o.Conn.Backoff = limiter.Backoff{Base: time.Hour, Max: 10 * time.Hour, Settle: time.Minute}
			})
			s.confirmed(50*live, time.Minute)
			s.net.SetRefuse(true)
			s.pool.Want(topics(50*live + 1))
			time.Sleep(time.Second)
			next := s.status().Slots[live].NextDial
			if time.Until(next) < time.Minute {
				t.Fatalf("the first wait is only %v", time.Until(next))
			}
			before := len(s.net.Dials())
			s.configure(func(s *Settings) { s.Conn.Backoff.Base, s.Conn.Backoff.Max = time.Second, 8*time.Second })
			time.Sleep(time.Until(next) - time.Second)
			if n := len(s.net.Dials()); n != before {
				t.Errorf("%d dials before the first wait was over", n-before)
			}
			time.Sleep(10 * time.Minute)
			dials := s.net.Dials()[before:]
			for i := 1; i < len(dials); i++ {
				if wait := dials[i].Sub(dials[i-1]); wait > 8*time.Second {
					t.Errorf("wait %d took %v", i, wait)
				}
			}
			if len(dials) < 60 {
				t.Errorf("%d dials in ten minutes", len(dials))
			}
		})
	}
}

func TestConfigureNeverWaits(t *testing.T) {
	p, err := New(testOptions(t, &memory{}, sim.NewNetwork())) // not run: nobody receives
	if err != nil {
		t.Fatal(err)
	}
	s := *p.newest.Load()
	for n := 1; n <= 100; n++ {
		s.TopicsPerConnection = n
		if err := p.Configure(s); err != nil {
			t.Fatal(err)
		}
	}
	if p.Fits(topics(1000)) != nil || p.Fits(topics(1001)) == nil {
		t.Error("the newest settings do not count")
	}
	for name, spoil := range map[string]func(*Settings){
		"no room":        func(s *Settings) { s.TopicsPerConnection = 0 },
		"no interval":    func(s *Settings) { s.Conn.PingInterval = 0 },
		"no batch":       func(s *Settings) { s.Conn.SubscribeBatch = 0 },
		"no dial":        func(s *Settings) { s.Conn.DialTimeout = 0 },
		"nothing at all": func(s *Settings) { *s = Settings{} },
	} {
		bad := s
		if spoil(&bad); p.Configure(bad) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if *p.newest.Load() != s {
		t.Error("what was refused counts")
	}
}

func TestATopicCanBeAskedForAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(10), nil)
		s.confirmed(10, time.Minute)
		line, wanted, err := s.pool.Topic(t.Context(), "video-playback-by-id.3")
		if err != nil || !wanted || line.State != topic.Confirmed || line.Slot == nil || line.LastGap != nil {
			t.Errorf("%+v, %v, %v", line, wanted, err)
		}
		s.net.SetRefuse(true)
		cut := time.Now()
		s.up.ResetAll()
		time.Sleep(time.Minute)
		line, _, _ = s.pool.Topic(t.Context(), "video-playback-by-id.3")
		if g := line.LastGap; line.State != topic.Assigned || g == nil || g.Cause != cause.Reset || !g.To.IsZero() || g.Filled != "" {
			t.Errorf("%+v, its gap %+v", line, g)
		}
		s.net.SetRefuse(false)
		s.confirmed(10, 10*time.Minute)
		line, _, _ = s.pool.Topic(t.Context(), "video-playback-by-id.3")
		if g := line.LastGap; line.Gaps != 1 || g == nil || g.From.After(cut) || g.To.Sub(cut) < time.Minute || g.Filled != NotFilled {
			t.Errorf("%+v, its gap %+v", line, g)
		}
		if _, wanted, err := s.pool.Topic(t.Context(), "nobody.1"); wanted || err != nil {
			t.Errorf("nobody wants it: %v, %v", wanted, err)
		}
	})
	p, err := New(testOptions(t, &memory{}, sim.NewNetwork())) // not run
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, _, err := p.Topic(ended, "a"); err == nil {
		t.Error("no error, though the loop does not turn")
	}
}

func TestTheStatusSaysWhyNobodyDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, withCredential)
		s.up.SetRefuseStatus(401)
		s.pool.Want(topics(500))
		time.Sleep(time.Minute) // each slot looks once
		if got := s.status().Account; got.Probing || got.Waits != "there is no credential that works" {
			t.Errorf("parked: %+v", got)
		}
		s.up.SetRefuseStatus(0)
		s.net.SetRefuse(true)
		s.pool.CredentialChanged()
		time.Sleep(10 * time.Minute)
		if got := s.status().Account; !got.Probing || got.Waits != "backoff, since no connection is live" || got.NextDial.IsZero() {
			t.Errorf("an outage: %+v", got)
		}
		s.net.SetRefuse(false)
		s.confirmed(50, 10*time.Minute)
		time.Sleep(100 * time.Millisecond)
		if got := s.status().Account; got.Probing || got.Waits != "the dial budget" {
			t.Errorf("a start: %+v", got)
		}
		s.confirmed(500, time.Minute)
		if got := s.status().Account; got.Probing || got.Waits != "" {
			t.Errorf("all is well: %+v", got)
		}
	})
}
