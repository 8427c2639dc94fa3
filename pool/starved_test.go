package pool

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/shard"
)

// busy is a pool of n slots of ten topics each, with rate events a second, which has seen half an hour.
func busy(t *testing.T, n int, rate float64) *scene {
	s := play(t, twitch.PubSubOptions{Options: upstream.Options{Seed: 3, Rate: rate}}, topics(10*n), func(o *Options) {
		connections(o, n)
		o.TopicsPerConnection = 10
	})
	s.confirmed(10*n, time.Minute)
	time.Sleep(30 * time.Minute)
	s.wantStarved()
	return s
}

// wantStarved looks at what was said since the last look: of each phase that is named, one notice.
func (s *scene) wantStarved(phases ...GapPhase) (notices []stateNotice) {
	s.t.Helper()
	synctest.Wait()
	for _, n := range noticesOf[stateNotice](s, NoticeFeed) {
		if n.Cause == cause.Starved {
			notices = append(notices, n)
		}
	}
	if len(notices) != len(phases) {
		s.t.Fatalf("%+v, want %v", notices, phases)
	}
	for i, n := range notices {
		if n.Phase != phases[i] {
			s.t.Errorf("%+v, want %v", notices, phases)
		}
	}
	return notices
}

// starve lets the upstream send nothing more to the connection of some slot, and says which.
func (s *scene) starve(id int) shard.Slot {
	s.t.Helper()
	if !s.up.StarveConn(id) {
		s.t.Fatalf("there is no connection %d", id)
	}
	var names []string
	for _, c := range s.up.Conns() {
		if c.ID == id {
			names = c.Topics
		}
	}
	return *s.topic(shard.Topic(names[0])).Slot
}

func TestAStarvedSlotIsToldOnceAndLivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := busy(t, 3, 3) // one a second on each
		began := time.Now()
		slot := s.starve(2)
		time.Sleep(25 * time.Second)
		s.wantStarved()
		time.Sleep(35 * time.Second)
		told := s.wantStarved(GapOpen)[0]
		if told.Slot != slot || told.State != slots.Live.String() || told.Since.Sub(began).Abs() > watchEvery {
			t.Errorf("since %v: %+v", began, told)
		}
		for range 10 {
			time.Sleep(10 * time.Minute)
			s.wantStarved()
		}
		got := s.status()
		for _, status := range got.Slots {
			if starved := !status.Starved.IsZero(); starved != (status.Slot == slot) || status.Life != 1 || status.State != slots.Live {
				t.Errorf("%+v", status)
			}
		}
		if got.Topics.Confirmed != 30 || len(got.Counters.Gaps) > 0 {
			t.Errorf("%+v, gaps %v", got.Topics, got.Counters.Gaps)
		}

		s.pool.Renew() // what an operator might do
		time.Sleep(time.Minute)
		if told := s.wantStarved(GapClosed)[0]; told.Slot != slot || told.Since.Sub(began).Abs() > watchEvery {
			t.Errorf("%+v", told)
		}
		if got := s.status().Slots[slot]; !got.Starved.IsZero() {
			t.Errorf("%+v", got)
		}
	})
}

func TestASlotIsNotStarvedAnyMoreWhenAnEventComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Int64
		s := performBusy(t, &silent)
		time.Sleep(5 * time.Minute)
		silent.Store(1)
		time.Sleep(2 * time.Minute)
		s.wantStarved(GapOpen)
		silent.Store(0)
		time.Sleep(20 * time.Second)
		s.wantStarved(GapClosed)
		time.Sleep(10 * time.Minute)
		s.wantStarved()
	})
}

// performBusy has two slots of one topic each, on which an event comes each second, but on the socket that silent names.
func performBusy(t *testing.T, silent *atomic.Int64) *scene {
	s := perform(t, topics(2), func(o *Options) {
		connections(o, 2)
		o.TopicsPerConnection = 1
	}, func(p *peer) {
		p.open()
		r, _ := p.next()
		p.answer(r, "")
		var events sync.WaitGroup
		over := make(chan struct{})
		events.Go(func() {
			second := time.NewTicker(time.Second)
			defer second.Stop()
			for {
				select {
				case <-second.C:
					if silent.Load() != int64(p.life) {
						p.event(shard.Topic(r.Data.Topics[0]))
					}
				case <-over:
					return
				}
			}
		})
		p.obey()
		close(over)
		events.Wait()
	})
	s.confirmed(2, time.Minute)
	return s
}

func TestNotEverySilenceIsStarvation(t *testing.T) {
	for _, row := range []struct {
		name  string
		slots int
		rate  float64
		then  func(*scene)
	}{
		{"all are quiet", 3, 3, func(s *scene) {
			s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
		}},
		{"nearly all are quiet", 3, 3, func(s *scene) {
			s.starve(2)
			s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0.5 })
		}},
		{"events are rare", 3, 0.03, func(s *scene) { s.starve(2) }},
		{"there is one slot", 1, 5, func(s *scene) { s.starve(1) }},
		{"topics changed", 3, 3, func(s *scene) {
			s.starve(2)
			s.pool.Want(topics(25)[1:])
			time.Sleep(20 * time.Second)
			s.pool.Want(append(topics(30)[5:], named("quiet", 5, 0)...))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := busy(t, row.slots, row.rate)
				row.then(s)
				time.Sleep(10 * time.Minute)
				s.wantStarved()
			})
		})
	}
}

func TestASilenceLikeThoseBeforeIsNotStarvation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Int64
		s := performBusy(t, &silent)
		time.Sleep(5 * time.Minute)
		silent.Store(1)
		time.Sleep(2 * time.Minute)
		silent.Store(0)
		time.Sleep(2 * time.Minute)
		s.wantStarved(GapOpen, GapClosed) // nothing like it was seen before
		for range 20 {
			silent.Store(1)
			time.Sleep(2 * time.Minute)
			silent.Store(0)
			time.Sleep(2 * time.Minute)
		}
		s.wantStarved()
		silent.Store(1)
		time.Sleep(6 * time.Minute)
		s.wantStarved(GapOpen)
	})
}
