package pool

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/bubble"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// wantCulprits fails unless exactly these topics are refused, for what the upstream said, and all others are confirmed and
// stay so in one life.
func (s *scene) wantCulprits(word string, all int, culprits ...shard.Topic) {
	s.t.Helper()
	s.confirmed(all-len(culprits), 2*time.Minute)
	lives := s.status().Slots[0].Life
	time.Sleep(30 * time.Minute)
	got := s.status()
	if got.Slots[0].Life != lives || got.Topics.Confirmed != all-len(culprits) || got.Topics.Refused != len(culprits) {
		s.t.Errorf("life %d, then %d: %+v", lives, got.Slots[0].Life, got.Topics)
	}
	for _, c := range culprits {
		if line := s.topic(c); line.State != topic.Refused || !strings.Contains(line.Reason, word) {
			s.t.Errorf("%+v", line)
		}
	}
}

// A culprit in a message of 20 costs two lives until anything is suspected, then those of 20, 10, 5, 3 and 2 topics, and
// the one in which it is alone.
const livesOfACulprit = 2 + 5

func TestATopicThatEndsEveryConnectionIsFoundAndTheOthersStay(t *testing.T) {
	for _, row := range []struct {
		name string
		code int
		word string
	}{
		{"with a Close", 4000, "a topic in a LISTEN"},
		{"with a FIN", upstream.EndFIN, "without a Close"},
		{"with a RST", upstream.EndRST, "reset"},
	} {
		for _, where := range []int{0, 27, 49} {
			t.Run(fmt.Sprint(row.name, ", topic ", where), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					wanted := topics(50)
					bad := wanted[where].Topic
					s := play(t, twitch.PubSubOptions{PoisonTopics: []string{string(bad)}, PoisonCode: row.code}, wanted, oneConnection)
					time.Sleep(5 * time.Minute)
					s.wantCulprits(row.word, 50, bad)
					if n := s.status().Slots[0].Life - 1; n > livesOfACulprit {
						t.Errorf("it cost %d lives, want %d at most", n, livesOfACulprit)
					} else {
						t.Logf("%d lives", n)
					}
				})
			})
		}
	}
}

func TestTwoTopicsThatEndEveryConnectionAreFound(t *testing.T) {
	for _, second := range []int{1, 10, 19, 20, 45} {
		synctest.Test(t, func(t *testing.T) {
			wanted := topics(50)
			bad := []shard.Topic{wanted[0].Topic, wanted[second].Topic}
			s := play(t, twitch.PubSubOptions{PoisonTopics: []string{string(bad[0]), string(bad[1])}}, wanted, oneConnection)
			time.Sleep(30 * time.Minute)
			s.wantCulprits("a topic in a LISTEN", 50, bad...)
			if n := s.status().Slots[0].Life - 1; n > 2*livesOfACulprit {
				t.Errorf("they cost %d lives, want %d at most", n, 2*livesOfACulprit)
			} else {
				t.Logf("%d lives", n)
			}
		})
	}
}

func TestATopicThatEndsConnectionsAndComesLaterIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{PoisonTopics: []string{"bad.1"}}, topics(49), oneConnection)
		s.confirmed(49, time.Minute)
		time.Sleep(10 * time.Minute)
		s.pool.Want(append(topics(49), shard.Wanted{Topic: "bad.1"}))
		time.Sleep(5 * time.Minute)
		s.wantCulprits("a topic in a LISTEN", 50, "bad.1")
		if n := s.status().Slots[0].Life - 1; n > livesOfACulprit {
			t.Errorf("it cost %d lives, want %d at most", n, livesOfACulprit)
		}
	})
}

func TestACulpritIsNotAskedForAgainThoughTheNextLifeBeginsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{PoisonTopics: []string{"bad.1"}}, append(topics(1), shard.Wanted{Topic: "bad.1"}), func(o *Options) {
			oneConnection(o)
			o.Conn.Backoff = limiter.Backoff{Base: time.Millisecond, Max: time.Millisecond, Settle: time.Minute}
			o.Conn.Share = shareBy(chance{1, o.Conn.Backoff}, 1, limiter.Window{N: 100, Per: time.Second}, 1)
		})
		time.Sleep(10 * time.Second)
		s.wantCulprits("a topic in a LISTEN", 2, "bad.1")
		if n := s.status().Slots[0].Life; n != 4 {
			t.Errorf("it is found in the third life; now it is the %dth", n)
		}
	})
}

// A suspect's answer may be lost like any other.
func TestASuspectWhoseAnswerIsLostIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := make(map[string]int) // read when nothing moves
		s := perform(t, topics(4), nil, func(p *peer) {
			p.open()
			for n := 0; ; {
				r, ok := p.next()
				if !ok || r.Type == "LISTEN" && p.life < 3 {
					return
				}
				if r.Type == "LISTEN" {
					if n++; p.life == 3 {
						asks[strings.Join(r.Data.Topics, " ")]++
					}
					if n == 1 {
						continue
					}
				}
				p.answer(r, "")
			}
		})
		s.confirmed(4, time.Minute)
		const pair = "video-playback-by-id.0 video-playback-by-id.1"
		if got := s.status(); got.Slots[0].Life != 3 || asks[pair] != 2 || len(asks) != 2 {
			t.Errorf("life %d, asks %v", got.Slots[0].Life, asks)
		}
	})
}

func TestConnectionsThatBreakByChanceAreNoTopicsFault(t *testing.T) {
	hours := 4
	if bubble.Raced || testing.Short() {
		hours = 1
	}
	for _, delay := range []time.Duration{0, 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, twitch.PubSubOptions{
				Options:       upstream.Options{Seed: 3, ResetEvery: 10 * time.Second, FINEvery: 20 * time.Second},
				ResponseDelay: delay,
			}, topics(500), func(o *Options) { connections(o, 10) })
			for range hours * 60 {
				time.Sleep(time.Minute)
				if got := s.status().Topics; got.Refused > 0 {
					t.Fatalf("%+v", got)
				}
			}
			if n := s.up.Fired()[upstream.FaultReset]; n < 250*hours {
				t.Errorf("only %d resets", n)
			}
			s.up.Change(func(o *twitch.PubSubOptions) { o.ResetEvery, o.FINEvery = 0, 0 })
			s.confirmed(500, 2*time.Minute)
		})
	}
}

func TestAnUpstreamThatEndsEveryConnectionAtItsFirstAskRefusesNothing(t *testing.T) {
	for _, slots := range []int{1, 10} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, twitch.PubSubOptions{PoisonTopics: []string{"*"}}, topics(slots*50), func(o *Options) { connections(o, slots) })
			for range 10 * 60 { // so that each topic is asked for alone
				time.Sleep(time.Minute)
				if got := s.status().Topics; got.Refused > 0 || got.Confirmed > 0 {
					t.Fatalf("%+v", got)
				}
			}
			s.up.Change(func(o *twitch.PubSubOptions) { o.PoisonTopics = []string{"none"} })
			// The last delay of the outage, and suspects one by one at the subscribe rate.
			s.confirmed(slots*50, 2*time.Minute+10*time.Second)
		})
	}
}

// full is what the upstream says to a topic too many.
const full = "ERR_TOO_MANY_TOPICS"

func knowsFull(o *Options) {
	o.Conn.Protocol = pubsub.New(pubsub.Options{URL: "ws://upstream.test", FullErrors: []string{full}})
}

// listens counts the LISTENs so far.
func (s *scene) listens() (n int) {
	for _, c := range s.up.Conns() {
		for _, a := range c.Asks {
			if a.Type == "LISTEN" {
				n++
			}
		}
	}
	return n
}

func TestATopicTooManyGoesElsewhereUntilTheNextLife(t *testing.T) {
	for _, row := range []struct {
		name      string
		slots     int
		wanted    int
		confirmed int
	}{
		{"another slot has room", 2, 80, 80},
		{"no room is left", 1, 50, 33},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, twitch.PubSubOptions{TooManyTopics: full}, nil, func(o *Options) {
					knowsFull(o)
					connections(o, row.slots)
					o.Placement = shard.Spread // whichever slot dials first
				})
				s.up.SetCap(1, 33)
				s.pool.Want(topics(row.wanted))
				time.Sleep(20 * time.Second)
				s.confirmed(row.confirmed, 0)
				asked := s.listens()
				if asked > 4+50+20 { // batches, each topic of those that were too many alone, and what moves
					t.Errorf("%d LISTENs", asked)
				}
				time.Sleep(2 * time.Hour)
				got := s.status()
				least := 50
				for _, slot := range got.Slots {
					least = min(least, slot.Topics)
				}
				if got.Topics.Confirmed != row.confirmed || got.Topics.Unplaced != row.wanted-row.confirmed || least != 33 {
					t.Errorf("%+v, %d on the slot that is full", got.Topics, least)
				}
				if n := s.listens(); n != asked {
					t.Errorf("%d LISTENs more in two hours", n-asked)
				}
				s.up.Reset(1)
				time.Sleep(time.Minute)
				s.confirmed(row.wanted, 0)
				if got := s.status(); row.slots == 1 && got.Slots[0].Topics != 50 {
					t.Errorf("the next life has %d topics", got.Slots[0].Topics)
				}
			})
		})
	}
}
