package pool

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/ledger"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/shard"
)

// snapshot is what would be kept, as it is read again.
func (s *scene) snapshot() (last Snapshot) {
	s.t.Helper()
	now, err := s.pool.Snapshot(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := json.Marshal(now)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &last); err != nil {
		s.t.Fatal(err)
	}
	return last
}

// stop ends the pool in the upstream's good manner.
func (s *scene) stop() {
	s.end()
	<-s.done
}

// again starts another pool on what a run before left, with the same upstream and sink.
func (s *scene) again(last *Snapshot, seed uint64, wanted []shard.Wanted, change func(*Options)) *scene {
	s.t.Helper()
	next := &scene{t: s.t, net: s.net, up: s.up, sink: s.sink, done: make(chan struct{})}
	o := testOptions(s.t, s.sink, s.net)
	if change != nil {
		change(&o)
	}
	o.Last, o.Conn.Seed = last, seed
	next.start(o, wanted, func() {})
	return next
}

func TestARestartIsAGapOfEachTopicFromItsLastFrameOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{Seed: 1, Rate: 50}}, topics(70), nil)
		s.confirmed(70, time.Minute)
		time.Sleep(time.Minute)
		s.sink.take()
		began := time.Now()
		s.stop()
		last := s.snapshot()
		if len(last.Gaps) != 70 || len(last.Confirmed) != 0 {
			t.Fatalf("%d gaps and %d confirmed topics are left, want 70 and none", len(last.Gaps), len(last.Confirmed))
		}
		if open, closed := s.gaps(); len(open)+len(closed) > 0 {
			t.Fatalf("announced before anyone knows how it ends: %+v, %+v", open, closed)
		}
		ended := make(map[int]time.Time) // of the upstream's sockets
		for _, c := range s.up.Conns() {
			ended[c.ID] = c.Ended
		}
		for _, g := range last.Gaps {
			if g.Cause != cause.Restart || g.From.Before(began.Add(-time.Second)) || g.From.After(ended[2]) || g.Announced {
				t.Errorf("the end began at %v: %+v", began, g)
			}
		}

		time.Sleep(time.Minute)
		s.net.SetHang(true)
		next := s.again(&last, 2, topics(69), nil) // the last one is not wanted any more
		synctest.Wait()
		open, closed := s.gaps()
		if len(open) != 0 || len(closed) != 1 || closed[0].Topic != topics(70)[69].Topic || closed[0].Subject == "" {
			t.Errorf("at once %d are open and %d closed, want one that is not wanted", len(open), len(closed))
		}
		if got := next.status(); got.Dark != 69 || got.Counters.Gaps[cause.Restart] != 70 {
			t.Errorf("%d dark, gaps %v", got.Dark, got.Counters.Gaps)
		}
		time.Sleep(ledger.AnnounceAfter)
		synctest.Wait()
		s.net.SetHang(false)
		open, _ = s.gaps()
		next.confirmed(69, time.Minute)
		_, closed = s.gaps()
		s.wantOnce(last.Gaps[:69], open, closed)
		for _, g := range closed {
			line := next.topic(g.Topic)
			if !g.To.Equal(line.Since) || !line.DarkSince.IsZero() {
				t.Errorf("closed at %v, confirmed since %v", g.To, line.Since)
			}
		}
	})
}

// wantOnce looks whether each gap was announced as open and as closed, once and as it was left.
func (s *scene) wantOnce(left []OpenGap, open, closed []GapNotice) {
	s.t.Helper()
	for phase, notices := range map[GapPhase][]GapNotice{GapOpen: open, GapClosed: closed} {
		byTopic := make(map[shard.Topic]GapNotice)
		for _, n := range notices {
			byTopic[n.Topic] = n
		}
		if len(notices) != len(left) {
			s.t.Fatalf("%d gaps were announced as %s, want %d", len(notices), phase, len(left))
		}
		for _, g := range left {
			if n := byTopic[g.Topic]; n.ID != g.ID || !n.From.Equal(g.From) || n.Cause != g.Cause {
				s.t.Errorf("%s: announced %+v, left %+v", phase, n, g)
			}
		}
	}
}

func TestAfterAKillTheGapBeginsWhenThePoolWasLastKnownToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(60), nil)
		s.confirmed(60, time.Minute)
		last := s.snapshot()
		alive := time.Now()
		if !last.Alive.Equal(alive) || len(last.Confirmed) != 60 || len(last.Gaps) != 0 {
			t.Fatalf("kept %+v", last)
		}
		time.Sleep(4 * time.Second)
		s.stop() // what it leaves is not looked at
		s.sink.take()
		next := s.again(&last, 2, topics(60), nil)
		next.confirmed(60, time.Minute)
		_, closed := s.gaps()
		ids := make(map[string]bool)
		for _, g := range closed {
			ids[g.ID] = true
			if g.Cause != cause.Restart || !g.From.Equal(alive) || g.To.Before(alive.Add(4*time.Second)) {
				t.Errorf("%+v", g)
			}
		}
		if len(closed) != 60 || len(ids) != 60 {
			t.Errorf("%d gaps closed with %d ids, want 60", len(closed), len(ids))
		}
		if got := next.status(); got.Dark != 0 {
			t.Errorf("%d topics are dark", got.Dark)
		}
	})
}

func TestAGapThatWasOpenAtTheEndGoesOnAndEndsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(60), nil)
		s.confirmed(60, time.Minute)
		s.sink.take()
		s.net.SetRefuse(true)
		s.up.Reset(1)
		time.Sleep(3 * time.Second)
		open, _ := s.gaps()
		for run := range 2 { // the second run is over before anything is confirmed
			s.stop()
			last := s.snapshot()
			s = s.again(&last, uint64(2+run), topics(60), nil)
			time.Sleep(3 * time.Second)
			more, closed := s.gaps()
			open = append(open, more...)
			if len(closed) > 0 {
				t.Fatalf("closed %+v", closed)
			}
		}
		left := s.snapshot().Gaps
		s.net.SetRefuse(false)
		s.confirmed(60, 5*time.Minute)
		_, closed := s.gaps()
		s.wantOnce(left, open, closed)
		causes := make(map[cause.Cause]int)
		for _, g := range closed {
			causes[g.Cause]++
		}
		if causes[cause.Reset] == 0 || causes[cause.Restart] == 0 || len(causes) != 2 {
			t.Errorf("causes: %v", causes)
		}
	})
}

func TestWhatARunLeftIsKeptUntilTopicsAreWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(3), nil)
		s.confirmed(3, time.Minute)
		last := s.snapshot()
		s.stop()
		p, err := New(withLast(s, &last))
		if err != nil {
			t.Fatal(err)
		}
		idle := &scene{t: t, net: s.net, up: s.up, sink: s.sink, pool: p}
		go p.Run(t.Context()) // to the end of the bubble
		time.Sleep(5 * time.Second)
		if got := idle.snapshot(); !got.Alive.Equal(last.Alive) || len(got.Confirmed) != 3 {
			t.Errorf("kept %+v, had %+v", got, last)
		}
		before, _ := p.Snapshot(t.Context())
		p.Want(nil)
		synctest.Wait()
		if after, _ := p.Snapshot(t.Context()); after.Version == before.Version {
			t.Error("it is something else now, in the same version")
		}
		if got := idle.snapshot(); !got.Alive.Equal(time.Now()) || len(got.Confirmed)+len(got.Gaps) != 0 {
			t.Errorf("nothing is wanted; kept %+v", got)
		}
		if open, closed := s.gaps(); len(open)+len(closed) > 0 {
			t.Errorf("gaps of topics that nobody wants: %+v, %+v", open, closed)
		}
	})
}

func withLast(s *scene, last *Snapshot) Options {
	o := testOptions(s.t, s.sink, s.net)
	o.Last, o.Conn.Seed = last, 2
	return o
}

func TestWithoutAnythingKeptARestartIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(10), nil)
		s.confirmed(10, time.Minute)
		s.stop()
		next := s.again(nil, 2, topics(10), nil)
		next.confirmed(10, time.Minute)
		if open, closed := s.gaps(); len(open)+len(closed) > 0 {
			t.Errorf("gaps: %+v, %+v", open, closed)
		}
	})
}

func TestWhatARunLeftMayBeOldWrongOrFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		future := time.Now().Add(time.Hour)
		last := &Snapshot{
			Alive:     future,
			Confirmed: []shard.Topic{topics(2)[0].Topic, topics(2)[0].Topic, "", "gone.1", "bad\nname"},
			Gaps: []OpenGap{
				{Topic: topics(2)[1].Topic, ID: "a", From: future, Cause: cause.Reset},
				{Topic: topics(2)[1].Topic, ID: "b", From: time.Now(), Cause: cause.Reset},
				{Topic: "bad\nname", ID: "c", From: time.Now(), Cause: cause.Reset, Announced: true},
			},
		}
		s := play(t, twitch.PubSubOptions{}, append(topics(2), shard.Wanted{Topic: "bad\nname"}), func(o *Options) { o.Last = last })
		s.confirmed(2, time.Minute)
		_, closed := s.gaps()
		ids := make(map[string]int)
		for _, g := range closed {
			ids[g.ID]++
			if g.To.Before(g.From) {
				t.Errorf("ends before it begins: %+v", g)
			}
		}
		if len(closed) != 3 || ids["a"] != 1 || ids["c"] != 1 {
			t.Errorf("closed %+v", closed)
		}
		if got := s.status(); got.Dark != 0 || got.Topics.Refused != 1 {
			t.Errorf("%d dark, %+v", got.Dark, got.Topics)
		}
	})
}

func TestAVersionChangesWithWhatIsKeptAndWithNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{Rate: 10}}, topics(10), nil)
		s.confirmed(10, time.Minute)
		version := func() uint64 {
			t.Helper()
			synctest.Wait()
			now, err := s.pool.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return now.Version
		}
		before := version()
		time.Sleep(10 * time.Minute)
		if version() != before {
			t.Error("it changed though only time passed")
		}
		for _, step := range []struct {
			name string
			do   func()
		}{
			{"a connection ended", func() { s.up.Reset(1) }},
			{"that was announced", func() { s.net.SetHang(true); time.Sleep(ledger.AnnounceAfter); synctest.Wait(); s.net.SetHang(false) }},
			{"it is confirmed again", func() { s.confirmed(10, time.Minute) }},
			{"one is not wanted any more", func() { s.pool.Want(topics(9)) }},
		} {
			before = version()
			step.do()
			if version() == before {
				t.Errorf("%s: the same version", step.name)
			}
		}
	})
}

// Whenever pools end, and however often, every time in which a topic was confirmed and nobody listened is in a gap.
func TestRestartsLeaveNoHoleThatIsNotAnnounced(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, seed))
				s := play(t, twitch.PubSubOptions{Options: upstream.Options{Seed: seed, ResetEvery: 20 * time.Second}}, topics(60), quick)
				s.confirmed(60, time.Minute)
				begin := time.Now()
				for run := range uint64(8) {
					time.Sleep(time.Duration(r.Int64N(int64(30 * time.Second))))
					kept := s.snapshot()
					if r.IntN(2) == 0 { // else it is killed a while after that was kept
						s.stop()
						kept = s.snapshot()
					} else {
						time.Sleep(time.Duration(r.Int64N(int64(5 * time.Second))))
						s.stop()
					}
					time.Sleep(time.Duration(r.Int64N(int64(5 * time.Second))))
					s = s.again(&kept, 100+run, topics(60), quick)
				}
				s.up.Change(func(o *twitch.PubSubOptions) { o.ResetEvery = 0 })
				s.confirmed(60, 5*time.Minute)
				time.Sleep(ledger.AnnounceAfter)
				_, closed := s.gaps()
				for _, w := range topics(60) {
					wantCovered(t, w.Topic, begin, s.heard(string(w.Topic)), closed)
				}
			})
		})
	}
}

// quick dials at once, and again at once.
func quick(o *Options) {
	connections(o, 2)
	o.Conn.Backoff.Base, o.Conn.Backoff.Max = 100*time.Millisecond, time.Second
}

// span is a time in which a connection listened to a topic.
type span struct{ from, to time.Time }

// heard are the times in which the upstream sent a topic to somebody; to is zero while it does.
func (s *scene) heard(topic string) (list []span) {
	for _, c := range s.up.Conns() {
		for _, l := range c.Listens {
			if l.Topic == topic {
				to := l.To
				if to.IsZero() {
					to = c.Ended
				}
				list = append(list, span{l.From, to})
			}
		}
	}
	return list
}

// wantCovered fails if a time in which nobody listened is in no gap. What lies between a last frame and the end of its
// socket is the upstream's to know, so a gap may be longer.
func wantCovered(t *testing.T, topic shard.Topic, begin time.Time, heard []span, gaps []GapNotice) {
	t.Helper()
	at := begin
	for moved := true; moved; {
		moved = false
		reach := func(from, to time.Time) {
			if !from.After(at) && (to.IsZero() || to.After(at)) {
				moved = true
				if at = to; to.IsZero() {
					at = time.Now()
				}
			}
		}
		for _, h := range heard {
			reach(h.from, h.to)
		}
		for _, g := range gaps {
			if g.Topic == topic {
				reach(g.From, g.To)
			}
		}
		if !at.Before(time.Now()) {
			return
		}
	}
	t.Errorf("%s: from %v on nobody listened, and no gap says so; heard %v", topic, at, heard)
}
