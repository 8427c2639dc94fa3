package resume

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/resume/brought"
	"feedmux/internal/topic"
)

func test(t *testing.T, name, start string, f func(t *testing.T, r *rig)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(start)
			defer r.stop()
			synctest.Wait()
			f(t, r)
			r.stop()
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("the log holds a secret: %s", r.log.String())
			}
		})
	})
}

func TestLiveEventsWaitForWhatCameBeforeThem(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.say(evs(1, 2, 3)...)
		r.up.fault = func(int, time.Duration) *http.Response { time.Sleep(time.Second); return nil }
		r.Opened(1, 0, secret)
		r.hear(evs(4, 6)...)
		r.hear(said{Room: "r", ID: "typing"})
		r.Live()
		r.wantIDs(t, "[]")
		if r.State().CaughtUp {
			t.Fatal("caught up before anything was fetched")
		}
		time.Sleep(5 * time.Second)
		r.wantIDs(t, "[e1 e2 e3 e4 e6 typing]")
		r.hear(evs(7)...)
		r.wantIDs(t, "[e1 e2 e3 e4 e6 typing e7]")
		if st := r.State(); !st.CaughtUp || !st.Filled.All || st.Life != 1 {
			t.Errorf("%+v", st)
		}
		select {
		case <-r.Changed():
		default:
			t.Error("nothing was told")
		}
	})
}

func TestNothingIsAskedForBeforeTheLifeIsLive(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Opened(1, 0, secret)
		synctest.Wait()
		if r.up.asks() != 0 || r.State().CaughtUp {
			t.Fatalf("%d requests, %+v", r.up.asks(), r.State())
		}
		r.up.say(evs(1)...) // the life is not sent this
		r.tell(evs(2)...)
		r.wantIDs(t, "[]")
		r.Live()
		r.wantIDs(t, "[e1 e2]")
		if !r.State().CaughtUp {
			t.Error("not caught up")
		}
	})
}

func TestThePositionIsSavedBeforeTheFirstEventIsHandedOver(t *testing.T) {
	test(t, "", "", func(t *testing.T, r *rig) {
		r.store.mu.Lock()
		r.store.check = func(p []byte) {
			if r.store.saves == 0 && (string(p) != "11" || r.taker.ids() != "[typing]") {
				t.Errorf("saved %s with %s handed over", p, r.taker.ids())
			}
		}
		r.store.mu.Unlock()
		r.open()
		r.tell(said{Room: "r", ID: "typing"})
		r.wantIDs(t, "[typing]")
		if st := r.State(); !st.CaughtUp || st.Filled != (topic.Filled{}) {
			t.Errorf("%+v: nothing was kept from before", st)
		}
		r.hear(evs(12)...)
		r.wantIDs(t, "[typing e12]")
		if r.store.position() != "11" {
			t.Fatalf("saved %q", r.store.position())
		}
		r.taker.confirm(9)
		time.Sleep(time.Second)
		if r.store.position() != "12" {
			t.Errorf("saved %q a second after", r.store.position())
		}
	})
}

func TestASaveThatFailsStopsNothingAndIsTriedAgain(t *testing.T) {
	test(t, "", "", func(t *testing.T, r *rig) {
		r.store.fail(errors.New("disk full"))
		r.open()
		r.hear(evs(1, 2)...)
		r.wantIDs(t, "[e1 e2]")
		r.taker.confirm(9)
		time.Sleep(time.Minute)
		if n := strings.Count(r.log.String(), "disk full"); n == 0 || n > 12 {
			t.Errorf("%d lines in the log", n)
		}
		r.store.fail(nil)
		time.Sleep(time.Second)
		if r.store.position() != "2" {
			t.Errorf("saved %q", r.store.position())
		}
	})
}

func TestAPositionThatCannotBeReadIsNotTakenForAFirstStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bareRig()
		r.store.broken = errors.New("damaged")
		r.begin("0")
		defer r.stop()
		r.up.say(evs(1)...)
		r.open()
		r.hear(evs(2)...)
		r.wantIDs(t, "[e2]")
		if st := r.State(); st.Filled != (topic.Filled{}) || !strings.Contains(r.log.String(), "ERROR") {
			t.Errorf("%+v", st)
		}
	})
}

func TestALateEventIsDeliveredAndThePositionWaitsForIt(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.open()
		r.hear(evs(1, 4, 5, 3)...)
		r.wantIDs(t, "[e1 e4 e5 e3]")
		r.tell(evs(4, 3)...)
		r.wantIDs(t, "[e1 e4 e5 e3]")
		r.taker.confirm(3)
		time.Sleep(time.Second)
		if r.store.position() != "2" {
			t.Errorf("saved %q while 3 is not done with", r.store.position())
		}
		r.taker.confirm(1)
		time.Sleep(time.Second)
		if r.store.position() != "5" {
			t.Errorf("saved %q", r.store.position())
		}
	})
}

func TestAnEventWithoutAnIDIsKnownByItsPosition(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		one, two := said{Room: "r", At: 1}, said{Room: "r", At: 2}
		r.open()
		r.hear(one, two)
		r.tell(one, two)
		r.wantIDs(t, "[ ]")
		if r.tally.of(skipRepeated) != 2 {
			t.Errorf("%v", r.tally.skipped)
		}
	})
}

func TestARebuiltUpstreamIsNoticedAndFollowed(t *testing.T) {
	test(t, "", "", func(t *testing.T, r *rig) {
		r.open()
		r.hear(evs(1000)...)
		r.wantIDs(t, "[e1000]")
		r.taker.confirm(9)
		time.Sleep(time.Second)
		r.Ended()
		r.up.mu.Lock()
		r.up.events = nil
		r.up.mu.Unlock()
		r.up.say(evs(1, 2)...) // nobody listens
		r.open()
		synctest.Wait()
		if !r.State().Filled.All {
			t.Fatalf("%+v: nothing was wrong so far", r.State())
		}
		r.hear(evs(5)...)
		r.hear(evs(6)...)
		r.wantIDs(t, "[e1000 e5 e6]")
		if st := r.State(); !st.CaughtUp || st.Filled != (topic.Filled{}) {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(r.log.String(), "level=ERROR") {
			t.Error("no alarm")
		}
		time.Sleep(time.Second)
		if r.store.position() != "4" {
			t.Errorf("saved %q", r.store.position())
		}
		r.taker.confirm(9)
		time.Sleep(time.Second)
		r.Ended()
		r.up.say(evs(7)...)
		r.open()
		r.wantIDs(t, "[e1000 e5 e6 e7]")
		if st := r.State(); !st.Filled.All {
			t.Errorf("%+v", st)
		}
	})
}

func TestALateEventAfterAReconnectIsNotARebuiltUpstream(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.open()
		r.hear(evs(1, 9)...)
		r.Ended()
		r.open()
		synctest.Wait()
		r.hear(evs(5)...)
		r.wantIDs(t, "[e1 e9 e5]")
		if st := r.State(); !st.Filled.All || strings.Contains(r.log.String(), "ERROR") {
			t.Errorf("%+v", st)
		}
	})
}

func TestALateEventThatIsLeftOutIsFetched(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Stream.mu.Lock()
		r.Stream.maxHeld = 0
		r.Stream.mu.Unlock()
		r.open()
		r.hear(evs(1, 5)...)
		synctest.Wait()
		time.Sleep(time.Second)
		r.taker.setRoom(0)
		r.hear(evs(6, 3)...)
		r.hear(said{Room: "r", ID: "typing"})
		time.Sleep(time.Minute)
		r.wantIDs(t, "[e1 e5]")
		r.taker.confirm(9)
		time.Sleep(time.Second)
		if r.store.position() != "2" {
			t.Errorf("saved %q while 3 is left out", r.store.position())
		}
		r.taker.setRoom(1)
		time.Sleep(time.Second)
		r.wantIDs(t, "[e1 e5 e6]")
		r.taker.setRoom(0)
		r.taker.confirm(9)
		time.Sleep(time.Second)
		if r.store.position() != "2" {
			t.Errorf("saved %q while 3 is owed", r.store.position())
		}
		r.taker.setRoom(-1)
		time.Sleep(time.Second)
		r.wantIDs(t, "[e1 e5 e6 e3]")
		if r.tally.of(skipLeftOut) != 1 || len(r.Gaps()) != 0 || !r.State().CaughtUp {
			t.Errorf("%v, %+v", r.tally.skipped, r.State())
		}
	})
}

func TestAFullTakerCostsNothing(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Stream.mu.Lock()
		r.Stream.maxHeld = 3 * (eventSize + 8)
		r.Stream.mu.Unlock()
		r.open()
		synctest.Wait()
		r.taker.setRoom(0)
		asks := r.up.asks()
		r.hear(evs(1, 2, 3)...)
		time.Sleep(time.Second)
		if r.up.asks() != asks {
			t.Error("something was fetched that is held")
		}
		r.hear(evs(4, 5)...)
		time.Sleep(time.Second)
		if r.up.asks() == asks {
			t.Error("nothing was fetched of what was left out")
		}
		r.taker.setRoom(-1)
		time.Sleep(time.Second)
		r.wantIDs(t, "[e1 e2 e3 e4 e5]")
		for i, e := range r.taker.wait {
			if e.seq != uint64(i+1) {
				t.Errorf("%+v: not dense", e)
			}
		}
	})
}

func TestWhatNATSMayHaveLostIsFetchedOnceMoreAndSaid(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.open()
		r.hear(evs(1, 2)...)
		r.taker.confirm(2)
		time.Sleep(time.Second)
		from := time.Now()
		r.hear(evs(3, 4)...)
		time.Sleep(100 * time.Millisecond)
		r.taker.lose()
		r.hear(evs(5)...)
		r.wantIDs(t, "[e1 e2 e3 e4 e5]")
		gaps := r.Gaps()
		if len(gaps) != 1 || gaps[0] != (Gap{From: from, To: time.Now(), Cause: cause.NATSBroke, Filled: topic.Filled{All: true}}) {
			t.Errorf("%+v", gaps)
		}
		if len(r.Gaps()) != 0 {
			t.Error("said twice")
		}
	})
}

func TestAnAnswerFromBeforeALossIsNotUsed(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.open()
		r.hear(evs(1, 2)...)
		r.Ended()
		r.up.fault = func(int, time.Duration) *http.Response { time.Sleep(10 * time.Second); return nil }
		r.up.say(evs(3)...)
		r.open()
		r.taker.lose()
		time.Sleep(time.Minute)
		r.wantIDs(t, "[e1 e2 e3]")
	})
}

func TestARefusalOfTheOldCredentialIsNotOneOfTheNew(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.fault = func(int, time.Duration) *http.Response {
			if r.up.asks() > 1 {
				return nil
			}
			time.Sleep(10 * time.Second)
			return answer(401, "")
		}
		r.up.say(evs(1)...)
		r.open()
		time.Sleep(time.Second)
		r.Renewed()
		time.Sleep(10 * time.Second)
		r.wantIDs(t, "[e1]")
		if r.State().Denied {
			t.Error("denied")
		}
	})
}

func TestHeldEventsAreReleasedInTheirOrder(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Opened(1, 0, secret)
		r.tell(evs(5, 4)...)
		r.tell(said{Room: "r", ID: "typing"})
		r.tell(evs(6)...)
		r.Live()
		r.wantIDs(t, "[e4 typing e5 e6]")
	})
}

func TestAPositionThatCannotBeUsedIsGivenUp(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.limit = 1
		r.up.say(evs(1, 2)...)
		r.up.fault = func(after int, _ time.Duration) *http.Response {
			if after >= 1 {
				return answer(410, "too old")
			}
			return nil
		}
		r.Opened(1, 0, secret)
		r.hear(evs(3)...)
		r.Live()
		time.Sleep(finalFor - time.Second)
		r.wantIDs(t, "[e1]")
		if st := r.State(); st.CaughtUp || r.up.asks() < finalTries {
			t.Errorf("%+v after %d requests", st, r.up.asks())
		}
		time.Sleep(2 * backoffMax)
		r.wantIDs(t, "[e1 e3]")
		want := State{Life: 1, CaughtUp: true, Filled: topic.Filled{To: time.Unix(1, 0)}, Position: []byte("0")}
		if st := r.State(); st.Filled != want.Filled || !st.CaughtUp {
			t.Errorf("%+v, want %+v", st, want)
		}
		if !strings.Contains(r.log.String(), "ERROR") {
			t.Error("no alarm")
		}
		r.hear(evs(4)...)
		r.wantIDs(t, "[e1 e3 e4]")
	})
}

func TestWhatIsLeftOutAndNotKeptIsAGap(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Stream.mu.Lock()
		r.Stream.maxHeld = 0
		r.Stream.mu.Unlock()
		r.open()
		synctest.Wait()
		r.taker.setRoom(0)
		r.up.fault = func(int, time.Duration) *http.Response { return answer(400, "") }
		from := time.Now()
		r.hear(evs(1)...)
		time.Sleep(finalFor + 2*backoffMax)
		gaps := r.Gaps()
		if len(gaps) != 1 || gaps[0].Cause != cause.NATSOverflow || gaps[0].Filled != (topic.Filled{}) || !gaps[0].From.Equal(from) {
			t.Errorf("%+v", gaps)
		}
	})
}

func TestADeadCredentialIsNotUsed(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.dead = true
		r.up.say(evs(1)...)
		r.open()
		synctest.Wait()
		r.hear(evs(2)...)
		time.Sleep(time.Hour)
		if n := r.up.asks(); n < refusedTries || n > 20 || !r.State().Denied || !r.up.request(n-1).at.Before(r.up.request(0).at.Add(refusedFor+backoffMax)) {
			t.Fatalf("%d requests with a dead credential, %+v", n, r.State())
		}
		r.wantIDs(t, "[]")
		r.up.mu.Lock()
		r.up.dead = false
		r.up.mu.Unlock()
		r.Renewed()
		r.wantIDs(t, "[e1 e2]")
		if st := r.State(); st.Denied || !st.Filled.All {
			t.Errorf("%+v", st)
		}
		asks := r.up.asks()
		r.Ended()
		r.Denied()
		time.Sleep(time.Hour)
		if r.up.asks() != asks {
			t.Error("asked with a credential that is known to be dead")
		}
	})
}

func TestWithoutAConnectionItPolls(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.open()
		synctest.Wait()
		r.Ended()
		ended, asks := time.Now(), r.up.asks()
		r.up.say(evs(1)...)
		time.Sleep(29 * time.Second)
		r.wantIDs(t, "[]")
		time.Sleep(2 * time.Second)
		r.wantIDs(t, "[e1]")
		if poll := r.up.request(asks); poll.at.Sub(ended) != 30*time.Second || poll.wait != pollWait {
			t.Errorf("the line was cut at %v, the first poll is %+v", ended, poll)
		}
		time.Sleep(10 * time.Minute)
		if n := r.up.asks() - asks; n < 18 || n > 23 {
			t.Errorf("%d polls in ten minutes", n)
		}
		r.up.say(evs(2)...)
		r.wantIDs(t, "[e1 e2]")
		r.open()
		if st := r.State(); !st.CaughtUp || !st.Filled.All {
			t.Errorf("%+v: the poll that was under way did not make way", st)
		}
		r.hear(evs(3)...)
		r.wantIDs(t, "[e1 e2 e3]")
	})
}

func TestAnUpstreamThatAnswersAtOnceIsNotAskedAllTheTime(t *testing.T) {
	bodies := map[string]string{"nothing": `{"Next":0}`, "more, but not now": `{"Next":0,"More":true}`, "nonsense": `<html>`}
	for name, body := range bodies {
		test(t, name, "0", func(t *testing.T, r *rig) {
			r.up.fault = func(int, time.Duration) *http.Response { return answer(200, body) }
			r.Renewed()
			time.Sleep(11 * time.Minute)
			if n := r.up.asks(); n < 10 || n > 660 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestFailuresAreTriedAgainAndRetryAfterHolds(t *testing.T) {
	for header, want := range map[string]time.Duration{"": 0, "40": 40 * time.Second, "86400": maxLifeWaits, "nonsense": 0} {
		test(t, header, "0", func(t *testing.T, r *rig) {
			r.up.fault = func(int, time.Duration) *http.Response {
				if r.up.asks() > 3 {
					return nil
				}
				resp := answer(503, "")
				resp.Header.Set("Retry-After", header)
				return resp
			}
			r.up.say(evs(1)...)
			r.open()
			time.Sleep(time.Hour)
			r.wantIDs(t, "[e1]")
			for i := range 3 {
				d := r.up.request(i + 1).at.Sub(r.up.request(i).at)
				if d < max(want, backoffFloor) || d > max(want, backoffMax) {
					t.Errorf("asked again after %v", d)
				}
			}
		})
	}
}

func TestRedirectsAreNotFollowedAndBodiesAreBounded(t *testing.T) {
	moved := func() *http.Response {
		resp := answer(302, "")
		resp.Header.Set("Location", "https://elsewhere.test/")
		return resp
	}
	huge := func() *http.Response { return answer(200, strings.Repeat(" ", maxBody+1)) }
	for name, bad := range map[string]func() *http.Response{"moved": moved, "huge": huge} {
		test(t, name, "0", func(t *testing.T, r *rig) {
			r.up.fault = func(int, time.Duration) *http.Response {
				if r.up.asks() == 1 {
					return bad()
				}
				return nil
			}
			r.up.say(evs(1)...)
			r.open()
			if n := r.up.asks(); n != 1 {
				t.Fatalf("%d requests", n)
			}
			time.Sleep(time.Minute)
			r.wantIDs(t, "[e1]")
		})
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bareRig()
		r.tune = func() {
			r.client.Transport = broken{}
		}
		r.begin("0")
		r.open()
		time.Sleep(time.Second)
		r.stop()
		if log := r.log.String(); !strings.Contains(log, "no route") || strings.Contains(log, secret) {
			t.Errorf("%s", log)
		}
	})
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route for " + secret)
}

func TestEventsGoToTheNarrowestTopicThatIsWanted(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		topics := wanted("room", "other")
		r.Want(topics)
		r.open()
		synctest.Wait()
		at := 0
		hear := func(name string, wider, values []string) {
			at++
			e := protocol.Event{Topic: []byte(name), ID: pos(at), Position: pos(at), Payload: []byte(name)}
			for _, w := range wider {
				e.Wider = append(e.Wider, []byte(w))
			}
			for _, v := range values {
				e.Values = append(e.Values, []byte(v))
			}
			r.Heard([]protocol.Event{e}, time.Now())
		}
		hear("room/message", []string{"room", "*"}, []string{"message"})
		hear("room/message", []string{"room", "*"}, []string{"message"})
		hear("room", nil, nil)
		hear("nobody", []string{"*"}, nil)
		hear("other", nil, []string{"bad"})
		synctest.Wait()
		var got []string
		for _, e := range r.taker.wait {
			got = append(got, e.subject)
		}
		if strings.Join(got, " ") != "feed.room.message feed.room.message feed.room" {
			t.Errorf("%v", got)
		}
		if r.tally.of(skipUnwanted) != 1 || r.tally.of(skipBadSubject) != 1 || r.tally.events != 3 || topics[0].Events() != 3 {
			t.Errorf("%+v", r.tally.skipped)
		}
		r.taker.confirm(9)
		time.Sleep(time.Second)
		if r.store.position() != "5" {
			t.Errorf("saved %q: what nobody wants is passed too", r.store.position())
		}
	})
}

func TestAnEventThatGoesStraightOnAllocatesNothing(t *testing.T) {
	r := bareRig()
	r.taker = &taker{room: -1}
	o := r.options("1")
	o.Taker = new(careless)
	r.Stream = New(o)
	r.Want(wanted("room"))
	r.life = 1
	r.Opened(1, 0, secret)
	r.Live()
	r.Stream.mu.Lock()
	r.anchored, r.met = true, r.demand
	r.Stream.mu.Unlock()
	values := [][]byte{[]byte("message")}
	position := []byte("1000000")
	events := []protocol.Event{{Topic: []byte("room"), Payload: []byte("x"), ID: make([]byte, 8), Position: position, Values: values}}
	received := time.Now()
	next := func() {
		for i := len(position) - 1; ; i-- {
			if position[i]++; position[i] <= '9' {
				break
			}
			position[i] = '0'
		}
		copy(events[0].ID, position)
		r.Heard(events, received)
	}
	for range 4 * brought.MaxSeen {
		next()
	}
	before := r.taken
	if n := testing.AllocsPerRun(5000, next); n > 0 {
		t.Errorf("%v allocations for each event", n)
	}
	if r.taken == before {
		t.Error("nothing was taken")
	}
}

func BenchmarkHeard(b *testing.B) {
	r := bareRig()
	r.taker = &taker{room: -1}
	o := r.options("1")
	o.Taker = new(careless)
	r.Stream = New(o)
	r.Want(wanted("room"))
	r.Opened(1, 0, secret)
	r.Live()
	r.anchored, r.met = true, r.demand
	events := []protocol.Event{{Topic: []byte("room"), Payload: []byte("x"), Values: [][]byte{[]byte("message")}}}
	received := time.Now()
	b.ReportAllocs()
	n := 1000000
	for b.Loop() {
		n++
		events[0].Position = strconv.AppendInt(events[0].Position[:0], int64(n), 10)
		events[0].ID = events[0].Position
		r.Heard(events, received)
	}
}

// careless takes everything.
type careless struct{ n uint64 }

func (c *careless) Take(*topic.Event) bool   { c.n++; return true }
func (c *careless) Progress() (uint64, bool) { return 0, false }
func (c *careless) Restart() uint64          { return 0 }
