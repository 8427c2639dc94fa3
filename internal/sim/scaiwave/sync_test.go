package scaiwave

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
	"feedmux/internal/sim/upstream"
)

func TestPagesOfSyncAreWhatWasPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{Others: 0.5, Holes: 0.5, Chunks: 0.1, Options: upstream.Options{Rate: 100}})
		time.Sleep(6 * time.Second)
		w.Change(func(o *Options) { o.Rate = 0 })
		want := published(t, w)
		s := newSyncer(t, n)
		for _, limit := range []int{1, 7, 500} {
			ids, next := s.all(0, limit)
			if len(ids) != len(want) || next != want[len(want)-1].Position {
				t.Fatalf("limit %d: %d events, next %d; want %d", limit, len(ids), next, len(want))
			}
			for i, id := range ids {
				if id != want[i].ID {
					t.Fatalf("limit %d: event %d differs", limit, i)
				}
			}
		}
		got := s.page("")
		if len(got.Data.Events) != 100 || !got.Data.More {
			t.Errorf("without a limit: %d events, more %v", len(got.Data.Events), got.Data.More)
		}
		for i, e := range got.Data.Events {
			p := want[i]
			if e.ID != p.ID || e.Position != p.Position || e.Room != p.Room || e.Type != p.Type || e.Sender != p.Sender ||
				e.OriginTS != p.OriginTS || string(e.Content) != string(p.Content) {
				t.Errorf("got %+v, want %+v", e, p)
			}
		}
		if w.log.position == int64(len(want)) {
			t.Error("there are no holes")
		}
		wantRules(t, w, "")
		s.page("limit=501")
		wantRules(t, w, "sync")
	})
}

func TestSyncStillHasTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{Keep: 10})
		for range 25 {
			w.Publish("room-1", TypeMessage, "")
		}
		got := newSyncer(t, n).page("since=3")
		if e := got.Data.Events; len(e) != 10 || e[0].Position != 16 || got.Data.Next != 25 || got.Data.More {
			t.Errorf("got %+v", got.Data)
		}
		for _, e := range published(t, w) {
			if e.Kept != (e.Position > 15) {
				t.Errorf("position %d: kept %v", e.Position, e.Kept)
			}
		}
		w.Change(func(o *Options) { o.Record = false })
		w.log.record = nil
		if p := published(t, w); len(p) != 10 || !p[0].Kept {
			t.Errorf("without a record: %d events", len(p))
		}
	})
}

func TestSyncWaitsForAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		w.Publish("room-1", TypeMessage, "")
		s := newSyncer(t, n)
		began := time.Now()
		if got := s.page("since=1"); len(got.Data.Events) != 0 || got.Data.Next != 1 || time.Since(began) != 30*time.Second {
			t.Errorf("got %+v after %v", got.Data, time.Since(began))
		}
		if got := s.page("since=9&timeout=500"); got.Data.Next != 9 || time.Since(began) != 30500*time.Millisecond {
			t.Errorf("got %+v after %v", got.Data, time.Since(began))
		}
		time.AfterFunc(time.Second, func() {
			w.Publish("room-1", TypeTyping, "") // does not count
			time.Sleep(time.Second)
			w.Publish("room-1", TypeMessage, "")
		})
		began = time.Now()
		if got := s.page("since=1"); len(got.Data.Events) != 1 || got.Data.Next != 2 || time.Since(began) != 2*time.Second {
			t.Errorf("got %+v after %v", got.Data, time.Since(began))
		}
		if open := n.Open(); open != 1 {
			t.Errorf("%d connections were used", open)
		}
	})
}

func TestClientThatLeavesWaitsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := httpClient(t, n.DialContext)
		_, _, err := get(ctx, c, "http://wave.test/v1/sync", "good")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if s := w.Syncs(); len(s) != 1 || s[0].Status != 0 || s[0].Until.Sub(s[0].At) != time.Second {
			t.Errorf("records: %+v", s)
		}
	})
}

func TestSyncSaysWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{Token: "old"})
		w.SetToken("good")
		s := newSyncer(t, n)
		check := func(path, token string, status int, code string) {
			t.Helper()
			resp, got, err := get(t.Context(), s.c, "http://wave.test"+path, token)
			if err != nil || resp.StatusCode != status || got.Error.Code != code {
				t.Errorf("%s: %v, %v, %+v; want %d %s", path, err, resp, got.Error, status, code)
			}
		}
		check("/v1/sync", "old", 401, "SW_AUTH_EXPIRED_TOKEN")
		check("/v1/sync", "bad", 401, "SW_AUTH_INVALID_TOKEN")
		check("/v1/sync", "", 401, "SW_AUTH_INVALID_TOKEN")
		check("/v1/stream", "good", 404, "SW_NOT_FOUND")
		wantRules(t, w, "")
		check("/v1/sync?since=x", "good", 422, "SW_VALIDATION_ERROR")
		check("/v1/sync?limit=-1", "good", 422, "SW_VALIDATION_ERROR")
		wantRules(t, w, "sync sync")

		w.FailSync(FaultSyncLimit, 1)
		w.FailSync(FaultSyncGone, 1)
		w.FailSync(FaultSyncError, 1)
		resp, got, _ := s.try("", "good")
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "2" || got.Error.Code != "SW_RATE_LIMIT_EXCEEDED" {
			t.Errorf("got %v, %+v", resp, got.Error)
		}
		check("/v1/sync", "good", 404, "SW_TENANT_NOT_FOUND")
		check("/v1/sync", "good", 503, "")
		w.Change(func(o *Options) { o.SyncGone = 403 })
		check("/v1/sync", "good", 403, "SW_AUTH_INSUFFICIENT_PERMISSION")
		w.Change(func(o *Options) { o.SyncGone = 0 })
		s.page("timeout=0")
		if r := w.Syncs(); len(r) != 10 || r[5].Fault != FaultSyncLimit || r[5].Status != 429 {
			t.Errorf("%d records: %+v", len(r), r)
		}
		if open := n.Open(); open != 1 {
			t.Errorf("%d connections were used", open)
		}
	})
}

func TestAnswersThatBreakOff(t *testing.T) {
	for fault, match := range map[upstream.Fault]func(error) bool{
		FaultSyncCut:   func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
		FaultSyncReset: isReset,
	} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, n := start(t, Options{})
				w.Publish("room-1", TypeMessage, "")
				w.FailSync(fault, 1)
				s := newSyncer(t, n)
				if resp, _, err := s.try("", "good"); resp == nil || resp.StatusCode != 200 || !match(err) {
					t.Errorf("got %v, %v", resp, err)
				}
				if ids, _ := s.all(0, 10); len(ids) != 1 {
					t.Errorf("after it: %q", ids)
				}
			})
		})
	}
}

func TestAnswersThatNeverCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		w.FailSync(FaultSyncSilence, 1)
		s := newSyncer(t, n)
		s.c.Timeout = time.Hour
		began := time.Now()
		var timeout interface{ Timeout() bool }
		if _, _, err := s.try("timeout=0", "good"); !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(began) != time.Hour {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

func TestSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n := start(t, Options{SyncDelay: time.Minute})
		began := time.Now()
		newSyncer(t, n).page("timeout=0")
		if time.Since(began) != time.Minute {
			t.Errorf("after %v", time.Since(began))
		}
	})
}

func TestEventIsInAnswersFromItsPublishingOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{Holes: 0.5})
		s := newSyncer(t, n)
		var want []string
		for range 50 {
			want = append(want, w.Publish("room-1", TypeMessage, "").ID)
			if ids, _ := s.all(0, 3); !slices.Equal(ids, want) {
				t.Fatalf("got %q, want %q", ids, want)
			}
		}
	})
}

func TestLateEventComesAfterTheNextInBothChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		c, s := join(t, n, "a"), newSyncer(t, n)
		w.Publish("room-1", TypeMessage, "")
		c.take()
		w.Late()
		two := w.Publish("room-1", TypeMessage, "")
		if ids, next := s.all(1, 10); !slices.Equal(ids, []string{two.ID}) || two.Position != 3 || next != 3 {
			t.Errorf("sync while it is missing: %q, %d", ids, next)
		}
		one := w.Publish("room-1", TypeMessage, "")
		if ids, _ := s.all(1, 10); !slices.Equal(ids, []string{one.ID, two.ID}) || one.Position != 2 || !one.Late || two.Late {
			t.Errorf("sync: %q, %+v, %+v", ids, one, two)
		}
		if got := texts(t, c.take()); len(got) != 2 || got[0].ID != two.ID || got[1].ID != one.ID {
			t.Errorf("stream: %+v", got)
		}
		if e := w.Publish("room-1", TypeMessage, ""); e.Position != 4 || e.Late {
			t.Errorf("the next: %+v", e)
		}
	})
}

func TestRaceLosesAnEventForWhoeverReadsOneChannelAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{Race: true})
		s := newSyncer(t, n)
		_, next := s.all(0, 10)
		c := join(t, n, "good") // one event after the answer, one before the socket is registered
		got := texts(t, c.take())
		if p := published(t, w); len(p) != 2 || len(got) != 1 || next != 0 {
			t.Errorf("published %+v, stream %+v, next %d", p, got, next)
		}
		if ids, _ := s.all(next, 10); len(ids) != 2 {
			t.Errorf("sync: %q", ids)
		}
		if got := texts(t, c.take()); len(got) != 1 || got[0].Position != 3 { // after the first answer since
			t.Errorf("stream: %+v", got)
		}
		s.all(0, 10)
		if p := published(t, w); len(p) != 3 {
			t.Errorf("%d published: each answer brings one", len(p))
		}
	})
}

func TestClientThatReadsBothChannelsMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Race: true, Holes: 0.2, HelloDelay: 50 * time.Millisecond, Options: upstream.Options{Rate: 200, ResetEvery: 2 * time.Second}}
		w, n := start(t, o)
		s := newSyncer(t, n)
		seen := map[string]int{}
		var next int64
		for life := range 15 {
			c := join(t, n, fmt.Sprint(life))
			time.Sleep(100 * time.Millisecond) // for hello
			synctest.Wait()
			var ids []string
			ids, next = s.all(next, 20)
			for _, id := range ids {
				seen[id]++
			}
			for c.end() == nil {
				time.Sleep(time.Second)
			}
			for _, m := range texts(t, c.take()) {
				if m.ID != "" {
					seen[m.ID] |= 1
				}
				next = max(next, m.Position)
			}
		}
		all := published(t, w)
		missed, until := 0, next
		for _, e := range all {
			if e.Position <= until && seen[e.ID] == 0 {
				missed++
			}
		}
		if missed > 0 || len(all) < 1000 {
			t.Errorf("missed %d of %d events", missed, len(all))
		}
	})
}

func TestPortIsSharedWithoutASign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		s := newSyncer(t, n)
		s.page("timeout=0")
		join(t, n, "a").take()
		if w.Open() != 1 || w.MaxOpen() != 1 || len(w.Conns()) != 1 || w.Conns()[0].ID != 1 {
			t.Errorf("%d open, %d at most; records: %+v", w.Open(), w.MaxOpen(), w.Conns())
		}
	})
}

func TestServeEndsRequestsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := New(Options{}), sim.NewNetwork()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		l := n.Listen()
		go func() { served <- w.Serve(ctx, l) }()
		failed := make(chan error, 1)
		go func() {
			_, _, err := newSyncer(t, n).try("", "good")
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := <-failed; err == nil {
			t.Error("the request that waited was answered")
		}
		if n.Open() != 0 {
			t.Errorf("%d open", n.Open())
		}
	})
}
