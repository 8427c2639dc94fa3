package sink

import (
	"runtime"
	"strconv"
	"testing"
	"weak"

	"feedmux/pool"
)

// formOf makes a form of a topic whose events have another subject.
func formOf(s pool.Sink, t *pool.Topic, subject string) *pool.Topic {
	form := t.Form(nil, subject)
	s.Topic(form)
	return form
}

func TestEachFormOfATopicHasItsSubjectAndItsGap(t *testing.T) {
	t.Parallel()
	srv := startServer(t, nil)
	s := stepThrough(t, srv.ClientURL())
	sub := subscribe(t, srv.ClientURL(), "feed.>")
	order := topicOf(s.feed, "order")
	done, open := formOf(s.feed, order, "feed.f.order.done"), formOf(s.feed, order, "feed.f.order.open")
	s.publish(done, 1)
	s.publish(open, 2)
	s.until("that is confirmed", idle, s.confirmed)
	for _, want := range []string{done.Subject, open.Subject} {
		if m := sub.next(t); m.Subject != want {
			t.Errorf("an event came on %s, want %s", m.Subject, want)
		}
	}
	s.proxy.stall()
	s.publish(done, 3)
	s.publish(open, 4, 5)
	s.until("that is handed over", idle, func() bool { return s.Stats().Feeds[0].Published == 5 })
	s.proxy.cut()
	eventually(t, "the break is seen", func() bool {
		connected, _, _ := s.link.State()
		if !connected {
			s.work(t.Context(), t.Context())
		}
		return !connected && s.windows.empty()
	})
	for _, want := range []struct {
		subject  string
		from, to int
	}{{done.Subject, 3, 3}, {open.Subject, 4, 5}} {
		n := s.notices.Take()
		if n == nil {
			t.Fatalf("no gap of %s is announced", want.subject)
		}
		g, ok := n.Body.(*pool.GapNotice)
		if !ok || n.Subject != "feedmux.gap.f.order" || g.Topic != "order" || g.Subject != want.subject ||
			!g.From.Equal(at(want.from)) || !g.To.Equal(at(want.to)) {
			t.Errorf("%s: announced is %+v, want a gap of %+v", n.Subject, n.Body, want)
		}
	}
}

func TestAFormThatIsForgottenTakesNoMemory(t *testing.T) {
	t.Parallel()
	s := stepThrough(t, startServer(t, nil).ClientURL())
	room := topicOf(s.feed, "room")
	var forms []weak.Pointer[pool.Topic]
	for i := range 100 {
		form := formOf(s.feed, room, "feed.f.room."+strconv.Itoa(i))
		forms = append(forms, weak.Make(form))
		if i%2 == 0 {
			s.publish(form, i)
		} else if !takerOf(s.feed).Take(eventOf(form, "taken")) {
			t.Fatal("it is not taken")
		}
	}
	s.until("that is confirmed", idle, s.confirmed)
	runtime.GC()
	kept := 0
	for _, form := range forms {
		if form.Value() != nil {
			kept++
		}
	}
	if kept > 0 {
		t.Errorf("%d of %d forms are kept", kept, len(forms))
	}
	runtime.KeepAlive(s)
}
