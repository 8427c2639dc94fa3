package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/limiter"
)

// wantEveryEvent fails unless the events since the last look are, for each topic, all from its first to its last one, once
// and in order. It returns how many there were, and the numbers of each topic's first and last.
func (s *scene) wantEveryEvent() (n int, first, last map[string]uint64) {
	s.t.Helper()
	events, _ := s.sink.takeEvents()
	first, last = make(map[string]uint64), make(map[string]uint64)
	for _, e := range events {
		n, ok := twitch.EventNumber([]byte(e.body))
		if !ok {
			s.t.Fatalf("no event: %q", e.body)
		}
		if before := last[e.subject]; before == 0 {
			first[e.subject] = n
		} else if n != before+1 {
			s.t.Fatalf("%s: event %d came after %d (slot %d, life %d)", e.subject, n, before, e.slot, e.life)
		}
		last[e.subject] = n
	}
	return len(events), first, last
}

// takeEvents leaves the notices.
func (m *memory) takeEvents() (events []savedEvent, notices int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events, m.events = m.events, nil
	return events, len(m.notices)
}

// flowing is a pool of two slots, three places and a busy upstream.
func flowing(t *testing.T, o twitch.PubSubOptions, change func(*Options)) *scene {
	o.Seed = 7
	s := play(t, o, topics(80), func(o *Options) {
		o.Conn.Share = share(3, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
		o.Conn.Connections = 2
		if change != nil {
			change(o)
		}
	})
	s.confirmed(80, time.Minute)
	time.Sleep(2 * time.Minute)
	s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 400 })
	time.Sleep(time.Second)
	s.sink.take()
	return s
}

// conn is the upstream's number of the connection that serves a slot: slot 0 has fifty topics.
func (s *scene) conn(slot int) (id int) {
	s.t.Helper()
	synctest.Wait()
	for _, c := range s.up.Conns() {
		if c.Ended.IsZero() && (c.MaxTopics > 40) == (slot == 0) {
			return c.ID
		}
	}
	s.t.Fatalf("slot %d has no connection", slot)
	return 0
}

func TestAHandOverLosesAndRepeatsNothing(t *testing.T) {
	for _, row := range []struct {
		name   string
		o      twitch.PubSubOptions
		change func(*Options)
		begin  func(*scene)
		why    cause.Cause
	}{
		{name: "the upstream asks", begin: func(s *scene) { s.up.Reconnect(s.conn(0)) }, why: cause.ServerAsked},
		{
			name: "the old one is behind", why: cause.ServerAsked,
			begin: func(s *scene) {
				s.up.SetLag(s.conn(0), 400*time.Millisecond)
				time.Sleep(2 * time.Second)
				s.up.Reconnect(s.conn(0))
			},
		},
		{
			name: "the new one is behind", why: cause.ServerAsked,
			begin: func(s *scene) {
				s.up.SetLag(3, 400*time.Millisecond)
				s.up.Reconnect(s.conn(0))
			},
		},
		{
			name: "events go on after our Close", why: cause.ServerAsked,
			o:     twitch.PubSubOptions{Options: upstream.Options{CloseDelay: 1500 * time.Millisecond}},
			begin: func(s *scene) { s.up.Reconnect(s.conn(0)) },
		},
		{
			name: "answers are slow", why: cause.ServerAsked,
			o:     twitch.PubSubOptions{ResponseDelay: 3 * time.Second},
			begin: func(s *scene) { s.up.Reconnect(s.conn(0)) },
		},
		{
			name: "the upstream repeats itself", why: cause.ServerAsked,
			o:     twitch.PubSubOptions{ServerErrors: 0.3},
			begin: func(s *scene) { s.up.Reconnect(s.conn(0)) },
		},
		{name: "somebody asks", begin: func(s *scene) { s.pool.Renew() }, why: cause.Renewed},
		{
			name: "age", begin: func(*scene) { time.Sleep(30 * time.Second) }, why: cause.Renewed,
			change: func(o *Options) { o.Conn.MaxAge = 2*time.Minute + 15*time.Second },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := flowing(t, row.o, row.change)
				row.begin(s)
				time.Sleep(25 * time.Second)
				s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
				time.Sleep(5 * time.Second)
				got := s.status()
				if got.Slots[0].Life < 2 || got.Counters.Disconnects[row.why] == 0 || len(got.Counters.Disconnects) != 1 {
					t.Errorf("life %d, ended: %v", got.Slots[0].Life, got.Counters.Disconnects)
				}
				if n, _, last := s.wantEveryEvent(); n < 5000 {
					t.Errorf("only %d events", n)
				} else {
					for _, w := range topics(80) {
						if h := s.up.Happened(string(w.Topic)); last["feed.f."+string(w.Topic)] != h {
							t.Errorf("%s: %d events happened, the last that came is %d", w.Topic, h, last["feed.f."+string(w.Topic)])
						}
					}
				}
				if open, closed := s.gaps(); len(open)+len(closed) > 0 {
					t.Errorf("%d gaps opened and %d closed", len(open), len(closed))
				}
				if n := s.up.MaxOpen(); n != 3 {
					t.Errorf("%d sockets were open at most", n)
				}
				if got.Topics.Confirmed != 80 || got.Account.Connections != 2 {
					t.Errorf("%+v, %d places taken", got.Topics, got.Account.Connections)
				}
			})
		})
	}
}

func TestAtAFullPoolAHandOverClosesFirstAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{}, func(o *Options) {
			o.Conn.Share = share(2, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
		})
		begin := time.Now()
		s.up.Reconnect(s.conn(0))
		time.Sleep(10 * time.Second)
		got := s.status()
		if got.Topics.Confirmed != 80 || got.Slots[0].Life != 2 || got.Counters.Disconnects[cause.ServerAsked] != 1 {
			t.Errorf("%+v, life %d, %v", got.Topics, got.Slots[0].Life, got.Counters.Disconnects)
		}
		if n := s.up.MaxOpen(); n != 2 {
			t.Errorf("%d sockets were open at most", n)
		}
		_, closed := s.gaps()
		if len(closed) != 50 {
			t.Fatalf("%d gaps closed, want those of the slot", len(closed))
		}
		for _, g := range closed {
			if g.Cause != cause.ServerAsked || g.From.Before(begin.Add(-time.Second)) || g.To.Sub(g.From) > time.Second {
				t.Errorf("%+v", g)
			}
		}
	})
}

// A turn that is long in coming must not make the slot dark: it is taken before the old connection is closed.
func TestAtAFullPoolTheOldConnectionServesUntilTheTurnHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{}, func(o *Options) {
			o.Conn.Share = share(2, limiter.Window{N: 1, Per: 20 * time.Second}, 1)
		})
		s.up.Reset(s.conn(1)) // spends the turn
		s.confirmed(80, 3*time.Second)
		s.sink.take()
		s.up.Reconnect(s.conn(0))
		time.Sleep(12 * time.Second)
		if got := s.status(); got.Topics.Confirmed != 80 || got.Slots[0].Life != 1 {
			t.Errorf("while it waits for its turn: %+v, life %d", got.Topics, got.Slots[0].Life)
		}
		time.Sleep(10 * time.Second)
		if got := s.status(); got.Topics.Confirmed != 80 || got.Slots[0].Life != 2 {
			t.Errorf("in its turn: %+v, life %d", got.Topics, got.Slots[0].Life)
		}
		if _, closed := s.gaps(); len(closed) != 50 || closed[0].To.Sub(closed[0].From) > time.Second {
			t.Errorf("%d gaps: %+v", len(closed), closed)
		}
	})
}

func TestAHandOverWithADeadlineGoesBeforeDarkTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{}, func(o *Options) {
			o.Conn.Share = share(3, limiter.Window{N: 1, Per: 8 * time.Second}, 1)
		})
		s.up.Reset(s.conn(0))
		s.confirmed(80, 10*time.Second)
		s.up.Reset(s.conn(0)) // its turn comes in eight seconds
		time.Sleep(2 * time.Second)
		s.up.Reconnect(s.conn(1))
		time.Sleep(7 * time.Second)
		got := s.status()
		if got.Slots[1].Life != 2 || got.Slots[0].State == slots.Live {
			t.Errorf("after the first turn: slot 0 %s, slot 1 in life %d", got.Slots[0].State, got.Slots[1].Life)
		}
		s.confirmed(80, 9*time.Second)
	})
}

func TestAnOldConnectionThatDiesBeforeTheNewOneIsReadyLeavesNoMoreThanItsOwnGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{ResponseDelay: 2 * time.Second}, nil)
		s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 }) // an event would confirm its topic
		time.Sleep(time.Second)
		old := s.conn(0)
		s.up.Reconnect(old)
		time.Sleep(time.Second) // the new one has asked and has no answer
		died := time.Now()
		s.up.Reset(old)
		s.confirmed(80, 5*time.Second)
		back := time.Now()
		_, closed := s.gaps()
		if len(closed) != 50 {
			t.Fatalf("%d gaps", len(closed))
		}
		for _, g := range closed {
			if g.From.After(died) || died.Sub(g.From) > 46*time.Second || g.To.Before(died) || g.To.After(back) {
				t.Errorf("from %v to %v; it died at %v and all were back at %v", g.From, g.To, died, back)
			}
		}
		if got := s.status(); got.Slots[0].Life != 2 || got.Slots[0].State != slots.Live {
			t.Errorf("%+v", got.Slots[0])
		}
	})
}

// What nobody noticed before the hand-over is announced by it.
func TestAHandOverFromADeafConnectionAnnouncesTheGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{}, func(o *Options) { o.Conn.PingInterval = 10 * time.Minute })
		deaf := time.Now()
		s.up.Mute(s.conn(0))
		time.Sleep(10 * time.Second)
		s.pool.Renew()
		time.Sleep(10 * time.Second)
		got := s.status()
		if got.Topics.Confirmed != 80 || got.Slots[0].Life != 2 {
			t.Fatalf("%+v, life %d", got.Topics, got.Slots[0].Life)
		}
		_, closed := s.gaps()
		if len(closed) != 50 {
			t.Fatalf("%d gaps, want those of the deaf one", len(closed))
		}
		for _, g := range closed {
			if g.From.After(deaf) || deaf.Sub(g.From) > time.Second || g.To.Sub(deaf) < 10*time.Second || g.Cause != cause.Renewed {
				t.Errorf("deaf since %v: %+v", deaf, g)
			}
		}
	})
}

func TestANewConnectionThatCannotTakeOverIsGivenUpAndTheOldOneServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{}, nil)
		s.up.Change(func(o *twitch.PubSubOptions) { o.ServerErrors = 1 })
		s.pool.Renew()
		time.Sleep(2 * time.Minute)
		got := s.status()
		if got.Topics.Confirmed != 80 || got.Slots[0].Life != 1 || got.Counters.Disconnects[cause.Timeout] == 0 {
			t.Errorf("%+v, life %d, %v", got.Topics, got.Slots[0].Life, got.Counters.Disconnects)
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.ServerErrors = 0 })
		time.Sleep(3 * time.Minute)
		if got := s.status(); got.Slots[0].Life == 1 || got.Slots[1].Life == 1 {
			t.Errorf("lives %d and %d", got.Slots[0].Life, got.Slots[1].Life)
		}
		s.wantEveryEvent()
		if open, closed := s.gaps(); len(open)+len(closed) > 0 {
			t.Errorf("%d gaps opened and %d closed", len(open), len(closed))
		}
	})
}

func TestTopicsThatComeAndGoDuringAHandOverEndUpRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{ResponseDelay: 2 * time.Second}, nil)
		s.up.Reconnect(s.conn(0))
		time.Sleep(time.Second)
		want := append(named("new", 10, 1), topics(70)[5:]...)
		s.pool.Want(want)
		time.Sleep(30 * time.Second)
		got, listening := s.status(), s.up.Listening()
		if got.Topics.Confirmed != len(want) || len(listening) != len(want) || got.Slots[0].Life != 2 {
			t.Errorf("%+v; the upstream sends %d; life %d", got.Topics, len(listening), got.Slots[0].Life)
		}
		for name, conns := range listening {
			if len(conns) != 1 {
				t.Errorf("%s is sent to %v", name, conns)
			}
		}
		s.wantEveryEvent()
	})
}

func TestAPoolThatEndsDuringAHandOverClosesBoth(t *testing.T) {
	for _, after := range []time.Duration{0, 100 * time.Millisecond, 1100 * time.Millisecond, 2500 * time.Millisecond, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := flowing(t, twitch.PubSubOptions{
				ResponseDelay: time.Second, Options: upstream.Options{HandshakeDelay: time.Second, CloseDelay: 1900 * time.Millisecond},
			}, nil)
			s.up.Reconnect(s.conn(0))
			time.Sleep(after)
			s.end()
			<-s.done
			synctest.Wait()
			if n := s.up.Open(); n != 0 {
				t.Errorf("after %v: %d sockets are left open", after, n)
			}
		})
	}
}

// Full duplicates within a connection are the upstream's own, and stay.
func TestEventsThatTheUpstreamRepeatsStayRepeatedInAHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{Duplicate: 1}, nil)
		s.up.Reconnect(s.conn(0))
		time.Sleep(20 * time.Second)
		s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
		time.Sleep(5 * time.Second)
		events, _ := s.sink.takeEvents()
		times := make(map[string]int)
		for _, e := range events {
			times[e.subject+e.body]++
		}
		if got := s.status(); got.Slots[0].Life != 2 || len(times) < 4000 {
			t.Fatalf("life %d, %d events", got.Slots[0].Life, len(times))
		}
		for what, n := range times {
			if n != 2 {
				t.Errorf("%s came %d times, sent twice", what, n)
			}
		}
	})
}
