package twitch

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim/upstream"
)

func TestEveryLifeEndsAtItsAge(t *testing.T) {
	const age = 45 * time.Second
	for _, tc := range []struct {
		name  string
		code  int
		want  []string
		after time.Duration
		end   func(error) bool
	}{
		{"Close", 1001, []string{closes(1001, "end of life")}, age + closeWait, isEOF},
		{"Close 1012 unless said otherwise", 0, []string{closes(1012, "end of life")}, age + closeWait, isEOF},
		{"FIN", upstream.EndFIN, nil, age, isEOF},
		{"RST", upstream.EndRST, nil, age, isReset},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := quiet
				o.Life, o.CloseCode, o.HandshakeDelay = age, tc.code, 3*time.Second
				s, n := start(t, o)
				for range 2 {
					c, began := join(t, n), time.Now()
					time.Sleep(age - time.Nanosecond)
					c.want()
					time.Sleep(time.Nanosecond)
					c.want(tc.want...)
					time.Sleep(time.Minute)
					c.wantEnd(began, tc.after, tc.end)
				}
				if n := s.Fired()[upstream.FaultLife]; n != 2 {
					t.Errorf("fired %d times", n)
				}
			})
		})
	}
}

func TestPoisonTopicEndsTheConnectionAndNothingIsRemembered(t *testing.T) {
	for _, tc := range []struct {
		name  string
		code  int
		want  []string
		after time.Duration
		end   func(error) bool
	}{
		{"Close 4000", 0, []string{closes(4000, "a topic in a LISTEN")}, closeWait, isEOF},
		{"Close 4100", 4100, []string{closes(4100, "a topic in a LISTEN")}, closeWait, isEOF},
		{"FIN", upstream.EndFIN, nil, 0, isEOF},
		{"RST", upstream.EndRST, nil, 0, isReset},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := quiet
				o.PoisonTopics, o.PoisonCode = []string{"raid.13", "poison.*"}, tc.code
				s, n := start(t, o)
				c := join(t, n)
				c.ask("LISTEN", "a", "", "raid.1", "raid.2")
				c.want(`{"type":"RESPONSE","nonce":"a","error":""}`)
				c.ask("UNLISTEN", "b", "", "raid.13")
				c.want(`{"type":"RESPONSE","nonce":"b","error":""}`)
				began := time.Now()
				c.ask("LISTEN", "c", "", "raid.3", "raid.13")
				c.want(tc.want...)
				time.Sleep(time.Minute)
				c.wantEnd(began, tc.after, tc.end)
				rec := s.Conns()[0]
				if len(s.Listening()) != 0 || rec.MaxTopics != 2 || rec.Asks[2].Error != "closed" {
					t.Errorf("listening %v, %+v", s.Listening(), rec)
				}
				if s.Fired()[FaultPoison] != 1 {
					t.Errorf("fired: %v", s.Fired())
				}
				wantRules(t, s, "")
			})
		})
	}
}

func TestOneConnectionCanHaveALowerCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.TooManyTopics = "FULL"
		s, n := start(t, o)
		s.SetCap(2, 3) // yet to come
		a, b := join(t, n), join(t, n)
		for _, c := range []*rawClient{a, b} {
			c.ask("LISTEN", "1", "", topicNames("raid", 3)...)
			c.want(`{"type":"RESPONSE","nonce":"1","error":""}`)
			c.ask("LISTEN", "2", "", "raid.0", "raid.7")
		}
		a.want(`{"type":"RESPONSE","nonce":"2","error":""}`)
		b.want(`{"type":"RESPONSE","nonce":"2","error":"FULL"}`)
		s.SetCap(1, 2) // less than it has
		a.ask("LISTEN", "3", "", "raid.0")
		a.want(`{"type":"RESPONSE","nonce":"3","error":""}`)
		a.ask("LISTEN", "4", "", "raid.8")
		a.want(`{"type":"RESPONSE","nonce":"4","error":"FULL"}`)
		s.SetCap(2, 0)
		b.ask("LISTEN", "5", "", "raid.7")
		b.want(`{"type":"RESPONSE","nonce":"5","error":""}`)
		wantRules(t, s, "")
		if s.Fired()[FaultCap] != 2 {
			t.Errorf("fired: %v", s.Fired())
		}
	})
}

func TestHandshakesAreRefusedUntilSaidOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, quiet)
		answer := func() string {
			_, header, _ := shake(t, dial(t, n))
			line, _, _ := strings.Cut(header, "Content-Length")
			return line
		}
		s.SetRefuseStatus(401)
		if got := answer() + answer(); strings.Count(got, "HTTP/1.1 401 Unauthorized\r\n") != 2 {
			t.Errorf("answered %q", got)
		}
		s.SetRefuseStatus(307)
		if f := s.Unfired(); len(f) != 1 || f[0] != upstream.FaultRefuse {
			t.Errorf("the second switch refused nobody yet; unfired: %v", f)
		}
		s.Change(func(o *PubSubOptions) { o.RefuseLocation, o.RetryAfter = "wss://elsewhere.test/", 7*time.Second })
		const want = "HTTP/1.1 307 Temporary Redirect\r\nLocation: wss://elsewhere.test/\r\nRetry-After: 7\r\n"
		if got := answer(); got != want {
			t.Errorf("answered %q", got)
		}
		s.SetRefuseStatus(0)
		join(t, n)
		if s.Fired()[upstream.FaultRefuse] != 3 {
			t.Errorf("fired: %v", s.Fired())
		}
	})
}

func TestCloseIsAnsweredLateWhileEventsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate, o.CloseDelay, o.Record = 10, 1500*time.Millisecond, true
		s, n := start(t, o)
		c := join(t, n)
		c.ask("LISTEN", "a", "", "raid.1")
		c.take()
		time.Sleep(50 * time.Millisecond) // between two events
		began := time.Now()
		c.send(8, append([]byte{3, 233}, "bye"...))
		c.send(8, append([]byte{3, 233}, "bye"...)) // changes nothing
		c.ask("UNLISTEN", "b", "", "raid.1")        // nor does what comes after a Close
		time.Sleep(1499 * time.Millisecond)
		if got := events(t, c.take()); len(got) != 15 || c.end() != nil || s.Open() != 1 {
			t.Errorf("%d events after the Close, end %v", len(got), c.end())
		}
		time.Sleep(time.Second)
		c.want(closes(1001, "bye"))
		c.wantEnd(began, 1500*time.Millisecond, isEOF)
		if why := s.Conns()[0].Why; why != "Close from the client" || s.Fired()[upstream.FaultCloseDelay] != 1 {
			t.Errorf("%s, fired %v", why, s.Fired())
		}
	})
}

func TestClientThatHasSentItsCloseBreaksNoRuleBySilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{Options: upstream.Options{CloseDelay: 10 * time.Minute}})
		c, began := join(t, n), time.Now()
		c.mu.Lock()
		c.noPong = true
		c.mu.Unlock()
		c.send(8, nil)
		time.Sleep(10*time.Minute + time.Second)
		c.want(`8: ""`)
		c.wantEnd(began, 10*time.Minute, isEOF)
		wantRules(t, s, "")
	})
}

func TestClientThatDoesNotWaitForALateAnswerEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.CloseDelay = time.Minute
		s, n := start(t, o)
		c := join(t, n)
		c.send(8, nil)
		c.take()
		c.nc.Close()
		synctest.Wait()
		if s.Open() != 0 {
			t.Errorf("%d open", s.Open())
		}
	})
}

func TestLaggingConnectionGetsTheSameEventsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate, o.Duplicate = 10, 0.3
		s, n := start(t, o)
		s.SetLag(2, time.Second) // yet to come
		a, b := join(t, n), join(t, n)
		for _, c := range []*rawClient{a, b} {
			c.ask("LISTEN", "a", "", "raid.1", "raid.2")
			c.take()
		}
		time.Sleep(3050 * time.Millisecond) // between two events
		s.SetLag(2, 400*time.Millisecond)   // nothing overtakes
		time.Sleep(3 * time.Second)
		s.SetLag(2, 0)
		time.Sleep(3 * time.Second)
		s.Change(func(o *PubSubOptions) { o.Rate = 0 })
		fromA, fromB := a.take(), b.take()
		if len(fromA) < 100 || len(fromA) != len(fromB) {
			t.Fatalf("%d and %d events", len(fromA), len(fromB))
		}
		began := fromA[0].at.Add(-100 * time.Millisecond)
		for i, e := range fromA {
			late := fromB[i].at.Sub(e.at)
			want := time.Duration(0)
			switch age := e.at.Sub(began); {
			case age < 3050*time.Millisecond:
				want = time.Second
			case age < 3600*time.Millisecond, age > 6050*time.Millisecond && age < 6500*time.Millisecond:
				want = late // it catches up
			case age < 6050*time.Millisecond:
				want = 400 * time.Millisecond
			}
			if e.payload != fromB[i].payload || late != want || late < 0 || late > time.Second {
				t.Fatalf("event %d came %v later, want %v:\n%s\n%s", i, late, want, e.payload, fromB[i].payload)
			}
		}
		if s.Fired()[upstream.FaultLag] != 2 { // once for each lag that was felt
			t.Errorf("fired: %v", s.Fired())
		}
	})
}

func TestMoreLateEventsThanAreKeptGoEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate = 1000
		s, n := start(t, o)
		s.SetLag(1, time.Hour)
		c := join(t, n)
		c.ask("LISTEN", "a", "", "raid.1")
		c.take()
		time.Sleep(11 * time.Second)
		s.Change(func(o *PubSubOptions) { o.Rate = 0 })
		early := events(t, c.take())
		if late := s.Happened("raid.1") - uint64(len(early)); late != 10_000 {
			t.Errorf("%d events wait", late)
		}
		time.Sleep(time.Hour)
		for i, e := range append(early, events(t, c.take())...) {
			if e.n != uint64(i+1) {
				t.Fatalf("event %d came as number %d", e.n, i+1)
			}
		}
	})
}

func TestStarvedConnectionAnswersAndGetsNoEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate = 10
		s, n := start(t, o)
		a, b := join(t, n), join(t, n)
		for _, c := range []*rawClient{a, b} {
			c.ask("LISTEN", "a", "", "raid.1")
			c.take()
		}
		s.StarveConn(1)
		a.take()
		time.Sleep(10 * time.Second)
		a.say(`{"type":"PING"}`)
		a.ask("LISTEN", "b", "", "raid.2")
		a.want(`{"type":"PONG"}`, `{"type":"RESPONSE","nonce":"b","error":""}`)
		if got := len(events(t, b.take())); got < 99 || got > 101 {
			t.Errorf("the other connection got %d events", got)
		}
		if s.Fired()[upstream.FaultStarve] != 1 {
			t.Errorf("fired: %v", s.Fired())
		}
	})
}

func TestFaultsThatWaitForTheirOccasionAreNamedUntilItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.PoisonTopics, o.Life, o.CloseDelay = []string{"x"}, time.Second, time.Second
		s := NewPubSub(o)
		if !s.SetCap(1, 5) || !s.SetLag(2, time.Second) || !s.SetLag(2, time.Minute) || !s.StarveConn(3) {
			t.Error("a connection that is yet to come has ended")
		}
		want := fmt.Sprint([]upstream.Fault{
			FaultCap, upstream.FaultCloseDelay, upstream.FaultLag, upstream.FaultLife, FaultPoison, upstream.FaultStarve,
		})
		if got := fmt.Sprint(s.Unfired()); got != want {
			t.Errorf("unfired: %v, want %v", got, want)
		}
	})
}

func TestConnectionThatHasEndedTakesNoPlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, quiet)
		join(t, n).nc.Close()
		synctest.Wait()
		if s.SetLag(1, 0) {
			t.Error("SetLag")
		}
		s = NewPubSub(quiet) // the one above fails if a plan was in vain
		if s.SetCap(0, 1) || s.SetLag(0, 1) || s.StarveConn(0) || len(s.Unfired()) != 3 {
			t.Errorf("a connection that never is takes plans, or they are not named: %v", s.Unfired())
		}
	})
}
