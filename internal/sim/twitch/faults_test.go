package twitch

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
	"feedmux/internal/sim/upstream"
)

func TestFaultsThatATestCallsForHappen(t *testing.T) {
	for _, tc := range []struct {
		fault  upstream.Fault
		strike func(*PubSub) bool
		want   []string // messages
		after  time.Duration
		end    func(error) bool // nil: stays open
	}{
		{upstream.FaultReset, func(s *PubSub) bool { return s.Reset(2) }, nil, 0, isReset},
		{upstream.FaultFIN, func(s *PubSub) bool { return s.FIN(2) }, nil, 0, isEOF},
		{upstream.FaultClose, func(s *PubSub) bool { return s.Close(2, 4000, "why") }, []string{closes(4000, "why")}, closeWait, isEOF},
		{upstream.FaultSilence, func(s *PubSub) bool { return s.Mute(2) }, nil, 0, nil},
		{
			FaultReconnect, func(s *PubSub) bool { return s.Reconnect(2) },
			[]string{`{"type":"RECONNECT"}`, closes(1012, "reconnect")}, 30*time.Second + closeWait, isEOF,
		},
		{FaultGarbage, func(s *PubSub) bool { return s.Garbage(2) }, []string{Frames()[0].Text[:len(Frames()[0].Text)/2]}, 0, nil},
		{upstream.FaultBadFrame, func(s *PubSub) bool { return s.BadFrame(2) }, []string{`b: "?"`}, 0, nil},
		{
			FaultRevoke, func(s *PubSub) bool { return s.Revoke(2, "raid.1") },
			[]string{`{"type":"AUTH_REVOKED","data":{"topics":["raid.1"]}}`}, 0, nil,
		},
		{upstream.FaultStorm, func(s *PubSub) bool { return s.ResetAll() == 2 }, nil, 0, isReset},
	} {
		t.Run(string(tc.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := start(t, quiet)
				bystander := join(t, n)
				c := join(t, n)
				c.ask("LISTEN", "a", "", "raid.1")
				c.take()
				began := time.Now()
				if !tc.strike(s) {
					t.Error("it did not happen")
				}
				time.Sleep(10 * time.Minute)
				c.want(tc.want...)
				if tc.end != nil {
					c.wantEnd(began, tc.after, tc.end)
				} else if c.end() != nil {
					t.Errorf("ended: %v", c.end())
				}
				if s.Fired()[tc.fault] != 1 || len(s.Fired()) != 1 {
					t.Errorf("fired: %v", s.Fired())
				}
				if (bystander.end() == nil) != (tc.fault != upstream.FaultStorm) {
					t.Errorf("the other connection: %v", bystander.end())
				}
				if listens := len(s.Listening()) > 0; listens != (tc.end == nil && tc.fault != FaultRevoke) {
					t.Errorf("listening: %v", s.Listening())
				}
			})
		})
	}
}

func TestMutedConnectionAnswersNothingNotEvenAFIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{Options: upstream.Options{Rate: 10}})
		c := join(t, n)
		c.ask("LISTEN", "a", "", "raid.1")
		c.take()
		s.Mute(1)
		time.Sleep(10 * time.Minute)
		c.say(`{"type":"PING"}`)
		c.send(9, nil)
		c.send(8, nil)
		time.Sleep(time.Minute)
		if got := c.take(); len(got) > 0 || c.end() != nil || s.Open() != 1 || !s.Conns()[0].Muted {
			t.Errorf("got %v, end %v, %d open", got, c.end(), s.Open())
		}
		c.nc.(*sim.Conn).CloseWrite()
		synctest.Wait()
		if s.Open() != 0 || c.end() != nil {
			t.Errorf("after the client's FIN: %d open, end %v", s.Open(), c.end())
		}
		began := time.Now()
		time.Sleep(10 * time.Minute)
		c.wantEnd(began, muteLinger, isEOF)
		if s.Happened("raid.1") < 6000 {
			t.Error("what happened in the silence is not counted")
		}
	})
}

func TestOversizeIsOneMessageForATopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, quiet)
		c := join(t, n)
		c.ask("LISTEN", "a", "", "raid.2", "raid.1")
		c.take()
		for n := range uint64(2) {
			s.Oversize(1)
			got := c.take()
			if e := events(t, got); len(e) != 1 || e[0].n != n+1 || s.Happened("raid.1") != n+1 {
				t.Errorf("%d events, %d happened", len(e), s.Happened("raid.1"))
			}
			if len(got) != 1 || len(got[0].payload) != 2<<20 || !json.Valid([]byte(got[0].payload)) ||
				!strings.HasPrefix(got[0].payload, `{"type":"MESSAGE","data":{"topic":"raid.1","message":"{`) {
				t.Errorf("got %d messages", len(got))
			}
		}
	})
}

func TestRefusedHandshakes(t *testing.T) {
	const noBody = "Content-Length: 0\r\nConnection: close\r\n\r\n"
	for _, tc := range []struct {
		name string
		o    upstream.Options
		want string
	}{
		{
			"503", upstream.Options{Refuse: 1, RetryAfter: 90 * time.Second},
			"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 90\r\n" + noBody,
		},
		{"401", upstream.Options{Refuse: 1, RefuseStatus: 401}, "HTTP/1.1 401 Unauthorized\r\n" + noBody},
		{"RST", upstream.Options{Refuse: 1, RefuseStatus: -1}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := start(t, PubSubOptions{Options: tc.o})
				c, header, err := shake(t, dial(t, n))
				if header != tc.want || isReset(err) != (tc.want == "") {
					t.Errorf("got %q, %v", header, err)
				}
				if tc.want != "" {
					if _, err := c.br.ReadByte(); err != io.EOF {
						t.Errorf("after the answer: %v, want a FIN", err)
					}
				}
				if rec := s.Conns()[0]; rec.Ended.IsZero() || !rec.Upgraded.IsZero() || s.Fired()[upstream.FaultRefuse] != 1 {
					t.Errorf("%+v, fired %v", rec, s.Fired())
				}
			})
		})
	}
}

func TestHalfOfTheHandshakesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Refuse, o.Connections = 0.5, -1
		s, n := start(t, o)
		for range 100 {
			shake(t, dial(t, n))
		}
		synctest.Wait()
		if refused := s.Fired()[upstream.FaultRefuse]; refused < 30 || refused > 70 || s.Open() != 100-refused {
			t.Errorf("%d refused, %d open", refused, s.Open())
		}
	})
}

func TestAcceptThenCloseAnswersAndHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{Options: upstream.Options{AcceptThenClose: true}})
		c, began := join(t, n), time.Now()
		c.want()
		c.wantEnd(began, 0, isEOF)
		if s.Open() != 0 || s.Conns()[0].Upgraded.IsZero() {
			t.Errorf("%+v", s.Conns()[0])
		}
	})
}

func TestSlowHandshakeNoticesThatTheClientGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{Options: upstream.Options{HandshakeDelay: time.Minute}})
		began := time.Now()
		join(t, n)
		if d := time.Since(began); d != time.Minute {
			t.Errorf("answered after %v", d)
		}
		nc := dial(t, n)
		nc.Write([]byte(upgradeRequest))
		time.Sleep(15 * time.Second)
		if s.Open() != 2 {
			t.Errorf("%d open", s.Open())
		}
		nc.Close()
		synctest.Wait()
		if s.Open() != 1 {
			t.Errorf("%d open after the client gave up", s.Open())
		}
	})
}

func TestPongsAndResponsesAreLateOrLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.PongDelay, o.ResponseDelay = 3*time.Second, 2*time.Second
		s, n := start(t, o)
		c := join(t, n)
		c.say(`{"type":"PING"}`)
		c.ask("LISTEN", "a", "", "raid.1")
		began := time.Now()
		time.Sleep(time.Minute)
		got := c.take()
		if len(got) != 2 || got[0].at.Sub(began) != 2*time.Second || got[1].at.Sub(began) != 3*time.Second ||
			got[1].payload != `{"type":"PONG"}` {
			t.Errorf("got %v", got)
		}
		s.Change(func(o *PubSubOptions) { o.PongLoss, o.ResponseLoss = 1, 1 })
		c.say(`{"type":"PING"}`)
		c.ask("LISTEN", "b", "", "raid.2")
		time.Sleep(time.Minute)
		c.want()
		if len(s.Listening()) != 2 {
			t.Error("a LISTEN whose answer was lost was not carried out")
		}
		s.Change(func(o *PubSubOptions) { o.ResponseDelay, o.ResponseLoss, o.ServerErrors = 0, 0, 1 })
		c.ask("LISTEN", "c", "", "raid.3")
		c.want(`{"type":"RESPONSE","nonce":"c","error":"ERR_SERVER"}`)
	})
}

func TestFaultsStrikeEverySoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = time.Minute
		o := quiet
		o.ResetEvery, o.FINEvery, o.CloseEvery, o.SilenceEvery, o.BadFrameEvery = every, every, every, every, every
		o.ReconnectEvery, o.GarbageEvery, o.RevokeEvery, o.StormEvery = every, every, every, every
		o.OversizeEvery, o.OversizeBytes = every, 5000
		s, n := start(t, o)
		ended := 0
		for range 50 * 12 {
			for s.Open() < 5 {
				c := join(t, n)
				c.ask("LISTEN", "a", "token", topicNames("whispers", 20)...)
				c.take()
			}
			time.Sleep(5 * time.Second)
			for _, rec := range s.Conns() { // what is silent is given up
				if rec.Muted && rec.Ended.IsZero() {
					for _, c := range n.Conns() {
						if c.LocalAddr().String() == rec.Remote {
							c.Close()
							ended++
						}
					}
				}
			}
		}
		for _, f := range []upstream.Fault{
			upstream.FaultReset, upstream.FaultFIN, upstream.FaultClose, upstream.FaultSilence, upstream.FaultBadFrame,
			upstream.FaultStorm, FaultReconnect, FaultGarbage, FaultOversize, FaultRevoke,
		} {
			if got := s.Fired()[f]; got < 40 || got > 55 {
				t.Errorf("%s struck %d times in 50 minutes", f, got)
			}
		}
		if ended < 20 {
			t.Errorf("%d silent connections were seen", ended)
		}
	})
}

func TestFaultsThatDidNotHappenAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewPubSub(PubSubOptions{PongLoss: 0.5})
		s.Change(func(o *PubSubOptions) { o.PongLoss, o.StormEvery = 0, time.Second })
		if s.Reset(1) || s.Mute(7) {
			t.Error("a connection that is not there was struck")
		}
		want := []upstream.Fault{FaultPongLoss, upstream.FaultReset, upstream.FaultSilence, upstream.FaultStorm}
		if got := s.Unfired(); !slices.Equal(got, want) {
			t.Errorf("unfired: %v, want %v", got, want)
		}
	})
}

func TestServeCanStartAgainAndNumbersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate = 10
		s, n := NewPubSub(o), sim.NewNetwork()
		for run := range uint64(2) {
			l := n.Listen()
			served := make(chan error)
			go func() { served <- s.Serve(t.Context(), l) }()
			c := join(t, n)
			c.ask("LISTEN", "a", "", "raid.1")
			c.take()
			began := time.Now()
			time.Sleep(time.Second)
			if e := events(t, c.take()); e[0].n != run*10+1 {
				t.Errorf("run %d begins with event %d", run, e[0].n)
			}
			l.Close()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			c.wantEnd(began, time.Second, isEOF)
		}
	})
}
