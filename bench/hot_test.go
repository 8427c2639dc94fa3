package main

import (
	"encoding/json"
	"testing"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sink"
	"feedmux/pool"
)

// usual is a MESSAGE of a usual length, 309 bytes.
const usual = `{"type":"MESSAGE","data":{"topic":"community-points-user-v1.29961813","message":"` +
	`{\"type\":\"active-multipliers-updated\",\"data\":{\"timestamp\":\"2022-08-17T19:16:57.70052134Z\",` +
	`\"active_multipliers\":{\"user_id\":\"29961813\",\"channel_id\":\"40289063\",` +
	`\"multipliers\":[{\"reason_code\":\"SUB_T1\"}]}}}"}}`

const (
	perBurst = 100  // as one read from the network brings them
	perRound = 1000 // events that a Core without a publisher takes before its readers begin to pause
	bound    = 0.3  // of what encoding/json takes
)

// hot is the path of an event from its frame to the buffer of a real Core. Nothing empties that buffer, so each round
// begins with another Core.
type hot struct {
	frame   []byte
	session protocol.Session
	out     protocol.Out
	batch   pool.Batch
	topic   pool.Topic
	event   pool.Event
	n       int
}

func newHot() *hot {
	return &hot{frame: []byte(usual), session: pubsub.New(pubsub.Options{}).Open(protocol.Endpoint{})}
}

func (h *hot) begin() {
	feed := sink.NewCore(sink.Options{Buffer: 16 << 20}).Feed("twitch")
	h.topic = pool.Topic{Name: "community-points-user-v1.29961813", Subject: "feed.twitch.community-points-user-v1.29961813"}
	feed.Topic(&h.topic)
	h.batch = feed.Batch()
	h.n = 0
}

// one carries one event, as a reader does.
func (h *hot) one() (ok bool) {
	h.out.Reset()
	if h.session.Message(protocol.Text, h.frame, &h.out) != nil || len(h.out.Events) != 1 {
		return false
	}
	h.n++
	h.event = pool.Event{Topic: &h.topic, Payload: h.out.Events[0].Payload, Life: 1, Seq: uint64(h.n)}
	h.batch.Add(&h.event)
	if h.n%perBurst == 0 {
		h.batch.Flush()
	}
	return true
}

// A buffer that fills takes a chunk for a hundred events; beside that nothing is allocated.
func TestNothingIsAllocatedForAnEventOnItsWayToTheBuffer(t *testing.T) {
	if len(usual) != 309 {
		t.Fatalf("the frame has %d bytes", len(usual))
	}
	h := newHot()
	h.begin()
	if n := testing.AllocsPerRun(perRound, func() {
		if !h.one() {
			t.Fatal("no event")
		}
	}); n != 0 {
		t.Errorf("%v allocations for each event", n)
	}
}

// BenchmarkHotPath compares the path with encoding/json, which only reads the same frame: in turn, so that both meet
// the same noise.
func BenchmarkHotPath(b *testing.B) {
	h := newHot()
	var ours, theirs time.Duration
	rounds := 0
	for b.Loop() {
		h.begin()
		start := time.Now()
		for range perRound {
			if !h.one() {
				b.Fatal("no event")
			}
		}
		middle := time.Now()
		for range perRound {
			var m struct {
				Type string
				Data struct{ Topic, Message string }
			}
			if err := json.Unmarshal(h.frame, &m); err != nil || m.Data.Topic == "" {
				b.Fatal(err)
			}
		}
		ours += middle.Sub(start)
		theirs += time.Since(middle)
		rounds++
	}
	ratio := float64(ours) / float64(theirs)
	b.ReportMetric(ratio, "×json")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(rounds*perRound), "ns/event")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(rounds*perRound), "json-ns/event")
	b.ReportMetric(0, "ns/op") // of a round: says nothing
	if ratio > bound {
		b.Errorf("an event costs %.2f of encoding/json, more than %.1f", ratio, bound)
	}
}
