package pool

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/ledger"
	"feedmux/internal/sim"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// What is promised of the connections, in figures of its own.
const (
	hold         = 10 * time.Second
	askTries     = 3
	answerWithin = 10 * time.Second
)

func TestAllPlaceableTopicsAreConfirmedUnderTheDialBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(1850), nil)
		if took := s.confirmed(500, time.Minute); took < 18*time.Second || took > 19*time.Second {
			t.Errorf("500 topics took %v, want 18 s: nine dials after the first, one each 2 s", took)
		}
		got := s.status()
		if got.Topics != (TopicCounts{Wanted: 1850, Confirmed: 500, Unplaced: 1350}) {
			t.Errorf("topics: %+v", got.Topics)
		}
		if got.Topics.Ready() != 1 || got.Capacity != 500 || got.Account.Connections != 10 {
			t.Errorf("ready %v, capacity %d, account %+v", got.Topics.Ready(), got.Capacity, got.Account)
		}
		for _, line := range got.Ledger[:500] {
			if line.State != topic.Confirmed || line.By != topic.ByAck || line.Slot == nil {
				t.Fatalf("the most wanted are not all confirmed by ack: %+v", line)
			}
		}
		for _, line := range got.Ledger[500:] {
			if line.State != topic.Unplaced || line.Reason == "" {
				t.Fatalf("the least wanted are not all unplaced with a reason: %+v", line)
			}
		}
		conns := s.up.Conns()
		for i := 1; i < len(conns); i++ {
			if d := conns[i].Accepted.Sub(conns[i-1].Accepted); d < 2*time.Second {
				t.Errorf("dials %d and %d are %v apart", i-1, i, d)
			}
		}
		if n := s.up.MaxOpen(); n != 10 {
			t.Errorf("%d sockets open at most, want 10", n)
		}
		if v := s.up.Violations(); len(v) > 0 {
			t.Errorf("rules broken: %v", v)
		}
		for _, c := range conns {
			for _, a := range c.Asks {
				if len(a.Topics) > 20 || a.Token {
					t.Errorf("ask %+v", a)
				}
			}
		}
	})
}

func TestEventsReachTheSinkOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{Rate: 500, Seed: 3}}, topics(100), nil)
		s.confirmed(100, time.Minute)
		time.Sleep(30 * time.Second)
		s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
		synctest.Wait()

		events, _ := s.sink.take()
		if len(events) < 10_000 {
			t.Fatalf("only %d events", len(events))
		}
		next := make(map[string]uint64)
		for _, e := range events {
			n, ok := twitch.EventNumber([]byte(e.body))
			if !ok {
				t.Fatalf("no event: %q", e.body)
			}
			if next[e.subject] != 0 && n != next[e.subject] {
				t.Fatalf("%s: event %d, want %d", e.subject, n, next[e.subject])
			}
			next[e.subject] = n + 1
		}
		for _, w := range topics(100) {
			runs := s.up.Sent(string(w.Topic))
			if len(runs) == 0 || next["feed.f."+string(w.Topic)] != runs[0].To+1 {
				t.Errorf("%s: upstream sent %v, the last that came was %d", w.Topic, runs, next["feed.f."+string(w.Topic)]-1)
			}
		}
		if got := s.status(); got.Counters.Events != uint64(len(events)) {
			t.Errorf("%d events counted, %d came", got.Counters.Events, len(events))
		}
	})
}

func TestACutConnectionComesBackAndItsGapIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(50), nil)
		s.confirmed(50, time.Minute)
		time.Sleep(2 * time.Minute)
		lastFrame := s.status().Slots[0].LastFrame
		s.sink.take()

		s.up.Reset(1)
		synctest.Wait()
		got := s.status()
		if got.Topics.Confirmed != 0 || got.Dark != 50 || got.Slots[0].State != slots.Waiting || got.Slots[0].LastCause != cause.Reset {
			t.Fatalf("after the cut: %+v, %d dark, slot %+v", got.Topics, got.Dark, got.Slots[0])
		}
		s.confirmed(50, 10*time.Second)
		confirmed := time.Now()
		_, closed := s.gaps()
		if len(closed) != 50 {
			t.Fatalf("%d gaps closed, want 50", len(closed))
		}
		ids := make(map[string]bool)
		for _, g := range closed {
			if !g.From.Equal(lastFrame) || g.To.Before(g.From) || g.To.After(confirmed) || g.Cause != cause.Reset ||
				g.At != "upstream" || g.Filled != "none" || g.Subject != "feed.f."+string(g.Topic) {
				t.Fatalf("gap %+v; the last frame came at %v, confirmed again at %v", g, lastFrame, confirmed)
			}
			ids[g.ID] = true
		}
		if len(ids) != 50 {
			t.Errorf("%d different ids for 50 gaps", len(ids))
		}
		got = s.status()
		if got.Dark != 0 || got.Counters.Gaps[cause.Reset] != 50 || got.Counters.Disconnects[cause.Reset] != 1 || got.Slots[0].Life != 2 {
			t.Errorf("after it came back: %d dark, %+v, life %d", got.Dark, got.Counters, got.Slots[0].Life)
		}
	})
}

func TestALongGapIsAnnouncedWhenItOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(2), nil)
		s.confirmed(2, time.Minute)
		s.sink.take()
		s.net.SetRefuse(true)
		s.up.Reset(1)
		synctest.Wait()
		time.Sleep(ledger.AnnounceAfter - time.Millisecond)
		synctest.Wait()
		if open, _ := s.gaps(); len(open) != 0 {
			t.Errorf("announced too early: %+v", open)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		open, closed := s.gaps()
		if len(open) != 2 || len(closed) != 0 {
			t.Fatalf("%d open, %d closed, want 2 and 0", len(open), len(closed))
		}
		s.net.SetRefuse(false)
		s.confirmed(2, 5*time.Minute)
		again, closed := s.gaps()
		if len(again) != 0 || len(closed) != 2 || closed[0].ID != open[0].ID || !closed[0].From.Equal(open[0].From) {
			t.Errorf("opened again %v; closed %+v, opened as %+v", again, closed, open)
		}
		if d := s.status().Counters.Dials; d[string(cause.Refused)] == 0 || d["ok"] != 2 {
			t.Errorf("dials: %v", d)
		}
	})
}

func TestASilentConnectionIsNoticedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(50), nil)
		s.confirmed(50, time.Minute)
		time.Sleep(3 * time.Minute)
		s.up.Mute(1)
		muted := time.Now()
		for s.status().Slots[0].State == slots.Live {
			time.Sleep(100 * time.Millisecond)
		}
		// interval × (1 + jitter) + timeout, and the steps of the loop above
		if took, most := time.Since(muted), 49500*time.Millisecond+10*time.Second+100*time.Millisecond; took > most {
			t.Errorf("noticed after %v, promised %v", took, most)
		}
		if got := s.status(); got.Slots[0].LastCause != cause.PingTimeout {
			t.Errorf("cause %s", got.Slots[0].LastCause)
		}
		s.confirmed(50, time.Minute)
	})
}

func TestAPlaceStaysTakenAfterACloseThatThePeerDidNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(1), func(o *Options) {
			o.Conn.Share = share(1, limiter.Window{N: 100, Per: time.Second}, 1)
			o.Conn.Connections = 1
		})
		s.confirmed(1, time.Minute)
		s.up.Mute(1)
		for s.status().Slots[0].State == slots.Live {
			time.Sleep(10 * time.Millisecond)
		}
		ended := time.Now()
		s.confirmed(1, time.Minute)
		if took := time.Since(ended); took < hold {
			t.Errorf("the place was taken again after %v, before hold (%v) had passed", took, hold)
		}
	})
}

func TestOneBadTopicInABatchIsFoundAndItsPlaceGivenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := topics(501)
		bad := wanted[7].Topic
		s := play(t, twitch.PubSubOptions{BadTopics: []string{string(bad)}}, wanted, nil)
		s.confirmed(500, 2*time.Minute)
		line := s.topic(bad)
		if line.State != topic.Refused || !strings.Contains(line.Reason, "ERR_BADTOPIC") || line.Slot != nil {
			t.Errorf("the bad topic: %+v", line)
		}
		if line := s.topic(wanted[500].Topic); line.State != topic.Confirmed {
			t.Errorf("the place of the bad topic was not given to the next: %+v", line)
		}
		refusals := 0
		for _, c := range s.up.Conns() {
			for _, a := range c.Asks {
				if a.Error != "" {
					refusals++
				}
			}
		}
		if refusals != 2 {
			t.Errorf("%d asks were refused, want 2: the batch and the topic alone", refusals)
		}

		asked := len(s.up.Conns()[0].Asks)
		s.up.Change(func(o *twitch.PubSubOptions) { o.BadTopics = []string{"none"} })
		time.Sleep(ledger.RefusedFor + time.Minute)
		if s.topic(bad).State != topic.Unplaced {
			t.Errorf("after an hour: %+v, want unplaced, since its place is taken", s.topic(bad))
		}
		if again := len(s.up.Conns()[0].Asks); again != asked {
			t.Errorf("%d new asks for a topic that has no place", again-asked)
		}
	})
}

func TestARefusedTopicIsAskedForAgainAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{BadTopics: []string{"bad.1"}}, []shard.Wanted{{Topic: "good.1"}, {Topic: "bad.1"}}, nil)
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.up.Change(func(o *twitch.PubSubOptions) { o.BadTopics = []string{"none"} })
		time.Sleep(50 * time.Minute)
		if got := s.topic("bad.1"); got.State != topic.Refused {
			t.Fatalf("asked again too early: %+v", got)
		}
		time.Sleep(10 * time.Minute)
		if got := s.topic("bad.1"); got.State != topic.Confirmed {
			t.Errorf("after an hour: %+v", got)
		}
	})
}

func TestAnAskWithoutAnAnswerIsRepeatedAndThenEndsTheLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{ResponseLoss: 1}, topics(5), nil)
		time.Sleep(askTries*answerWithin - time.Second)
		if asks := s.up.Conns()[0].Asks; len(asks) != askTries {
			t.Fatalf("asked %d times, want %d", len(asks), askTries)
		}
		if got := s.status(); got.Topics.Asked != 5 || got.Slots[0].Life != 1 {
			t.Fatalf("before the end: %+v, life %d", got.Topics, got.Slots[0].Life)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.ResponseLoss = -1 })
		time.Sleep(2 * time.Second)
		if got := s.status(); got.Counters.Disconnects[cause.Silent] != 1 {
			t.Errorf("disconnects: %v", got.Counters.Disconnects)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.ResponseLoss = 0 })
		s.confirmed(5, time.Minute)
	})
}

func TestAnEventConfirmsATopicWhoseAnswerWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{Rate: 100}, ResponseLoss: 1}, topics(5), nil)
		s.confirmed(5, 5*time.Second)
		for _, line := range s.status().Ledger {
			if line.By != topic.ByEvent {
				t.Errorf("confirmed by %s: %+v", line.By, line)
			}
		}
		time.Sleep(5 * time.Minute)
		if got := s.status(); got.Slots[0].Life != 1 {
			t.Errorf("the life ended though all topics are confirmed: %+v", got.Slots[0])
		}
	})
}

func TestTheUpstreamsOwnFailureIsAskedAgainWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{ServerErrors: 1}, topics(5), nil)
		time.Sleep(10 * time.Minute)
		asks := s.up.Conns()[0].Asks
		if len(asks) < 5 || len(asks) > 60 {
			t.Errorf("%d asks in ten minutes", len(asks))
		}
		if got := s.status(); got.Slots[0].Life != 1 || got.Topics.Refused != 0 {
			t.Errorf("life %d, %+v", got.Slots[0].Life, got.Topics)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.ServerErrors = 0 })
		s.confirmed(5, 10*time.Minute)
	})
}

func TestAcceptThenCloseCostsFewDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{AcceptThenClose: true}}, topics(50), nil)
		time.Sleep(time.Hour)
		// full jitter up to two minutes is one dial a minute, and a few more at the start
		if n := len(s.net.Dials()); n < 30 || n > 120 {
			t.Errorf("%d dials in an hour", n)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.AcceptThenClose = false })
		s.confirmed(50, 3*time.Minute)
	})
}

func TestOddMessagesAreCountedAndTheLifeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(3), nil)
		s.confirmed(3, time.Minute)
		s.up.Garbage(1)
		s.up.Oversize(1)
		time.Sleep(time.Second)
		got := s.status()
		if got.Slots[0].Life != 1 || got.Counters.Skipped["malformed"] != 1 || got.Counters.Skipped["too_big"] != 1 {
			t.Errorf("life %d, skipped %v", got.Slots[0].Life, got.Counters.Skipped)
		}
	})
}

func TestAFrameThatNoWebSocketMaySendEndsOnlyItsOwnLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(100), nil)
		s.confirmed(100, time.Minute)
		s.up.BadFrame(1)
		time.Sleep(time.Second)
		got := s.status()
		lives := []int{got.Slots[0].Life, got.Slots[1].Life}
		slices.Sort(lives)
		if got.Counters.Disconnects[cause.ProtocolError] != 1 || got.Topics.Confirmed < 50 {
			t.Errorf("%v, %+v, lives %v", got.Counters.Disconnects, got.Topics, lives)
		}
		s.confirmed(100, time.Minute)
	})
}

func TestWantIsADifferenceToWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(60), nil)
		s.confirmed(60, time.Minute)
		asks := func() (n int) {
			for _, c := range s.up.Conns() {
				n += len(c.Asks)
			}
			return n
		}
		before := asks()
		s.pool.Want(topics(60)) // the same again
		synctest.Wait()
		if n := asks(); n != before {
			t.Errorf("%d asks for nothing new", n-before)
		}

		s.pool.Want(append(topics(50)[1:], shard.Wanted{Topic: "new.1"}))
		time.Sleep(5 * time.Second)
		got := s.status()
		if got.Topics != (TopicCounts{Wanted: 50, Confirmed: 50}) {
			t.Fatalf("%+v", got.Topics)
		}
		if got.Slots[1].State != slots.Closed || s.up.Open() != 1 {
			t.Errorf("the slot without topics is %s, %d sockets open", got.Slots[1].State, s.up.Open())
		}
		if listening := s.up.Listening(); len(listening) != 50 || listening["new.1"] == nil || listening["video-playback-by-id.0"] != nil {
			t.Errorf("upstream has %d topics", len(listening))
		}
		if v := s.up.Violations(); len(v) > 0 {
			t.Errorf("rules broken: %v", v)
		}

		s.pool.Want(nil)
		time.Sleep(5 * time.Second)
		if n := s.up.Open(); n != 0 {
			t.Errorf("%d sockets open for nothing", n)
		}
		s.pool.Want(topics(60))
		s.confirmed(60, time.Minute)
	})
}

func TestATopicThatWasRemovedAndWantedAgainIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(50), nil)
		s.confirmed(50, time.Minute)
		for range 20 {
			s.pool.Want(topics(1)) // the conn may never see this order
			s.pool.Want(topics(50))
			s.pool.Want(topics(10))
			synctest.Wait()
			s.pool.Want(topics(50))
			s.confirmed(50, 30*time.Second)
			if n := len(s.up.Listening()); n != 50 {
				t.Fatalf("the ledger says 50, the upstream sends %d", n)
			}
		}
		if v := s.up.Violations(); len(v) > 0 {
			t.Errorf("rules broken: %v", v)
		}
	})
}

func TestAHigherPriorityTakesAPlaceAndTheLoserIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(500), nil)
		s.confirmed(500, time.Minute)
		s.sink.take()
		s.pool.Want(append(topics(500), shard.Wanted{Topic: "vip.1", Priority: 1}))
		s.confirmed(500, time.Minute)
		if got := s.topic("vip.1"); got.State != topic.Confirmed {
			t.Fatalf("%+v", got)
		}
		loser := s.topic("video-playback-by-id.499")
		if loser.State != topic.Unplaced || loser.Reason != "a topic of higher priority took its place" || loser.DarkSince.IsZero() {
			t.Errorf("%+v", loser)
		}
		_, notices := s.sink.take()
		if !slices.ContainsFunc(notices, func(n savedNotice) bool {
			return n.subject == "feedmux.topic.f.video-playback-by-id.499" && strings.Contains(n.body, `"unplaced"`)
		}) {
			t.Error("its eviction was not announced")
		}
	})
}

func TestATopicThatCanNeverBeAskedForIsRefusedWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, []shard.Wanted{{Topic: "bad topic"}}, nil)
		got := s.topic("bad topic")
		if got.State != topic.Refused || got.Reason == "" || len(s.net.Dials()) != 0 {
			t.Errorf("%+v after %d dials", got, len(s.net.Dials()))
		}
	})
}

func TestTheEndIsInGoodManner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{Rate: 1000}}, topics(500), nil)
		s.confirmed(500, time.Minute)
		begin := time.Now()
		s.end()
		<-s.done
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("ended after %v", took)
		}
		synctest.Wait()
		if n := s.up.Open(); n != 0 {
			t.Errorf("%d sockets left open", n)
		}
		for _, c := range s.up.Conns() {
			if c.Why != "Close from the client" {
				t.Errorf("connection %d ended: %s; want a Close from the client", c.ID, c.Why)
			}
		}
	})
}

func TestTheEndDoesNotWaitForADialThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(500), nil)
		s.net.SetHang(true)
		time.Sleep(5 * time.Second)
		begin := time.Now()
		s.end()
		<-s.done
		if took := time.Since(begin); took > 0 {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestStatusFailsWhenTheLoopDoesNotTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(testOptions(t, &memory{}, sim.NewNetwork()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Status(ctx, false); err == nil {
			t.Error("a pool that does not run has a status")
		}
	})
}

// A reader must neither lose nor repeat what an upstream sends while connections come and go.
func TestNothingIsLostOrRepeatedBetweenTwoGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{
			Rate: 50, Seed: 5, ResetEvery: 40 * time.Second, CloseEvery: time.Minute,
		}}, topics(150), nil)
		time.Sleep(20 * time.Minute)
		s.up.Change(func(o *twitch.PubSubOptions) { o.ResetEvery, o.CloseEvery = 0, 0 })
		s.confirmed(150, 5*time.Minute)
		time.Sleep(10 * time.Second)
		s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
		synctest.Wait()

		events, _ := s.sink.take()
		last := make(map[string]uint64)
		lives := make(map[string]string)
		for _, e := range events {
			n, _ := twitch.EventNumber([]byte(e.body))
			life := fmt.Sprintf("%d/%d", e.slot, e.life)
			if n <= last[e.subject] {
				t.Fatalf("%s: event %d after %d", e.subject, n, last[e.subject])
			}
			if last[e.subject] != 0 && n != last[e.subject]+1 && lives[e.subject] == life {
				t.Fatalf("%s: event %d after %d on the same life %s", e.subject, n, last[e.subject], life)
			}
			last[e.subject], lives[e.subject] = n, life
		}
		if got := s.status(); got.Counters.Disconnects[cause.Reset] < 10 || got.Counters.Disconnects[cause.ServerAsked] < 10 {
			t.Errorf("too little happened: %v", got.Counters.Disconnects)
		}
		if n := s.up.MaxOpen(); n > 10 {
			t.Errorf("%d sockets open at once", n)
		}
	})
}

func TestRetryAfterHoldsTheWholeAccountBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{
			Options: upstream.Options{Refuse: 1, RefuseStatus: 429, RetryAfter: 5 * time.Minute},
		}, topics(500), nil)
		time.Sleep(4 * time.Minute)
		if n := len(s.net.Dials()); n != 1 {
			t.Errorf("%d dials while the upstream wanted none", n)
		}
		if got := s.status().Counters.Dials; got[string(cause.RateLimited)] != 1 {
			t.Errorf("dials: %v", got)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.Refuse = 0 })
		s.confirmed(500, 3*time.Minute)
	})
}
