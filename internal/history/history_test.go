package history

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	_ "feedmux/internal/bubble"
	"feedmux/internal/cause"
	"feedmux/internal/control"
	"feedmux/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// figures is what the loops say; the test changes it while the sampler sleeps.
type figures struct {
	control.Report
	asked int

	written sync.Mutex // what the test wrote before it slept is seen by who wakes
}

func newFigures(feeds ...string) *figures {
	f := &figures{}
	f.Delivery = &control.Delivery{Published: make(map[string]uint64), Gaps: make(map[string]map[string]uint64)}
	f.Lost = make(map[string]map[string]uint64)
	for _, name := range feeds {
		f.Readiness.Feeds = append(f.Readiness.Feeds, control.FeedReadiness{Feed: name})
		f.Feeds = append(f.Feeds, pool.Status{Feed: name, Counters: pool.Counters{
			Disconnects: make(map[cause.Cause]uint64), Gaps: make(map[cause.Cause]uint64),
		}})
	}
	return f
}

func (f *figures) ask(context.Context) (control.Report, error) {
	f.written.Lock()
	defer f.written.Unlock()
	f.asked++
	return f.Report, nil
}

// sampling runs a sampler in virtual time until body is done.
func sampling(t *testing.T, f *figures, body func(*Sampler)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := New(f.ask)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Run(ctx)
		}()
		synctest.Wait()
		body(s)
		cancel()
		<-ended
	})
}

// pass lets n samples be taken.
func (f *figures) pass(n int) {
	f.written.Lock()
	f.written.Unlock() //lint:ignore SA2001 what counts is the order that it makes
	time.Sleep(time.Duration(n) * Every)
	synctest.Wait()
}

func TestASampleIsWhatWasAddedToTheCounters(t *testing.T) {
	f := newFigures("twitch")
	f.Feeds[0].Counters.Events = 1000 // before anybody looked
	sampling(t, f, func(s *Sampler) {
		if got := s.Feed("twitch"); len(got) != 0 {
			t.Errorf("one look gave %v: there is nothing to take the difference with", got)
		}
		began := time.Now()
		f.Feeds[0].Counters.Events += 50
		f.Delivery.Published["twitch"] = 40
		f.Lost["twitch"] = map[string]uint64{"buffer_full": 10, "malformed": 4}
		f.Delivery.Gaps["twitch"] = map[string]uint64{"nats_broke": 3}
		f.Feeds[0].Counters.Disconnects[cause.Reset] = 2
		f.Feeds[0].Counters.Gaps[cause.Reset] = 100
		f.pass(1)
		f.Feeds[0].Counters.Events += 5
		f.pass(1)

		got := s.Feed("twitch")
		if len(got) != 2 {
			t.Fatalf("%d samples, want 2: %v", len(got), got)
		}
		if got[0].Events != 50 || got[0].Published != 40 || !got[0].From.Equal(began) || !got[0].To.Equal(began.Add(Every)) {
			t.Errorf("the first is %+v", got[0])
		}
		want := []Incident{{DeliveryGap, "nats_broke", 3}, {Disconnect, "reset", 2}, {Dropped, "buffer_full", 10}, {Dropped, "malformed", 4}, {Gap, "reset", 100}}
		if !slices.Equal(got[0].Incidents, want) {
			t.Errorf("incidents are %v, want %v", got[0].Incidents, want)
		}
		if got[1].Events != 5 || got[1].Published != 0 || len(got[1].Incidents) != 0 {
			t.Errorf("the second is %+v, want 5 events and no more", got[1])
		}
	})
}

func TestAnHourIsRememberedAndNoMore(t *testing.T) {
	f := newFigures("twitch")
	sampling(t, f, func(s *Sampler) {
		for range room + 10 {
			f.Feeds[0].Counters.Events += uint64(f.asked)
			f.pass(1)
		}
		got := s.Feed("twitch")
		if len(got) != room {
			t.Fatalf("%d samples, want %d", len(got), room)
		}
		for i, sample := range got {
			if want := uint64(11 + i); sample.Events != want {
				t.Fatalf("sample %d has %d events, want %d", i, sample.Events, want)
			}
		}
		if span := got[room-1].To.Sub(got[0].From); span != Length {
			t.Errorf("they span %v, want %v", span, Length)
		}
	})
}

func TestASilentLoopLeavesOneLongSample(t *testing.T) {
	f := newFigures("twitch")
	sampling(t, f, func(s *Sampler) {
		whole := f.Feeds
		f.Feeds = nil // it is in Readiness still: it did not answer
		f.pass(3)
		f.Feeds = whole
		f.Feeds[0].Counters.Events = 80
		f.pass(1)
		got := s.Feed("twitch")
		if len(got) != 1 || got[0].Events != 80 || got[0].To.Sub(got[0].From) != 4*Every {
			t.Errorf("got %+v, want one sample of 80 events in %v", got, 4*Every)
		}
	})
}

func TestWhatASilentDeliveryDidIsInTheNextSample(t *testing.T) {
	f := newFigures("twitch")
	sampling(t, f, func(s *Sampler) {
		f.Lost["twitch"] = map[string]uint64{"too_big": 5}
		f.pass(1)
		delivery, lost := f.Delivery, f.Lost
		f.Delivery, f.Lost = nil, nil
		f.pass(1)
		f.Delivery, f.Lost = delivery, lost
		f.Delivery.Published["twitch"] = 7
		f.Lost["twitch"]["too_big"] = 6
		f.pass(1)
		got := s.Feed("twitch")
		if len(got) != 3 || got[1].Published != 0 || len(got[1].Incidents) != 0 || got[2].Published != 7 ||
			!slices.Equal(got[2].Incidents, []Incident{{Dropped, "too_big", 1}}) {
			t.Errorf("got %+v, want 0, then 7 published and 1 dropped", got)
		}
	})
}

func TestFeedsComeAndGo(t *testing.T) {
	f := newFigures("old")
	sampling(t, f, func(s *Sampler) {
		f.pass(2)
		other := newFigures("new")
		other.Feeds[0].Counters.Events = 5
		f.Report = other.Report
		f.pass(1)
		if got := s.Feed("old"); got != nil {
			t.Errorf("a feed that is gone has %v", got)
		}
		if got := s.Feed("new"); len(got) != 0 {
			t.Errorf("a feed that just came has %v", got)
		}
		f.Feeds[0].Counters.Events = 2 // one of that name again, which counts anew
		f.pass(1)
		if got := s.Feed("new"); len(got) != 1 || got[0].Events != 2 {
			t.Errorf("got %+v, want 2 events", got)
		}
	})
}

// TestTheMemoryOfTenFeedsIsBounded: ten feeds on which ten causes occur in each sample of two hours.
func TestTheMemoryOfTenFeedsIsBounded(t *testing.T) {
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprintf("feed%d", i))
	}
	f := newFigures(names...)
	s := New(f.ask)
	now := time.Unix(0, 0)
	for range 2 * room {
		for i := range f.Feeds {
			for _, c := range cause.All()[:10] {
				f.Feeds[i].Counters.Disconnects[c]++
			}
		}
		s.take(f.Report, now)
		now = now.Add(Every)
	}
	for _, name := range names {
		ring := s.feeds[name].ring
		if len(ring) != room || cap(ring) != room {
			t.Errorf("%s has %d samples in room for %d", name, len(ring), cap(ring))
		}
	}
	if n := len(s.feeds[names[0]].incidents); n != 10 {
		t.Errorf("%d counters are remembered, want 10", n)
	}
}
