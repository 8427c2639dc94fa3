package pool

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// turning lets topics take turns on n connections of ten topics.
func turning(n int) func(*Options) {
	return func(o *Options) {
		connections(o, n)
		o.TopicsPerConnection, o.Conn.SubscribeBatch = 10, 5
		o.Overflow, o.Dwell = Turns, time.Minute
	}
}

// messages is how many the upstream was sent with asks, UNLISTENs included.
func (s *scene) messages() (n int) {
	for _, c := range s.up.Conns() {
		n += len(c.Asks)
	}
	return n
}

// noticesOf are the notices of one kind since the last look at any.
func noticesOf[N any](s *scene, kind NoticeKind) (list []N) {
	s.t.Helper()
	_, notices := s.sink.take()
	for _, saved := range notices {
		if strings.HasPrefix(saved.subject, "feedmux."+string(kind)+".") {
			var n N
			if err := json.Unmarshal([]byte(saved.body), &n); err != nil {
				s.t.Fatal(err)
			}
			list = append(list, n)
		}
	}
	return list
}

func TestTopicsTakeTurnsAndAreConfirmedForTheSameTime(t *testing.T) {
	const dear, wanted, hours = 4, 37, 6
	synctest.Test(t, func(t *testing.T) {
		list := slices.Concat(topics(wanted), named("dear", dear, 5), named("cheap", 3, -1), []shard.Wanted{{Topic: "bad.1"}})
		s := play(t, twitch.PubSubOptions{
			Options: upstream.Options{Seed: 1, Rate: 5, ResetEvery: time.Hour}, TopicsPerConnection: 10, BadTopics: []string{"bad.*"},
		}, list, turning(2))
		s.confirmed(20, 2*time.Minute)
		heard := make(map[shard.Topic]int)
		samples := 0
		for begin := time.Now(); time.Since(begin) < hours*time.Hour; time.Sleep(7 * time.Second) {
			got := s.status()
			samples++
			for _, line := range got.Ledger {
				if line.State == topic.Confirmed {
					heard[line.Topic]++
				}
				if line.State == topic.Unplaced && line.Priority == 0 && !line.DarkSince.IsZero() {
					t.Fatalf("a turn that is over is darkness: %+v", line)
				}
			}
			for topic, conns := range s.up.Listening() {
				if len(conns) > 1 {
					t.Fatalf("%s is on connections %v", topic, conns)
				}
			}
		}
		fair := float64(samples) * (20 - dear) / wanted
		for _, w := range topics(wanted) {
			if n := float64(heard[w.Topic]); n < 0.85*fair || n > 1.15*fair {
				t.Errorf("%s was confirmed %.0f times of %d, fair is %.0f", w.Topic, n, samples, fair)
			}
		}
		for _, w := range named("dear", dear, 5) {
			if n := heard[w.Topic]; n < samples*99/100 {
				t.Errorf("%s, which is wanted more, was confirmed %d times of %d", w.Topic, n, samples)
			}
		}
		for _, w := range named("cheap", 3, -1) {
			if heard[w.Topic] > 0 {
				t.Errorf("%s, which is wanted less, had a turn", w.Topic)
			}
		}
		for _, g := range noticesOf[GapNotice](s, NoticeGap) {
			if g.Cause != cause.Reset {
				t.Fatalf("a gap without a fault: %+v", g)
			}
		}
		if v := s.up.Violations(); len(v) > 0 {
			t.Errorf("rules broken: %v", v)
		}
	})
}

func TestTopicsChangePlacesInWholeBatchesAndAreToldWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{TopicsPerConnection: 10}, topics(25), turning(1))
		s.confirmed(10, time.Minute)
		first := time.Now()
		line := s.topic(topics(25)[20].Topic)
		if want := "no slot has room; its next turn comes at about "; !strings.HasPrefix(line.Reason, want) {
			t.Errorf("the reason is %q, not %q", line.Reason, want)
		}
		at, err := time.Parse(time.RFC3339, line.Reason[strings.LastIndex(line.Reason, " ")+1:])
		if err != nil || at.Sub(first).Round(10*time.Second) != 2*time.Minute {
			t.Errorf("the eleventh in the queue comes at %v (%v), now it is %v", at, err, first)
		}
		s.sink.take()
		before := s.messages()
		time.Sleep(70 * time.Second)
		if got := s.status(); got.Topics.Confirmed != 10 {
			t.Errorf("%+v", got.Topics)
		}
		if n := s.messages() - before; n != 4 {
			t.Errorf("ten topics changed places in %d messages, want two batches of UNLISTEN and LISTEN", n)
		}
		out := 0
		for _, n := range noticesOf[TopicNotice](s, NoticeTopicState) {
			if n.State != topic.Unplaced.String() {
				continue
			}
			out++
			if !strings.HasPrefix(n.Reason, "its turn is over; its next turn comes at about ") {
				t.Errorf("%+v", n)
			}
		}
		if out != 10 {
			t.Errorf("%d topics were told that their turn is over, want 10", out)
		}
		if got := s.topic(topics(25)[10].Topic); got.State != topic.Confirmed {
			t.Errorf("the first in the queue: %+v", got)
		}
		time.Sleep(time.Minute)
		if got := s.topic(topics(25)[20].Topic); got.State != topic.Confirmed || got.Since.Sub(at).Abs() > 15*time.Second {
			t.Errorf("the eleventh, which was to come at %v: %+v", at, got)
		}
	})
}

func TestOneThatWaitsMakesOneAbsentAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{TopicsPerConnection: 10}, topics(21), turning(2))
		s.confirmed(20, time.Minute)
		before := s.messages()
		time.Sleep(21 * 65 * time.Second)
		if n := s.messages() - before; n < 38 || n > 44 {
			t.Errorf("%d messages in the time of 21 turns, want one LISTEN and one UNLISTEN for each", n)
		}
		s.pool.Want(topics(20))
		s.confirmed(20, time.Minute)
		before = s.messages()
		time.Sleep(time.Hour)
		if n := s.messages() - before; n != 0 {
			t.Errorf("%d messages though nobody waits", n)
		}
	})
}

func TestTurnsGoNoFasterThanTheSubscribeRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{TopicsPerConnection: 10}, topics(30), func(o *Options) {
			turning(1)(o)
			o.Dwell = 5 * time.Second
			o.Conn.SubscribeBatch, o.Conn.SubscribeRate = 1, limiter.Window{N: 1, Per: 2 * time.Second}
			o.Conn.PingInterval = time.Minute
		})
		time.Sleep(time.Minute)
		confirmed, samples := 0, 0
		heard := make(map[shard.Topic]bool)
		for range 300 {
			time.Sleep(time.Second)
			got := s.status()
			confirmed += got.Topics.Confirmed
			samples++
			for _, line := range got.Ledger {
				heard[line.Topic] = heard[line.Topic] || line.State == topic.Confirmed
			}
		}
		if mean := float64(confirmed) / float64(samples); mean < 8.5 {
			t.Errorf("%.1f of ten places are in use", mean)
		}
		if len(heard) != 30 || !heard[topics(30)[29].Topic] {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestATopicThatIsNeverConfirmedHasItsTurnAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, turning(1))
		s.net.SetRefuse(true)
		s.pool.Want(topics(12))
		time.Sleep(85 * time.Second)
		if line := s.topic(topics(12)[10].Topic); line.State != topic.Unplaced {
			t.Errorf("before the others' turns are over: %+v", line)
		}
		time.Sleep(15 * time.Second) // a minute, half a minute, and the next look
		for _, w := range topics(12)[10:] {
			if line := s.topic(w.Topic); line.State != topic.Assigned {
				t.Errorf("after that: %+v", line)
			}
		}
	})
}

func TestFitsNamesTheFirstTopicWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, func(o *Options) {
			connections(o, 2)
			o.Conn.Share = share(3, limiter.Window{N: 1, Per: time.Second}, 1) // one of them in reserve
			o.Overflow = Reject
		})
		if err := s.pool.Fits(append(topics(100), topics(100)...)); err != nil {
			t.Errorf("a hundred in a hundred places: %v", err)
		}
		list := append(topics(100), named("dear", 2, 1)...)
		err := s.pool.Fits(list)
		if err == nil || !strings.Contains(err.Error(), `"video-playback-by-id.98"`) || !strings.Contains(err.Error(), "102") {
			t.Errorf("%v does not name the first that has no place", err)
		}
		s.pool.Want(list) // who does not ask
		s.confirmed(100, time.Minute)
		if got := s.status(); got.Topics.Unplaced != 2 || got.Capacity != 100 || s.up.MaxOpen() != 2 {
			t.Errorf("%+v, capacity %d, %d sockets", got.Topics, got.Capacity, s.up.MaxOpen())
		}
	})
}

func TestSlotsComeAndGoWithTheTopicsAndNobodyMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(120), nil)
		s.confirmed(120, time.Minute)
		s.sink.take()
		where := make(map[shard.Topic]shard.Slot)
		look := func() (open int) {
			t.Helper()
			got := s.status()
			for _, line := range got.Ledger {
				if line.Slot == nil {
					t.Fatalf("%+v", line)
				}
				if before, had := where[line.Topic]; had && before != *line.Slot {
					t.Errorf("%s moved from slot %d to slot %d", line.Topic, before, *line.Slot)
				}
				where[line.Topic] = *line.Slot
			}
			for _, slot := range got.Slots {
				if slot.State == slots.Live {
					open++
				}
			}
			return open
		}
		if n := look(); n != 3 {
			t.Errorf("120 topics are on %d slots, want 3", n)
		}
		few := slices.Concat(topics(120)[:10], topics(120)[50:95])
		s.pool.Want(few)
		time.Sleep(10 * time.Second)
		if n := look(); n != 2 || s.up.Open() != 2 {
			t.Errorf("55 topics are on %d slots, %d sockets, want 2", n, s.up.Open())
		}
		s.pool.Want(append(few, named("new", 7, 0)...))
		s.confirmed(62, time.Minute)
		look()
		for i, want := range []shard.Slot{1, 1, 1, 1, 1, 0, 0} { // the fuller one first
			if got := where[shard.Topic(fmt.Sprintf("new.%d", i))]; got != want {
				t.Errorf("new.%d is on slot %d, want %d", i, got, want)
			}
		}
		s.pool.Want(topics(120)[50:60])
		time.Sleep(10 * time.Second)
		if n := look(); n != 1 || s.up.Open() != 1 {
			t.Errorf("ten topics are on %d slots", n)
		}
		s.pool.Want(nil)
		time.Sleep(10 * time.Second)
		if n := s.up.Open(); n != 0 {
			t.Errorf("%d sockets are open for nothing", n)
		}
		if gaps := noticesOf[GapNotice](s, NoticeGap); len(gaps) > 0 {
			t.Errorf("a gap: %+v", gaps[0])
		}
	})
}

func TestALifeThatTakesFewerTopicsGivesTheOthersAwayAndKeepsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early := append(named("early", 3, 0), named("dear", 2, 1)...)
		s := play(t, twitch.PubSubOptions{TooManyTopics: "ERR_FULL"}, topics(40), func(o *Options) {
			connections(o, 2)
			o.Conn.Protocol = pubsub.New(pubsub.Options{URL: "ws://upstream.test", FullErrors: []string{"ERR_FULL"}})
		})
		s.confirmed(40, time.Minute)
		s.sink.take()
		if !s.up.SetCap(1, 40) {
			t.Fatal("there is no connection 1")
		}
		s.pool.Want(append(slices.Clone(early), topics(40)...)) // the new ones are listed first
		s.confirmed(45, time.Minute)
		got := s.status()
		if got.Slots[0].Confirmed != 40 || got.Slots[1].Confirmed != 5 {
			t.Errorf("the slots have %d and %d topics", got.Slots[0].Confirmed, got.Slots[1].Confirmed)
		}
		if gaps := noticesOf[GapNotice](s, NoticeGap); len(gaps) > 0 {
			t.Errorf("a topic that was confirmed moved: %+v", gaps[0])
		}

		more := append(slices.Concat(early, topics(40)), named("more", 50, 0)...)
		s.pool.Want(more)
		s.confirmed(90, time.Minute)
		if got = s.status(); got.Topics.Unplaced != 5 {
			t.Errorf("%+v, want five without a place", got.Topics)
		}
		s.up.Reset(1)
		s.confirmed(95, time.Minute)
		if got = s.status(); got.Slots[0].Confirmed != 45 {
			t.Errorf("the next life has %d topics", got.Slots[0].Confirmed)
		}
	})
}

func TestARenewedConnectionTakesMoreTopicsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{TooManyTopics: "ERR_FULL"}, nil, func(o *Options) {
			connections(o, 1)
			o.Conn.Share = share(2, limiter.Window{N: 1, Per: time.Second}, 1)
			o.Conn.Protocol = pubsub.New(pubsub.Options{URL: "ws://upstream.test", FullErrors: []string{"ERR_FULL"}})
		})
		s.up.SetCap(1, 20)
		s.pool.Want(topics(40))
		time.Sleep(10 * time.Second)
		if got := s.status(); got.Topics.Confirmed != 20 || got.Topics.Unplaced != 20 {
			t.Errorf("%+v", got.Topics)
		}
		if line := s.topic(topics(40)[39].Topic); !strings.Contains(line.Reason, "upstream takes no more") {
			t.Errorf("the reason is %q", line.Reason)
		}
		s.pool.Renew()
		s.confirmed(40, time.Minute)
		if got := s.status(); got.Slots[0].Life != 2 || got.Counters.Gaps[cause.Renewed] != 0 {
			t.Errorf("life %d, gaps %v", got.Slots[0].Life, got.Counters.Gaps)
		}
	})
}

func TestItIsToldOnceThatTopicsHaveNoPlaceAndThatAllHaveOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(52), oneConnection)
		told := func() (list []CapacityNotice) {
			synctest.Wait()
			for _, n := range noticesOf[CapacityNotice](s, NoticeFeed) {
				if n.Capacity > 0 { // else it is about a slot
					list = append(list, n)
				}
			}
			return list
		}
		s.confirmed(50, time.Minute)
		if got := told(); len(got) != 1 || got[0].Unplaced != 2 || got[0].Capacity != 50 || got[0].Feed != "f" {
			t.Errorf("at first: %+v", got)
		}
		s.pool.Want(topics(51))
		if got := told(); len(got) != 0 {
			t.Errorf("one still has none: %+v", got)
		}
		s.pool.Want(topics(50))
		if got := told(); len(got) != 1 || got[0].Unplaced != 0 {
			t.Errorf("all have one: %+v", got)
		}
	})
}
