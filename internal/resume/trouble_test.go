package resume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/topic"
)

// first is a fault of the first n requests.
func (u *upstream) first(n int, resp func() *http.Response) func(int, time.Duration) *http.Response {
	before := u.asks()
	return func(int, time.Duration) *http.Response {
		if u.asks() > before+n {
			return nil
		}
		return resp()
	}
}

// plan is what goes wrong from now on.
func (u *upstream) plan(fault func(int, time.Duration) *http.Response) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = fault
}

func status(code int) func() *http.Response {
	return func() *http.Response { return answer(code, "") }
}

func TestAStrayRefusalIsNotBelieved(t *testing.T) {
	for name, code := range map[string]int{"not found, of an ingress": 404, "gone": 410, "unauthorized": 401} {
		test(t, name, "0", func(t *testing.T, r *rig) {
			r.up.say(evs(1, 2)...)
			r.up.plan(r.up.first(2, status(code)))
			r.open()
			r.hear(evs(3)...)
			time.Sleep(time.Minute)
			r.wantIDs(t, "[e1 e2 e3]")
			if st := r.State(); st.Denied || !st.CaughtUp || !st.Filled.All {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestRefusalsOfAPositionCountInARow(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.say(evs(1)...)
		r.up.plan(func(int, time.Duration) *http.Response {
			if r.up.asks()%4 == 0 {
				return answer(503, "")
			}
			return answer(404, "")
		})
		r.open()
		time.Sleep(time.Hour)
		r.up.plan(nil)
		time.Sleep(time.Minute)
		r.wantIDs(t, "[e1]")
		if !r.State().Filled.All {
			t.Errorf("%+v", r.State())
		}
	})
}

func TestWithoutALifeARefusalOfTheCredentialIsBelievedAtOnce(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.plan(r.up.first(1<<20, status(401)))
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if r.up.asks() != 1 || !r.State().Denied || !r.Refused() {
			t.Errorf("%d requests, %+v", r.up.asks(), r.State())
		}
	})
}

func TestOnlyATokenThatALifeVouchedForIsUsed(t *testing.T) {
	vouched := func(t *testing.T, f func(t *testing.T, r *rig)) {
		test(t, t.Name(), "0", func(t *testing.T, r *rig) {
			r.up.mu.Lock()
			r.up.needsLife = true
			r.up.mu.Unlock()
			f(t, r)
			for i := range r.up.asks() {
				if got := r.up.request(i).token; got != secret {
					t.Errorf("request %d has the token %s", i, got)
				}
			}
		})
	}
	change := func(r *rig, token string) {
		r.up.mu.Lock()
		r.up.token = token
		r.up.mu.Unlock()
	}
	t.Run("it changed in the life", func(t *testing.T) {
		vouched(t, func(t *testing.T, r *rig) {
			r.open()
			r.hear(evs(1)...)
			synctest.Wait()
			change(r, "another")
			r.Renewed()
			asks := r.up.asks()
			r.taker.lose()
			time.Sleep(time.Minute)
			if r.up.asks() != asks || !r.State().Unvouched {
				t.Fatalf("%d requests, %+v", r.up.asks()-asks, r.State())
			}
			r.Ended()
			time.Sleep(time.Hour) // no polls either
			change(r, secret)
			r.Renewed()
			r.wantIDs(t, "[e1]")
		})
	})
	t.Run("it changed during the dial", func(t *testing.T) {
		vouched(t, func(t *testing.T, r *rig) {
			r.up.say(evs(1)...)
			r.Opened(1, 0, "before")
			r.Live()
			time.Sleep(time.Minute)
			if r.up.asks() != 0 || !r.State().Unvouched {
				t.Fatalf("%d requests, %+v", r.up.asks(), r.State())
			}
			r.Ended()
			r.Opened(2, 0, secret)
			r.Live()
			r.wantIDs(t, "[e1]")
			if r.State().Unvouched {
				t.Error("still not vouched for")
			}
		})
	})
	t.Run("nobody was live", func(t *testing.T) {
		vouched(t, func(t *testing.T, r *rig) {
			time.Sleep(time.Hour)
			if r.up.asks() != 0 {
				t.Error("asked")
			}
		})
	})
}

func TestALiveLifeOnWhichNothingFlowsIsNotCaughtUp(t *testing.T) {
	for code, want := range map[int]cause.Cause{503: cause.HTTP5xx, 429: cause.RateLimited, 404: cause.HTTP4xx, 401: cause.Auth} {
		test(t, fmt.Sprint(code), "0", func(t *testing.T, r *rig) {
			r.open()
			r.hear(evs(1)...)
			synctest.Wait()
			r.up.plan(r.up.first(1<<20, status(code)))
			r.taker.lose()
			time.Sleep(time.Second)
			since := time.Now()
			r.hear(evs(2)...)
			time.Sleep(behindAfter - 3*time.Second)
			if st := r.State(); !st.CaughtUp {
				t.Fatalf("too soon: %+v", st)
			}
			for len(r.Changed()) > 0 {
				<-r.Changed()
			}
			time.Sleep(4 * time.Second)
			st := r.State()
			if st.CaughtUp || st.Cause != want || st.Err == nil || st.Behind.Sub(since).Abs() > time.Second {
				t.Fatalf("%+v, since %v", st, since)
			}
			if len(r.Changed()) == 0 {
				t.Error("nothing was told")
			}
			r.up.plan(nil)
			time.Sleep(time.Minute)
			r.wantIDs(t, "[e1 e2]")
			if st := r.State(); !st.CaughtUp || !st.Filled.All || !st.Behind.IsZero() || st.Err != nil {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestAFullTakerDoesNotMakeALifeFallBehind(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Stream.mu.Lock()
		r.Stream.maxHeld = 0
		r.Stream.mu.Unlock()
		r.open()
		synctest.Wait()
		r.taker.setRoom(0)
		r.hear(evs(1, 2, 3)...)
		time.Sleep(time.Hour)
		if !r.State().CaughtUp {
			t.Errorf("%+v", r.State())
		}
		r.taker.setRoom(-1)
		time.Sleep(time.Second)
		r.wantIDs(t, "[e1 e2 e3]")
	})
}

// slow is a body of which a little comes each ten seconds.
type slow struct {
	io.Reader
	ctx context.Context // of the request
}

func (b *slow) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Second)
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p[:min(len(p), 7)])
}

func (b *slow) Close() error { return nil }

func TestASlowAnswerIsWaitedFor(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		body, _ := json.Marshal(reply{Events: evs(1, 2), Next: 2})
		r.up.plan(r.up.first(1, func() *http.Response {
			resp := answer(200, "")
			resp.Body = &slow{Reader: strings.NewReader(string(body))}
			return resp
		}))
		begun := time.Now()
		r.open()
		time.Sleep(time.Duration(len(body)/7+2) * 10 * time.Second)
		r.wantIDs(t, "[e1 e2]")
		if r.up.asks() != 1 || time.Since(begun) < time.Minute {
			t.Errorf("%d requests in %v", r.up.asks(), time.Since(begun))
		}
	})
}

func TestFewerEventsAreAskedForAfterAnAnswerThatIsTooLong(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.limit = 1000
		for i := range 9 {
			r.up.say(ev(i + 1))
		}
		r.up.plan(func(int, time.Duration) *http.Response {
			if r.up.request(r.up.asks()-1).most > 3 {
				return answer(200, strings.Repeat(" ", maxBody+1))
			}
			return nil
		})
		r.open()
		time.Sleep(10 * time.Minute)
		r.wantIDs(t, "[e1 e2 e3 e4 e5 e6 e7 e8 e9]")
		if n := r.up.asks(); n != 10 { // 200, 100, 50, 25, 12, 6, and then three by three, and the last one
			t.Logf("%d requests", n)
		}
		r.Ended()
		r.open()
		if got := r.up.request(r.up.asks() - 1).most; got != pageEvents {
			t.Errorf("%d are asked for after all was had", got)
		}
	})
}

func TestSubjectsThatAreNoneAreNotRemembered(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.open()
		synctest.Wait()
		for i := range topic.MostForms + 10 {
			for _, first := range []string{"bad", "good"} {
				e := ev(0).event()
				e.Values = [][]byte{[]byte(first), fmt.Append(nil, i)}
				if first == "good" {
					e.Values = [][]byte{fmt.Append(nil, i)}
				}
				r.Heard([]protocol.Event{e}, time.Now())
				if n := r.routes.forms.Len(); n > topic.MostForms || i == 0 && n > 1 {
					t.Fatalf("%d forms", n)
				}
				if i == 0 && first == "bad" && r.routes.forms.Len() != 0 {
					t.Fatal("a failure is remembered")
				}
			}
		}
	})
}

func TestAtACleanEndThePositionGoesBackForALateEvent(t *testing.T) {
	for _, held := range []bool{true, false} {
		test(t, fmt.Sprint("held: ", held), "0", func(t *testing.T, r *rig) {
			r.open()
			r.hear(evs(1, 5)...)
			synctest.Wait()
			r.taker.confirm(9)
			time.Sleep(time.Second)
			if r.store.position() != "5" {
				t.Fatalf("saved %s", r.store.position())
			}
			if held {
				r.taker.setRoom(0)
			}
			r.hear(evs(3)...)
			time.Sleep(time.Second)
			if r.store.position() != "5" {
				t.Fatalf("saved %s", r.store.position())
			}
			r.Ended()
			r.stop()
			if err := r.KeepPosition(); err != nil || r.store.position() != "2" {
				t.Errorf("saved %s, %v", r.store.position(), err)
			}
			r.begin("0")
			r.open()
			r.wantIDs(t, "[e3 e5]")
		})
	}
}

func TestEventsThatCannotBeReadMakeAGapNotWhole(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.limit = 2
		r.up.say(evs(1, 2, 5)...)
		r.up.plan(func(after int, _ time.Duration) *http.Response {
			if after != 2 {
				return nil
			}
			body, _ := json.Marshal(reply{Events: evs(5), Next: 5, Missed: 2})
			return answer(200, string(body))
		})
		r.open()
		r.wantIDs(t, "[e1 e2 e5]")
		if st := r.State(); st.Filled != (topic.Filled{To: time.Unix(2, 0)}) || r.tally.of(skipUnreadable) != 2 {
			t.Errorf("%+v", st)
		}
		r.Ended()
		r.open()
		synctest.Wait()
		if !r.State().Filled.All {
			t.Errorf("%+v", r.State())
		}
	})
}

func TestARebuiltUpstreamWithoutIDsIsNoticed(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		bare := func(at ...int) (all []said) {
			for _, n := range at {
				all = append(all, said{Room: "r", At: n})
			}
			return all
		}
		r.open()
		r.hear(bare(1, 2, 3, 4, 5)...)
		synctest.Wait()
		r.Ended()
		r.up.mu.Lock()
		r.up.events = nil
		r.up.mu.Unlock()
		r.open()
		r.hear(bare(1, 2)...)
		time.Sleep(time.Second)
		if got := strings.Count(r.taker.ids(), " "); got != 6 || len(r.Gaps()) != 1 {
			t.Errorf("%d events were taken", got+1)
		}
	})
}

func TestAnEventWithoutAnIDThatComesAgainIsNoRebuiltUpstream(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		one := said{Room: "r", At: 1}
		r.open()
		r.hear(one)
		synctest.Wait()
		r.Ended()
		r.open()
		r.tell(one)
		time.Sleep(time.Second)
		if len(r.taker.wait) != 1 || len(r.Gaps()) != 0 || !r.State().CaughtUp || r.tally.of(skipRepeated) != 1 {
			t.Errorf("%d events, %+v", len(r.taker.wait), r.State())
		}
	})
}

func TestAStoredPositionThatIsNoneIsLikeADamagedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bareRig()
		r.store.at = []byte("0x5")
		r.begin("0")
		defer r.stop()
		r.open()
		r.hear(evs(2)...)
		r.wantIDs(t, "[e2]")
		if !strings.Contains(r.log.String(), "ERROR") {
			t.Error("no alarm")
		}
	})
}

func TestAGapOfWhatWasLeftOutBeginsWithTheFirst(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Stream.mu.Lock()
		r.Stream.maxHeld = 0
		r.Stream.mu.Unlock()
		r.open()
		synctest.Wait()
		r.up.plan(func(int, time.Duration) *http.Response { time.Sleep(time.Second); return nil })
		r.taker.setRoom(0)
		from := time.Now()
		r.hear(evs(1)...)
		r.taker.setRoom(-1)
		time.Sleep(1500 * time.Millisecond)
		r.hear(evs(2)...)
		r.Stream.mu.Lock()
		if !r.Stream.leaving || !r.Stream.left.Equal(from) {
			t.Errorf("left out since %v, not %v", r.Stream.left, from)
		}
		r.Stream.mu.Unlock()
		time.Sleep(10 * time.Second)
		r.wantIDs(t, "[e1 e2]")
	})
}

func TestALateEventThatIsLeftOutWhileAPagePassesItIsFetched(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Stream.mu.Lock()
		r.Stream.maxHeld = 0
		r.Stream.mu.Unlock()
		r.open()
		r.hear(evs(1)...)
		synctest.Wait()
		r.taker.setRoom(0)
		r.up.plan(func(after int, _ time.Duration) *http.Response {
			page, _ := r.up.page(after, pageEvents) // as it is now
			body, _ := json.Marshal(page)
			time.Sleep(time.Second)
			return answer(200, string(body))
		})
		r.hear(evs(5)...)
		time.Sleep(100 * time.Millisecond)
		r.hear(evs(3)...)
		r.taker.setRoom(-1)
		time.Sleep(10 * time.Second)
		r.wantIDs(t, "[e1 e5 e3]")
	})
}

func TestTheBodyOfAPageIsNotKept(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.up.say(evs(1, 2, 3)...)
		r.open()
		r.wantIDs(t, "[e1 e2 e3]")
		for _, e := range r.reading.Events[:cap(r.reading.Events)] {
			if e.Payload != nil {
				t.Fatalf("%+v", e)
			}
		}
	})
}

func TestNothingIsFetchedThatNobodyWants(t *testing.T) {
	test(t, "", "0", func(t *testing.T, r *rig) {
		r.Want(nil)
		r.up.say(evs(1)...)
		time.Sleep(time.Hour)
		if r.up.asks() != 0 {
			t.Errorf("%d requests", r.up.asks())
		}
		r.Want(wanted("*"))
		r.wantIDs(t, "[e1]")
	})
}

func TestANewLifeCatchesUpAtOnce(t *testing.T) {
	for header, most := range map[string]time.Duration{"": 0, "600": maxLifeWaits} {
		test(t, header, "0", func(t *testing.T, r *rig) {
			r.up.say(evs(1)...)
			r.up.plan(func(int, time.Duration) *http.Response {
				resp := answer(503, "")
				resp.Header.Set("Retry-After", header)
				return resp
			})
			time.Sleep(20 * time.Minute)
			r.up.plan(nil)
			asks := r.up.asks()
			r.open()
			time.Sleep(most)
			r.wantIDs(t, "[e1]")
			if asks == 0 || r.up.asks() > asks+2 {
				t.Errorf("%d requests before, %d in all", asks, r.up.asks())
			}
		})
	}
}

func TestErrorsThatQuoteTheUpstreamHoldNoSecret(t *testing.T) {
	const token = `s "e" & s`
	for _, quote := range []string{token, url.QueryEscape(token), fmt.Sprintf("%q", token)} {
		if got := hide(errors.New("no route to "+quote), token).Error(); !strings.HasPrefix(got, "no route to ") || strings.Contains(got, quote) {
			t.Errorf("%s", got)
		}
	}
}
