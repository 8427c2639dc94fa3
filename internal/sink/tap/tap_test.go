package tap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/shard"
)

func all(string, shard.Topic) bool { return true }

func TestOfferShowsEventsInOrderToThoseWhoAskedForThem(t *testing.T) {
	var tap Tap
	every := tap.Subscribe(all)
	some := tap.Subscribe(func(feed string, topic shard.Topic) bool { return feed == "f" && topic == "b" })
	defer every.Close()
	defer some.Close()
	payload := []byte("1")
	at := time.Unix(1, 2)
	tap.Offer("f", "a", "feed.f.a", payload, at)
	payload[0] = '2' // the publisher's memory is used again
	tap.Offer("f", "b", "feed.f.b", payload, at)
	payload[0] = '3'
	tap.Offer("g", "b", "feed.g.b", payload, at)

	want := func(s *Stream, subjects, payloads string) {
		t.Helper()
		events, left, err := s.Next(t.Context())
		gotSubjects, gotPayloads := "", ""
		for _, e := range events {
			gotSubjects += e.Subject + " "
			gotPayloads += string(e.Payload)
			if !e.Received.Equal(at) || e.Subject != "feed."+e.Feed+"."+string(e.Topic) {
				t.Errorf("%+v", e)
			}
		}
		if err != nil || left != 0 || gotSubjects != subjects || gotPayloads != payloads {
			t.Errorf("%q %q, %d left out, %v; want %q %q", gotSubjects, gotPayloads, left, err, subjects, payloads)
		}
	}
	want(every, "feed.f.a feed.f.b feed.g.b ", "123")
	want(some, "feed.f.b ", "2")
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tap Tap
		s := tap.Subscribe(all)
		defer s.Close()
		go func() {
			time.Sleep(time.Second)
			tap.Offer("f", "a", "s", nil, time.Now())
		}()
		begun := time.Now()
		events, _, err := s.Next(t.Context())
		if waited := time.Since(begun); err != nil || len(events) != 1 || waited != time.Second {
			t.Errorf("%d events, %v after %v", len(events), err, waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with nothing to show: %v", err)
		}
	})
}

func TestAReaderThatIsTooSlowIsToldHowMuchItMissed(t *testing.T) {
	for name, size := range map[string]int{"many": 1, "large": 1 << 20} {
		var tap Tap
		s := tap.Subscribe(all)
		defer s.Close()
		room := min(maxEvents, maxBytes/size)
		for i := range room + 120 {
			tap.Offer("f", shard.Topic(fmt.Sprint(i)), "s", make([]byte, size), time.Time{})
		}
		tap.Offer("f", "small", "s", nil, time.Time{}) // there is room for it, but what is left out comes last
		events, left, err := s.Next(t.Context())
		if err != nil || len(events) != room || left != 121 || events[room-1].Topic != shard.Topic(fmt.Sprint(room-1)) {
			t.Errorf("%s: %d events, %d left out, %v; want the first %d, and 121 left out", name, len(events), left, err, room)
		}
		tap.Offer("f", "next", "s", nil, time.Time{})
		if events, left, _ := s.Next(t.Context()); len(events) != 1 || left != 0 {
			t.Errorf("%s: then %d events, %d left out", name, len(events), left)
		}
	}
}

func TestAnEventLargerThanTheBufferIsLeftOut(t *testing.T) {
	var tap Tap
	s := tap.Subscribe(all)
	defer s.Close()
	tap.Offer("f", "a", "s", make([]byte, maxBytes+1), time.Time{})
	if events, left, err := s.Next(t.Context()); len(events) != 0 || left != 1 || err != nil {
		t.Errorf("%d events, %d left out, %v", len(events), left, err)
	}
}

func TestCloseLeavesTheOthers(t *testing.T) {
	var tap Tap
	a, b := tap.Subscribe(all), tap.Subscribe(all)
	a.Close()
	a.Close()
	tap.Offer("f", "a", "s", nil, time.Time{})
	if events, _, _ := b.Next(t.Context()); len(events) != 1 {
		t.Errorf("the other one has %d events", len(events))
	}
	if len(a.events) != 0 {
		t.Error("a closed stream gathers events")
	}
	b.Close()
	if tap.streams.Load() != nil {
		t.Error("nobody looks on, and Offer has work to do")
	}
}

func TestManyMayLookOnWhileEventsCome(t *testing.T) {
	var tap Tap
	ctx, stop := context.WithCancel(t.Context())
	var offering, looking sync.WaitGroup
	offering.Go(func() {
		for ctx.Err() == nil {
			tap.Offer("f", "a", "s", []byte("x"), time.Time{})
		}
	})
	for range 4 {
		looking.Go(func() {
			for range 50 {
				s := tap.Subscribe(all)
				if events, left, err := s.Next(t.Context()); err != nil || len(events)+int(left) == 0 {
					t.Errorf("%d events, %v", len(events), err)
				}
				s.Close()
			}
		})
	}
	looking.Wait()
	stop()
	offering.Wait()
}

func TestOfferAllocatesNothingWhileNobodyLooksOn(t *testing.T) {
	var tap Tap
	tap.Subscribe(all).Close()
	payload := []byte("payload")
	if n := testing.AllocsPerRun(100, func() { tap.Offer("f", "a", "s", payload, time.Time{}) }); n != 0 {
		t.Errorf("%v allocations for an event", n)
	}
}

func BenchmarkOfferToNobody(b *testing.B) {
	var tap Tap
	payload := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		tap.Offer("f", "a", "feed.f.a", payload, time.Time{})
	}
}

func BenchmarkOfferToOne(b *testing.B) {
	var tap Tap
	s := tap.Subscribe(all)
	defer s.Close()
	payload := make([]byte, 200)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		tap.Offer("f", "a", "feed.f.a", payload, time.Time{})
		if n++; n%1000 == 0 {
			s.Next(b.Context())
		}
	}
}
