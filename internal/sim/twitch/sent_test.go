package twitch

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTakeSentIsWhatTheClientsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate, o.Duplicate, o.Unknown, o.Spaces, o.Record, o.OversizeBytes = 100, 0.1, 0.1, true, true, 4000
		s, n := start(t, o)
		var clients []*rawClient
		topics := []string{"hype-train-events-v1.1", `odd "topic"`, "raid.1", "community-points-user-v1.2"}
		for range 4 {
			c := join(t, n)
			c.ask("LISTEN", "a", "token", topics...)
			synctest.Wait()
			clients = append(clients, c)
		}
		s.SetLag(2, 2*time.Second)
		s.StarveConn(3)
		time.Sleep(2*time.Second + time.Millisecond)
		s.Mute(4)
		s.Oversize(1)
		time.Sleep(3 * time.Second)

		type line struct {
			event
			at time.Time
		}
		read, sent := map[int][]line{}, map[int][]line{}
		for i, c := range clients {
			var got []received
			for _, r := range c.take() {
				if strings.Contains(r.payload, "MESSAGE") {
					got = append(got, r)
				}
			}
			for k, e := range events(t, got) {
				read[i+1] = append(read[i+1], line{e, got[k].at})
			}
		}
		list, whole := s.TakeSent()
		if !whole {
			t.Error("some were not recorded")
		}
		for _, e := range list {
			sent[e.Conn] = append(sent[e.Conn], line{event{e.Topic, e.Body, e.N}, e.At})
		}
		if !reflect.DeepEqual(read, sent) {
			t.Errorf("read %d, %d, %d, %d; on record %d, %d, %d, %d", len(read[1]), len(read[2]), len(read[3]), len(read[4]),
				len(sent[1]), len(sent[2]), len(sent[3]), len(sent[4]))
		}
		if len(read[1]) < 500 || len(read[2]) < 300 || len(read[3]) > 10 || len(read[4]) > 300 {
			t.Errorf("read %d, %d, %d, %d", len(read[1]), len(read[2]), len(read[3]), len(read[4]))
		}
		numbers, long := map[string]uint64{}, 0
		for _, e := range sent[1] { // equal bodies are one event
			if n, known := numbers[e.topic+e.body]; known && n != e.n {
				t.Errorf("events %d and %d of %s are equal", n, e.n, e.topic)
			}
			numbers[e.topic+e.body] = e.n
			if len(e.body) > 3500 {
				long++
			}
		}
		if long != 1 {
			t.Errorf("%d long events", long)
		}
		if list, whole := s.TakeSent(); len(list) != 0 || !whole {
			t.Error("what was taken is not forgotten")
		}
	})
}

func TestNothingIsRecordedUnlessAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate = 10
		s, n := start(t, o)
		c := join(t, n)
		c.ask("LISTEN", "a", "", "raid.1")
		time.Sleep(time.Second)
		if list, whole := s.TakeSent(); len(list) != 0 || !whole || len(c.take()) < 10 {
			t.Errorf("%d events", len(list))
		}
	})
}

func TestRecordOfWhatWasSentIsBounded(t *testing.T) {
	s := NewPubSub(PubSubOptions{})
	body := strings.Repeat("x", 1<<20)
	for range 300 {
		s.sent.add(SentEvent{Body: body})
	}
	s.sent.add(SentEvent{}) // would fit, but then there were a hole
	if list, whole := s.TakeSent(); len(list) != 255 || whole {
		t.Errorf("%d events kept, whole: %v", len(list), whole)
	}
	s.sent.add(SentEvent{})
	if list, whole := s.TakeSent(); len(list) != 1 || !whole {
		t.Errorf("afterwards %d events, whole: %v", len(list), whole)
	}
}

func TestConnectionKeepsWhenItListenedToWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.ResponseDelay = 5 * time.Second
		s, n := start(t, o)
		began := time.Now()
		c := join(t, n)
		c.ask("LISTEN", "1", "", "raid.1", "raid.2")
		synctest.Wait()
		time.Sleep(time.Second)
		c.ask("LISTEN", "2", "", "raid.1", "raid.3") // the first is no news
		c.ask("UNLISTEN", "3", "", "raid.1", "raid.9")
		synctest.Wait()
		time.Sleep(time.Second)
		c.ask("LISTEN", "4", "", "raid.1")
		synctest.Wait()
		time.Sleep(4 * time.Second)
		s.Revoke(1, "raid.2")
		open := s.Conns()[0].Listens
		time.Sleep(time.Second)
		s.Reset(1)
		at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
		want := []Listen{
			{"raid.1", at(0), at(1)}, {"raid.2", at(0), at(6)}, {"raid.3", at(1), at(7)}, {"raid.1", at(2), at(7)},
		}
		if got := s.Conns()[0].Listens; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if len(open) != 4 || !open[3].To.IsZero() || open[1].To.IsZero() {
			t.Errorf("while it was open: %v", open)
		}
	})
}
