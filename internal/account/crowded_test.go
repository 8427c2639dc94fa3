package account

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTooManyConnectionsAreWaitedForLongerAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(3))
		one, two := join(t, a, "one", 2), join(t, a, "two", 1)
		liven(t, one, 0)
		for i, want := range []time.Duration{
			hold, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, mostPause, mostPause,
		} {
			s := []*Share{one, two}[i%2] // the upstream counts them together
			seat := turn(t, s, Request{Slot: 1})
			begin := time.Now()
			s.Crowded()
			seat.Leave(End{Failed: true, PeerGone: true})
			turn(t, two, Request{Slot: 0}).Leave(End{PeerGone: true})
			wantTook(t, "the pause", begin, want)
		}
	})
}

func TestALifeThatIsLiveEndsTheSearchForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(wide(3))
		s := join(t, a, "f", 3)
		for range 3 {
			s.Crowded()
		}
		liven(t, s, 0)
		begin := time.Now()
		s.Crowded()
		liven(t, s, 1)
		wantTook(t, "the pause after a life", begin, s.Hold())
	})
}

// Whoever else has a connection, one of ours that is over leaves its room to us.
func TestALifeThatEndsMakesRoomInACrowd(t *testing.T) {
	for name, peerGone := range map[string]bool{"the peer saw the end": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := New(wide(3))
				s := join(t, a, "f", 3)
				seat := turn(t, s, Request{Slot: 0})
				seat.Live()
				liven(t, s, 1)
				for range 5 {
					s.Crowded()
				}
				begin, want := time.Now(), time.Duration(0)
				seat.Leave(End{Failed: true, Lived: time.Hour, PeerGone: peerGone})
				if !peerGone {
					want = s.Hold()
				}
				turn(t, s, Request{Slot: 0}).Leave(End{PeerGone: true})
				wantTook(t, "the pause", begin, want)
				begin = time.Now()
				s.Crowded()
				turn(t, s, Request{Slot: 0}).Leave(End{PeerGone: true})
				wantTook(t, "the next pause, which is the first again", begin, s.Hold())
			})
		})
	}
}
