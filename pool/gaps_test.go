package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/ledger"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/topic"
	"feedmux/shard"
)

func TestAGapEndsOnceWithTheTopicsPlaceOrTheWishForIt(t *testing.T) {
	const lost = "video-playback-by-id.49" // the least wanted
	for _, row := range []struct {
		name string
		want []shard.Wanted
	}{
		{"removed", topics(49)},
		{"evicted", append(topics(50), shard.Wanted{Topic: "vip.1", Priority: 1})},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, twitch.PubSubOptions{}, topics(50), oneConnection)
				s.confirmed(50, time.Minute)
				s.sink.take()
				s.net.SetRefuse(true)
				s.up.Reset(1)
				time.Sleep(3 * time.Second)
				begun, ended := s.gaps()
				if len(begun) != 50 || len(ended) != 0 {
					t.Fatalf("%d gaps open and %d closed, want 50 and none", len(begun), len(ended))
				}
				s.pool.Want(row.want)
				synctest.Wait()
				_, ended = s.gaps()
				if len(ended) != 1 || ended[0].Topic != lost || !ended[0].To.Equal(time.Now()) || ended[0].Cause != cause.Reset {
					t.Fatalf("closed at once: %+v", ended)
				}

				s.net.SetRefuse(false)
				s.confirmed(min(len(row.want), 50), 5*time.Minute)
				s.pool.Want(topics(50))
				s.confirmed(50, time.Minute)
				begun, ended = s.gaps()
				if len(begun) != 0 || len(ended) != 49 {
					t.Errorf("later %d more opened and %d closed, want none and 49", len(begun), len(ended))
				}
				if got := s.status(); got.Dark != 0 || got.Counters.Gaps[cause.Reset] != 50 {
					t.Errorf("%d dark, gaps %v", got.Dark, got.Counters.Gaps)
				}
			})
		})
	}
}

func TestARevokedTopicIsRefusedAndItsPlaceGivenAwayForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := topics(51)
		wanted[7].Priority = 1 // so that it gets its place back
		revoked, next := wanted[7].Topic, wanted[50].Topic
		s := play(t, twitch.PubSubOptions{}, wanted, oneConnection)
		s.confirmed(50, time.Minute)
		s.sink.take()
		s.up.Revoke(1, string(revoked))
		began := time.Now()
		time.Sleep(ledger.AnnounceAfter)
		line := s.topic(revoked)
		if line.State != topic.Refused || line.Reason != "AUTH_REVOKED" || line.Slot != nil || !line.DarkSince.Equal(began) {
			t.Errorf("%+v", line)
		}
		if got := s.topic(next); got.State != topic.Confirmed {
			t.Errorf("its place was not given to the next: %+v", got)
		}
		open, closed := s.gaps()
		if len(open) != 1 || len(closed) != 0 {
			t.Fatalf("%d gaps open, %d closed, want 1 and none", len(open), len(closed))
		}
		if g := open[0]; g.Topic != revoked || g.Cause != cause.Auth || !g.From.Equal(began) {
			t.Errorf("%+v", g)
		}

		time.Sleep(ledger.RefusedFor - ledger.AnnounceAfter - time.Second)
		if got := s.topic(revoked); got.State != topic.Refused {
			t.Errorf("before the hour: %+v", got)
		}
		time.Sleep(2 * time.Second)
		if got := s.topic(revoked); got.State != topic.Confirmed || !got.DarkSince.IsZero() {
			t.Errorf("after an hour: %+v", got)
		}
		if got := s.topic(next); got.State != topic.Unplaced {
			t.Errorf("after an hour the next: %+v", got)
		}
		if _, closed = s.gaps(); len(closed) != 1 || closed[0].ID != open[0].ID || closed[0].To.Before(began.Add(ledger.RefusedFor)) {
			t.Errorf("closed %+v", closed)
		}
		if v := s.up.Violations(); len(v) > 0 {
			t.Errorf("rules broken: %v", v)
		}
	})
}
