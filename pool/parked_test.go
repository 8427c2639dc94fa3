package pool

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/credential"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/slots"
	"feedmux/limiter"
	"feedmux/shard"
)

// states counts the slots that are in each state.
func (s *scene) states() map[slots.State]int {
	s.t.Helper()
	n := make(map[slots.State]int)
	for _, slot := range s.status().Slots {
		n[slot.State]++
	}
	return n
}

func withCredential(o *Options) { o.Conn.Credential = &credential.Credential{} }

func TestADeadCredentialCostsOneDialAndParksEverySlotUntilItChanges(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, twitch.PubSubOptions{}, nil, withCredential)
			s.up.SetRefuseStatus(status)
			s.pool.Want(topics(500))
			time.Sleep(time.Hour)
			if n := len(s.net.Dials()); n != 1 {
				t.Errorf("%d dials in an hour with a dead credential", n)
			}
			for _, slot := range s.status().Slots {
				if slot.State != slots.Parked || slot.LastCause != cause.Auth {
					t.Errorf("%+v", slot)
				}
			}
			for range 4 { // as dead as the one before
				s.pool.CredentialChanged()
				changed := time.Now()
				time.Sleep(10 * time.Minute)
				dials := s.net.Dials()
				if late := dials[len(dials)-1].Sub(changed); late < 0 || late > time.Second {
					t.Errorf("the dial came %v after the change", late)
				}
				if n := s.states()[slots.Parked]; n != 10 {
					t.Errorf("%d slots are parked: %+v", n, s.states())
				}
			}
			if n := len(s.net.Dials()); n != 5 {
				t.Errorf("%d dials for five credentials", n)
			}

			for i := range 10 { // somebody tries one after the other: that is no outage, and has no delay that grows
				s.pool.CredentialChanged()
				time.Sleep(3 * time.Second)
				if n := len(s.net.Dials()); n != 5+i+1 {
					t.Fatalf("%d dials for %d credentials", n, 5+i+1)
				}
			}

			s.up.SetRefuseStatus(0)
			time.Sleep(10 * time.Minute)
			if n := len(s.net.Dials()); n != 15 {
				t.Error("a dial with a credential that was refused")
			}
			s.pool.CredentialChanged()
			s.confirmed(500, 10*2*time.Second+time.Second)
			if n := len(s.net.Dials()); n != 15+10 {
				t.Errorf("%d dials", n)
			}
		})
	}
}

func TestConnectionsThatAreOpenGoOnWhileTheCredentialIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(500), withCredential)
		s.confirmed(500, time.Minute)
		time.Sleep(2 * time.Minute)
		s.up.SetRefuseStatus(http.StatusUnauthorized)
		for id := range 3 {
			s.up.Reset(id + 1)
			time.Sleep(10 * time.Second)
		}
		s.pool.Renew() // needs a dial, too
		time.Sleep(time.Hour)
		if got := s.states(); got[slots.Parked] != 3 || got[slots.Live] != 7 {
			t.Errorf("%+v", got)
		}
		if n := len(s.net.Dials()); n != 10+1 {
			t.Errorf("%d dials, want ten and the one that was refused", n)
		}
		s.up.SetRefuseStatus(0)
		s.pool.CredentialChanged()
		s.confirmed(500, time.Minute)
		time.Sleep(2 * time.Minute)
		if got := s.status(); got.Topics.Confirmed != 500 || got.Slots[9].Life == 1 {
			t.Errorf("%+v; the renewal that was put off: life %d", got.Topics, got.Slots[9].Life)
		}
	})
}

func TestAHandOverThatWaitedForItsTurnStopsWhenTheCredentialIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{ReconnectGrace: time.Hour}, topics(100), func(o *Options) {
			withCredential(o)
			o.Conn.Share = share(2, limiter.Window{N: 1, Per: 20 * time.Second}, 1)
			o.Conn.Connections = 2
		})
		s.confirmed(100, time.Minute)
		time.Sleep(2 * time.Minute)
		s.up.SetRefuseStatus(http.StatusForbidden)
		s.up.Change(func(o *twitch.PubSubOptions) { o.HandshakeDelay = 5 * time.Second })
		s.up.Reset(2)
		time.Sleep(2 * time.Second) // its dial spends the turn, and finds the credential dead a little later
		s.up.Reconnect(1)
		time.Sleep(10 * time.Minute)
		if got := s.status().Slots; max(got[0].Life, got[1].Life) != 1 || s.states()[slots.Live] != 1 {
			t.Errorf("%+v", got)
		}
		if n := len(s.net.Dials()); n != 2+1 {
			t.Errorf("%d dials, want two and the one that was refused", n)
		}
		s.up.SetRefuseStatus(0)
		s.pool.CredentialChanged()
		s.confirmed(100, time.Minute)
		time.Sleep(time.Minute)
		if got := s.status().Slots; got[0].Life != 2 || got[1].Life != 2 {
			t.Errorf("what the upstream asked for was never done: %+v", got)
		}
	})
}

func TestWithoutACredentialA401IsAFailureLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, nil)
		s.up.SetRefuseStatus(http.StatusUnauthorized)
		s.pool.Want(topics(500))
		time.Sleep(30 * time.Minute)
		if n := len(s.net.Dials()); n < 12 || n > 60 {
			t.Errorf("%d dials", n)
		}
		if n := s.states()[slots.Parked]; n > 0 {
			t.Errorf("%d slots are parked", n)
		}
		s.up.SetRefuseStatus(0)
		s.confirmed(500, 2*time.Minute+21*time.Second)
	})
}

// dropTrier wants no longer what has its place in the slot that tries the credential.
func (s *scene) dropTrier() {
	s.t.Helper()
	got := s.status()
	var rest []shard.Wanted
	for _, line := range got.Ledger {
		if got.Slots[*line.Slot].State != slots.Dialing {
			rest = append(rest, shard.Wanted{Topic: line.Topic})
		}
	}
	if len(rest) != 450 {
		s.t.Fatalf("not one slot tries the credential, but %v", s.states())
	}
	s.pool.Want(rest)
	synctest.Wait()
}

func TestIfTheSlotThatTriesACredentialLosesItsTopicsAnotherTries(t *testing.T) {
	for _, row := range []struct {
		name  string
		again bool // another one was refused just before
		hang  bool
	}{
		{"while it waits for its turn", true, false},
		{"while it dials", false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, twitch.PubSubOptions{}, nil, withCredential)
				s.up.SetRefuseStatus(http.StatusUnauthorized)
				s.pool.Want(topics(500))
				time.Sleep(time.Minute)
				if row.again {
					s.pool.CredentialChanged()
					time.Sleep(100 * time.Millisecond)
				}
				s.up.SetRefuseStatus(0)
				s.net.SetHang(row.hang)
				s.pool.CredentialChanged()
				time.Sleep(100 * time.Millisecond)
				s.dropTrier()
				s.net.SetHang(false)
				s.confirmed(450, 10*2*time.Second+2*time.Second)
			})
		})
	}
}

// What is wrong may be one slot's, or one of the upstream's servers'.
func TestWhileNoDialSaysAnythingOfACredentialNoSlotTriesItAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, withCredential)
		s.up.SetRefuseStatus(http.StatusUnauthorized)
		s.pool.Want(topics(500))
		time.Sleep(time.Minute)
		s.up.SetRefuseStatus(0)
		s.net.SetRefuse(true)
		s.sink.take()
		s.pool.CredentialChanged()
		time.Sleep(30 * time.Minute)
		tried := make(map[shard.Slot]int)
		for _, n := range s.slotNews() {
			if n.State == slots.Waiting {
				tried[n.Slot]++
			}
		}
		if n := len(s.net.Dials()); len(tried) < 5 || n > 60 {
			t.Errorf("%d dials; each slot waited so often: %v", n, tried)
		}
		s.net.SetRefuse(false)
		s.confirmed(500, 2*time.Minute+21*time.Second)
	})
}

func TestOrdersThatKeepComingDoNotKeepASlotParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, nil, func(o *Options) {
			withCredential(o)
			oneConnection(o)
		})
		s.up.SetRefuseStatus(http.StatusUnauthorized)
		s.pool.Want(topics(1))
		time.Sleep(time.Minute)
		for i := range 20 {
			s.pool.Want(topics(2 - i%2))
			if synctest.Wait(); i == 10 {
				s.up.SetRefuseStatus(0)
				s.pool.opts.Conn.Credential.Changed() // another feed has the same one: no order says so
			}
			time.Sleep(300 * time.Millisecond)
		}
		if s.status().Topics.Confirmed == 0 {
			t.Error("after three seconds it has not dialled")
		}
	})
}
