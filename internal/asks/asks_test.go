package asks

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// session is a Life that says what PubSub says.
type session struct{ protocol.Session }

func (s session) Change(add []*topic.Topic, drop []shard.Topic, out *protocol.Out) {
	var asked []protocol.Topic
	for _, t := range add {
		asked = append(asked, protocol.Topic{Name: t.Name, Options: t.Options})
	}
	s.Session.Change(asked, drop, out)
}

func (session) Rename(*topic.Topic) {}
func (session) Forget(shard.Topic)  {}
func (session) Listen(shard.Topic)  {}

// asksOf are the asks of a new life that was given n topics.
func asksOf(n int) (*Asks, Life, []*topic.Topic) {
	l := session{pubsub.New(pubsub.Options{}).Open(protocol.Endpoint{})}
	a := New(20, limiter.Window{N: 10, Per: time.Second}, &Culprits{})
	var topics []*topic.Topic
	for i := range n {
		topics = append(topics, &topic.Topic{Name: shard.Topic(fmt.Sprintf("video-playback-by-id.%d", i))})
	}
	a.Want(topics, l)
	return a, l, topics
}

// writeAll writes what is due.
func (a *Asks) writeAll(l Life, now time.Time) (frames []*Frame) {
	for {
		f, sent := a.Next(l, now)
		if f == nil {
			return frames
		}
		sent()
		a.Written(f, now)
		frames = append(frames, f)
	}
}

func verdictOn(t *topic.Topic, v protocol.Verdict) protocol.Settlement {
	return protocol.Settlement{Topics: []shard.Topic{t.Name}, Verdict: v}
}

func TestWantTellsAllThatIsKnownOfTheTopicsAndNothingElse(t *testing.T) {
	now := time.Now()
	a, l, topics := asksOf(5)
	a.writeAll(l, now)
	a.Settle(verdictOn(topics[0], protocol.Confirmed), l, now)
	a.ByEvent(topics[1:2], now)
	a.Settle(verdictOn(topics[2], protocol.Refused), l, now)
	a.Settle(verdictOn(topics[3], protocol.Again), l, now)
	again := &topic.Topic{Name: topics[0].Name} // it was removed and is wanted again
	known := a.Want(append([]*topic.Topic{again}, append(topics[1:], &topic.Topic{Name: "new.1"})...), l)
	got := make(map[*topic.Topic]string)
	for _, n := range known {
		for _, t := range n.Topics {
			got[t] = fmt.Sprint(n.State, " ", n.By)
		}
	}
	want := map[*topic.Topic]string{again: "confirmed ack", topics[1]: "confirmed event", topics[4]: "asked "}
	if !maps.Equal(got, want) {
		t.Errorf("known: %v, want %v", got, want)
	}
}

func TestWhatWasEverWrittenIsGivenUpByNameUnlessItWasRefused(t *testing.T) {
	now := time.Now()
	for _, row := range []struct {
		name    string
		written bool
		verdict []protocol.Verdict // none or one
		want    bool
	}{
		{"never asked for", false, nil, false},
		{"asked for", true, nil, true},
		{"confirmed", true, []protocol.Verdict{protocol.Confirmed}, true},
		{"refused in a batch", true, []protocol.Verdict{protocol.Split}, true},
		{"failed", true, []protocol.Verdict{protocol.Again}, true},
		{"refused", true, []protocol.Verdict{protocol.Refused}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, l, topics := asksOf(1)
			if row.written {
				a.writeAll(l, now)
			}
			for _, v := range row.verdict {
				a.Settle(verdictOn(topics[0], v), l, now)
			}
			a.Want(nil, l)
			if got := len(a.drops) == 1; got != row.want {
				t.Errorf("given up: %v, want %v", a.drops, row.want)
			}
		})
	}
}

func TestTopicsThatAreGivenUpAndWantedAgainAreGivenUpFirst(t *testing.T) {
	now := time.Now()
	a, l, topics := asksOf(25) // more than a batch
	a.writeAll(l, now)
	a.Want(nil, l)
	a.Want(topics, l)
	listening := make(map[string]bool)
	for _, f := range a.writeAll(l, now) {
		var ask struct {
			Type string
			Data struct{ Topics []string }
		}
		if err := json.Unmarshal(f.Payload, &ask); err != nil {
			t.Fatal(err)
		}
		for _, name := range ask.Data.Topics {
			listening[name] = ask.Type == "LISTEN"
		}
	}
	for _, topic := range topics {
		if !listening[string(topic.Name)] {
			t.Errorf("the last word on %s is not LISTEN", topic.Name)
		}
	}
}

func TestAVerdictIsTakenOnlyForAnAskThatAwaitsIt(t *testing.T) {
	verdicts := []protocol.Verdict{protocol.Confirmed, protocol.Refused, protocol.Split, protocol.Again}
	for _, row := range []struct {
		name string
		ask  ask
		want []protocol.Verdict
	}{
		{"not asked for", ask{state: topic.Assigned}, nil},
		{"about to be asked for", ask{state: topic.Assigned, queued: true}, []protocol.Verdict{protocol.Refused}},
		{"asked for", ask{state: topic.Asked}, verdicts},
		{"confirmed by an event", ask{state: topic.Confirmed, by: topic.ByEvent}, verdicts},
		{"confirmed", ask{state: topic.Confirmed, by: topic.ByAck}, []protocol.Verdict{protocol.Refused}},
		{"refused", ask{state: topic.Refused}, nil},
	} {
		for _, v := range verdicts {
			if got := row.ask.awaits(v); got != slices.Contains(row.want, v) {
				t.Errorf("%s: verdict %v is taken: %v", row.name, v, got)
			}
		}
	}
}

func TestAnEventForATopicThatWasReplacedConfirmsNothing(t *testing.T) {
	now := time.Now()
	a, l, topics := asksOf(1)
	a.Want([]*topic.Topic{{Name: topics[0].Name}}, l)
	a.writeAll(l, now)
	if news := a.ByEvent(topics, now); news != nil {
		t.Errorf("confirmed: %+v", news)
	}
}

func TestPingsThatWaitForTheRateDoNotPileUp(t *testing.T) {
	a, l, _ := asksOf(1)
	for range 5 {
		a.Ping(l)
	}
	frames := a.writeAll(l, time.Now())
	if len(frames) != 2 || !frames[0].Ping || frames[1].Ping {
		t.Errorf("%d messages were written, want a ping and then an ask", len(frames))
	}
}

func TestAnAskThatWaitsForItsAnswerIsRepeatedOnceTheTimeIsOver(t *testing.T) {
	now := time.Now()
	a, l, _ := asksOf(3)
	for try := range askTries {
		if n := len(a.writeAll(l, now)); n != 1 {
			t.Fatalf("try %d: %d messages, want 1", try, n)
		}
		if wake := a.Wake(); !wake.Equal(now.Add(answerWithin)) {
			t.Errorf("try %d: next look after %v, want %v", try, wake.Sub(now), answerWithin)
		}
		if n := len(a.writeAll(l, now.Add(answerWithin-1))); n != 0 || a.Unanswered(now.Add(answerWithin-1)) {
			t.Errorf("try %d: asked again before the time was over", try)
		}
		now = now.Add(answerWithin)
	}
	if len(a.writeAll(l, now)) != 0 || !a.Unanswered(now) {
		t.Error("the patience does not end")
	}
}
