package pool

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/credential"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/shard"
)

// secret is a token that changes, and takes a moment to fetch.
type secret struct{ atomic.Value }

func (s *secret) token(context.Context) (string, error) {
	time.Sleep(100 * time.Millisecond)
	return s.Load().(string), nil
}

// with dials with the secret.
func (s *secret) with(o *Options) {
	connections(o, 3)
	o.TopicsPerConnection = 10
	o.Conn.Protocol = pubsub.New(pubsub.Options{URL: "ws://upstream.test", Token: s.token})
	o.Conn.Credential = new(credential.Credential)
}

func TestTopicsThatWereRefusedAreAskedForAgainWhenSomebodySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{BadTopics: []string{"*0"}}, topics(25), func(o *Options) { connections(o, 3) })
		s.confirmed(22, time.Minute)
		if got := s.status().Topics; got.Refused != 3 {
			t.Fatalf("%+v", got)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.BadTopics = nil })
		time.Sleep(time.Minute)
		if got := s.status().Topics; got.Refused != 3 {
			t.Fatalf("before anybody said so: %+v", got)
		}
		s.pool.Pardon()
		s.confirmed(25, 10*time.Second)
	})
}

// The slot is not told at once that a refused topic has no place there any more.
func TestTopicsThatWereRefusedJustNowAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{BadTopics: []string{"*0"}}, topics(25), func(o *Options) { connections(o, 3) })
		for s.status().Topics.Refused == 0 {
			time.Sleep(time.Millisecond)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.BadTopics = nil })
		s.pool.Pardon()
		s.confirmed(25, time.Minute)
	})
}

func TestTopicsThatWereRefusedAreAskedForAgainWhenTheCredentialChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s secret
		s.Store("old")
		private := named("whispers", 15, 0)
		wanted := append(append(topics(10), private...), shard.Wanted{Topic: "bad\nname"})
		sc := play(t, twitch.PubSubOptions{Token: "new"}, wanted, s.with)
		sc.confirmed(10, time.Minute)
		time.Sleep(time.Minute)
		if got := sc.status(); got.Topics.Refused != 16 {
			t.Fatalf("%+v", got.Topics)
		}
		dials := len(sc.net.Dials())
		open := sc.up.Open()

		s.Store("new")
		sc.pool.CredentialChanged()
		sc.confirmed(25, time.Minute)
		if got := sc.status(); got.Topics.Refused != 1 {
			t.Errorf("a name that can never be asked for: %+v", got.Topics)
		}
		if gaps := noticesOf[GapNotice](sc, NoticeGap); len(gaps) != 0 {
			t.Errorf("a gap: %+v", gaps[0])
		}
		if n := len(sc.net.Dials()) - dials; n != sc.up.Open()-open {
			t.Errorf("%d dials, though only %d connections more are open", n, sc.up.Open()-open)
		}
	})
}

func TestASessionThatGoesOnGetsTheChangedCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s secret
		s.Store("old")
		sc := play(t, twitch.PubSubOptions{Token: "new"}, topics(5), s.with)
		sc.confirmed(5, time.Minute)
		s.Store("new")
		sc.pool.CredentialChanged()
		time.Sleep(time.Second)
		sc.pool.Want(append(topics(5), named("whispers", 5, 0)...))
		sc.confirmed(10, 10*time.Second)
		if got := sc.status(); got.Slots[0].Life != 1 || len(sc.net.Dials()) != 1 {
			t.Errorf("%+v after %d dials", got.Slots[0], len(sc.net.Dials()))
		}
	})
}

func TestWhileTheCredentialIsRefusedNobodyDialsUntilItChangesAndThenOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s secret
		s.Store("old")
		sc := play(t, twitch.PubSubOptions{Options: upstream.Options{Refuse: 1, RefuseStatus: http.StatusUnauthorized}}, topics(25), s.with)
		time.Sleep(10 * time.Minute)
		tried := len(sc.net.Dials())
		parked := make(map[shard.Slot]bool)
		for _, n := range noticesOf[stateNotice](sc, NoticeFeed) {
			if n.State == slots.Parked.String() && n.Cause == cause.Auth {
				parked[n.Slot] = true
			}
		}
		if len(parked) != 3 {
			t.Errorf("slots that were announced as parked: %v, want three", parked)
		}
		time.Sleep(time.Hour)
		if n := len(sc.net.Dials()); n != tried || n > 1 {
			t.Errorf("%d dials in ten minutes, %d in the hour after; the first said all", tried, n-tried)
		}

		for range 5 { // all at once are one change
			sc.pool.CredentialChanged()
		}
		time.Sleep(time.Hour)
		if n := len(sc.net.Dials()) - tried; n != 1 {
			t.Errorf("%d dials with another that is refused too, want one", n)
		}
		sc.up.Change(func(o *twitch.PubSubOptions) { o.Refuse = 0 })
		sc.pool.CredentialChanged()
		sc.confirmed(25, time.Minute)
	})
}

// stateNotice is a FeedNotice as its readers see it.
type stateNotice struct {
	Slot  shard.Slot
	Life  int
	State string
	Cause cause.Cause
	Phase GapPhase
	Since time.Time
}

func TestRenewHandsEachConnectionOverOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(25), func(o *Options) {
			connections(o, 3)
			o.TopicsPerConnection = 10
			o.Conn.Share = share(4, o.Conn.SubscribeRate, 4)
		})
		s.confirmed(25, time.Minute)
		s.sink.take()
		for range 100 {
			s.pool.Renew()
		}
		time.Sleep(time.Minute)
		got := s.status()
		for _, slot := range got.Slots {
			if slot.Life < 2 || slot.Life > 3 || slot.State != slots.Live {
				t.Errorf("%+v", slot)
			}
		}
		if got.Topics.Confirmed != 25 || s.up.MaxOpen() > 4 {
			t.Errorf("%+v, %d sockets at once", got.Topics, s.up.MaxOpen())
		}
		if gaps := noticesOf[GapNotice](s, NoticeGap); len(gaps) != 0 {
			t.Errorf("a gap: %+v", gaps[0])
		}
	})
}

func TestNobodyWaitsForAPoolThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(5), nil)
		s.confirmed(5, time.Minute)
		s.end()
		<-s.done
		for range 3 {
			s.pool.Renew()
			s.pool.CredentialChanged()
		}
	})
}

func TestStatusSaysWhenTheAccountDialsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{Refuse: 1, RetryAfter: 5 * time.Minute}}, topics(5), nil)
		time.Sleep(time.Minute)
		dials := len(s.net.Dials())
		at := s.status().Account.NextDial
		if d := time.Until(at); d < 3*time.Minute || d > 5*time.Minute {
			t.Fatalf("the next dial is in %v", d)
		}
		time.Sleep(time.Until(at) - time.Second)
		if n := len(s.net.Dials()); n != dials {
			t.Errorf("%d dials before that", n-dials)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.Refuse = 0 })
		s.confirmed(5, time.Minute)
		if at := s.status().Account.NextDial; !at.IsZero() {
			t.Errorf("the next dial is at %v, though there is no reason to wait", at)
		}
	})
}
