package pool

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/limiter"
	"feedmux/shard"
)

// slotNews are the notices of slots since the last look.
func (s *scene) slotNews() (news []FeedNotice) {
	s.t.Helper()
	_, notices := s.sink.take()
	for _, n := range notices {
		var f FeedNotice
		if !strings.HasPrefix(n.subject, "feedmux.feed.") {
			continue
		}
		// slots.State has no way back from its word.
		var raw struct {
			Slot  shard.Slot
			State string
			Cause cause.Cause
			At    time.Time
		}
		if err := json.Unmarshal([]byte(n.body), &raw); err != nil {
			s.t.Fatal(err)
		}
		f.Slot, f.Cause, f.At = raw.Slot, raw.Cause, raw.At
		for _, state := range slots.States() {
			if state.String() == raw.State {
				f.State = state
			}
		}
		news = append(news, f)
	}
	return news
}

// An outage costs one dial at a time, in turn, with delays that grow for all; and when it is over, all is soon well.
func TestTheStatusSaysThatOneProbesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, nil)
		if s.status().Account.Probing {
			t.Error("nothing is wanted, and it probes")
		}
		s.net.SetRefuse(true)
		s.pool.Want(topics(100))
		time.Sleep(time.Minute)
		if !s.status().Account.Probing {
			t.Error("nobody lives, and it does not say so")
		}
		s.net.SetRefuse(false)
		s.confirmed(100, 5*time.Minute)
		if s.status().Account.Probing {
			t.Error("all live, and it probes")
		}
	})
}

func TestAnOutageCostsOneProbeAtATimeAndIsSoonOver(t *testing.T) {
	const outage = 30 * time.Minute
	for _, row := range []struct {
		name  string
		why   cause.Cause // of a failed probe
		begin func(*scene)
		end   func(*scene)
	}{
		{"refused", cause.Refused, func(s *scene) { s.net.SetRefuse(true) }, func(s *scene) { s.net.SetRefuse(false) }},
		{"no answer to the dial", cause.Timeout, func(s *scene) { s.net.SetHang(true) }, func(s *scene) { s.net.SetHang(false) }},
		{
			"503", cause.HTTP5xx,
			func(s *scene) { s.up.SetRefuseStatus(http.StatusServiceUnavailable) }, func(s *scene) { s.up.SetRefuseStatus(0) },
		},
		{
			"accept then close", cause.Reset,
			func(s *scene) { s.up.Change(func(o *twitch.PubSubOptions) { o.AcceptThenClose = true }) },
			func(s *scene) { s.up.Change(func(o *twitch.PubSubOptions) { o.AcceptThenClose = false }) },
		},
		{
			"every ask ends the connection", cause.ClosedByServer,
			func(s *scene) { s.up.Change(func(o *twitch.PubSubOptions) { o.PoisonTopics = []string{"*"} }) },
			func(s *scene) { s.up.Change(func(o *twitch.PubSubOptions) { o.PoisonTopics = []string{"none"} }) },
		},
		{
			"accept and never speak", cause.Silent,
			func(s *scene) {
				s.up.Change(func(o *twitch.PubSubOptions) { o.ResponseLoss, o.PongLoss, o.WSPing = 1, 1, -1 })
			},
			func(s *scene) { s.up.Change(func(o *twitch.PubSubOptions) { o.ResponseLoss, o.PongLoss = 0, 0 }) },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, twitch.PubSubOptions{}, topics(500), nil)
				s.confirmed(500, time.Minute)
				time.Sleep(2 * time.Minute)
				s.sink.take()
				before := len(s.net.Sockets())
				row.begin(s)
				s.up.ResetAll()
				time.Sleep(outage)
				for !s.pool.opts.Conn.Share.OpenAt().After(time.Now()) { // a probe is under way
					time.Sleep(100 * time.Millisecond)
					synctest.Wait()
				}

				probes := s.net.Sockets()[before:]
				for i := 1; i < len(probes); i++ {
					if last := probes[i-1]; last.Open() || probes[i].Dialled.Before(last.ClientEnd) && probes[i].Dialled.Before(last.ServerEnd) {
						t.Fatalf("probe %d began during the one before: %+v, %+v", i, last, probes[i])
					}
				}
				early := 0
				for _, p := range probes {
					if p.Dialled.Sub(probes[0].Dialled) < 5*time.Minute {
						early++
					}
				}
				if n := len(probes); n < 12 || n > 60 || early < n/6 {
					t.Errorf("%d probes in %v, %d of them in the first five minutes", n, outage, early)
				}
				var probed []shard.Slot
				for _, n := range s.slotNews()[10:] { // the ends of the ten
					if n.State == slots.Waiting {
						probed = append(probed, n.Slot)
						if n.Cause != row.why && (row.why != cause.Silent || n.Cause != cause.PingTimeout) {
							t.Errorf("a probe failed for %s, want %s", n.Cause, row.why)
						}
					}
				}
				for i := range probed[10:] {
					if ten := slices.Sorted(slices.Values(probed[i : i+10])); len(slices.Compact(ten)) != 10 {
						t.Fatalf("the probed do not probe in turn: %v", probed)
					}
				}

				row.end(s)
				remains := time.Until(s.pool.opts.Conn.Share.OpenAt())
				took := s.confirmed(500, remains+10*2*time.Second+time.Second)
				t.Logf("%d probes, all confirmed %v after the end, of which %v were the last delay", len(probes), took, remains)
				if got := s.status(); got.Topics.Refused > 0 || got.Account.Connections != 10 {
					t.Errorf("%+v, %+v", got.Topics, got.Account)
				}
				if n := s.net.MaxOpen(); n > 10 {
					t.Errorf("%d sockets were open at once", n)
				}
			})
		})
	}
}

func TestAfterAStormAllAreBackAsFastAsTheBudgetAllows(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, twitch.PubSubOptions{}, topics(500), func(o *Options) {
				o.Conn.Seed = seed
				o.Conn.Share = shareBy(chance{seed, o.Conn.Backoff}, 10, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
			})
			s.confirmed(500, time.Minute)
			time.Sleep(2 * time.Minute)
			s.up.ResetAll()
			s.confirmed(0, 0)
			took := s.confirmed(500, 10*2*time.Second+time.Second)
			t.Logf("seed %d: %v", seed, took)
		})
	}
}

func TestAnUpstreamThatEndsEveryLifeAt45SecondsLeavesTopicsConfirmedMostOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 45 * time.Second
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{Life: life}}, topics(500), nil)
		s.confirmed(500, time.Minute)
		sum, looks := 0, 0
		for range 3600 {
			time.Sleep(time.Second)
			sum, looks = sum+s.status().Topics.Confirmed, looks+500
		}
		// Half of a fifth of the life, and a turn in the budget.
		if share := float64(sum) / float64(looks); share < 0.86 {
			t.Errorf("confirmed for %.3f of the time", share)
		} else {
			t.Logf("confirmed for %.3f of the time", share)
		}
	})
}

// All topics of the third slot are poison: it never comes up.
func TestOneBrokenSlotLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := append(named("good", 20, 1), named("bad", 10, 0)...)
		s := play(t, twitch.PubSubOptions{PoisonTopics: []string{"bad.*"}}, wanted, func(o *Options) {
			connections(o, 3)
			o.TopicsPerConnection = 10
		})
		s.confirmed(20, time.Minute)
		s.sink.take()
		dials := len(s.net.Dials())
		time.Sleep(20 * time.Minute)
		got := s.status()
		for _, slot := range got.Slots[:2] {
			if slot.State != slots.Live || slot.Life != 1 {
				t.Errorf("%+v", slot)
			}
		}
		n := len(s.net.Dials()) - dials
		if n < 5 || n > 40 {
			t.Errorf("%d dials in 20 minutes", n)
		}
		t.Logf("%d dials", n)
		if open, closed := s.gaps(); len(open)+len(closed) > 0 || got.Topics.Confirmed != 20 {
			t.Errorf("%+v; %d gaps", got.Topics, len(open)+len(closed))
		}
	})
}

func TestAnUpstreamThatAsksEachNewConnectionToMoveIsNotStormed(t *testing.T) {
	for _, row := range []struct {
		name   string
		places int
	}{
		{"with a place in reserve", 4},
		{"at a full pool", 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := perform(t, topics(3), func(o *Options) {
					o.Conn.Share = share(row.places, limiter.Window{N: 100, Per: time.Second}, row.places)
					o.Conn.Connections, o.TopicsPerConnection = 3, 1
				}, func(p *peer) {
					p.open()
					p.accept()
					p.say(`{"type":"RECONNECT"}`)
					p.obey()
					p.close(1000, "")
				})
				const length = 2 * time.Hour
				time.Sleep(length)
				n := len(s.net.Dials())
				t.Logf("%d dials in %v", n, length)
				if n < 100 || n > 3*500 { // one in fifteen seconds for each slot, about
					t.Errorf("%d dials in %v", n, length)
				}
			})
		})
	}
}

func TestRetryAfterIsSeenAndHoldsEverySlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(500), nil)
		s.confirmed(500, time.Minute)
		time.Sleep(2 * time.Minute)
		s.up.Change(func(o *twitch.PubSubOptions) { o.RetryAfter = 5 * time.Minute })
		s.up.SetRefuseStatus(http.StatusTooManyRequests)
		ids := s.up.Conns()
		s.up.Reset(ids[3].ID) // the others are live: it is no probe
		time.Sleep(3 * time.Second)
		refused := time.Now()
		s.up.SetRefuseStatus(0)
		s.up.Reset(ids[4].ID)
		dials := len(s.net.Dials())
		time.Sleep(5*time.Minute - 5*time.Second)
		if n := len(s.net.Dials()) - dials; n != 0 {
			t.Errorf("%d dials during the pause", n)
		}
		waits := 0
		for _, slot := range s.status().Slots {
			if slot.State == slots.Live {
				continue
			}
			waits++
			if in := slot.NextDial.Sub(refused); slot.State != slots.Waiting || in < 5*time.Minute-5*time.Second {
				t.Errorf("%+v: dials in %v", slot, in)
			}
		}
		if waits != 2 {
			t.Errorf("%d slots wait, want 2", waits)
		}
		s.confirmed(500, 20*time.Second)
	})
}

// What all have tried in vain, one after the other, is each one's failure.
func TestAFailedProbeIsAFailureOfEverySlot(t *testing.T) {
	var longest time.Duration
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, twitch.PubSubOptions{}, nil, func(o *Options) {
				o.Conn.Seed = seed
				o.Conn.Share = shareBy(chance{seed, o.Conn.Backoff}, 10, limiter.Window{N: 100, Per: time.Second}, 10)
			})
			s.net.SetRefuse(true)
			s.pool.Want(topics(500))
			time.Sleep(5 * time.Minute)
			if n := len(s.net.Dials()); n > 30 {
				t.Fatalf("%d probes: each slot has failures enough of its own", n)
			}
			s.net.SetRefuse(false)
			s.confirmed(500, 3*time.Minute)
			time.Sleep(5 * time.Second)
			dials, ended := len(s.net.Dials()), time.Now()
			s.up.Reset(5)
			s.confirmed(450, 0)
			s.confirmed(500, 3*time.Minute)
			longest = max(longest, s.net.Dials()[dials].Sub(ended))
		})
	}
	if longest < 40*time.Second {
		t.Errorf("of 8 delays the longest was %v: a slot does not know of the outage", longest)
	}
}
