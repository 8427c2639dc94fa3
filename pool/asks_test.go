package pool

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/conn"
	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// named are n wanted topics of one kind.
func named(kind string, n, priority int) []shard.Wanted {
	list := make([]shard.Wanted, n)
	for i := range list {
		list[i] = shard.Wanted{Topic: shard.Topic(fmt.Sprintf("%s.%d", kind, i)), Priority: priority}
	}
	return list
}

// tacit is a protocol that has no word for giving a topic up.
type tacit struct{ protocol.Protocol }

type tacitSession struct{ protocol.Session }

func (p tacit) Open(e protocol.Endpoint) protocol.Session { return tacitSession{p.Protocol.Open(e)} }

func (s tacitSession) Change(add []protocol.Topic, _ []shard.Topic, out *protocol.Out) {
	s.Session.Change(add, nil, out)
}

func TestTopicsThatAreGivenUpWithoutAWordDoNotDelayTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{TopicsPerConnection: -1}, topics(50), func(o *Options) {
			oneConnection(o)
			o.Conn.Protocol = tacit{pubsub.New(pubsub.Options{URL: "ws://upstream.test"})}
		})
		s.confirmed(50, time.Minute)
		time.Sleep(time.Minute)
		s.pool.Want(named("other", 50, 0))
		synctest.Wait()
		s.confirmed(50, 5*time.Second)
	})
}

func TestTopicsThatAreRefusedUnaskedDoNotDelayTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := append(named("whispers", 45, 1), topics(5)...) // a token is needed, and there is none
		s := play(t, twitch.PubSubOptions{}, wanted, oneConnection)
		s.confirmed(5, time.Second)
		if got := s.status().Topics; got.Refused != 45 {
			t.Errorf("%+v", got)
		}
	})
}

func TestATopicThatTheUpstreamFailedToTakeIsStillGivenUpByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{ServerErrors: 1}, topics(2), oneConnection)
		time.Sleep(time.Second)
		s.pool.Want(topics(1))
		time.Sleep(time.Second)
		if asks := s.up.Conns()[0].Asks; !slices.ContainsFunc(asks, func(a twitch.Ask) bool {
			return a.Type == "UNLISTEN" && slices.Equal(a.Topics, []string{"video-playback-by-id.1"})
		}) {
			t.Errorf("asks: %+v", asks)
		}
	})
}

func TestThePlacesOfManyRefusedTopicsAreGivenAwayTogether(t *testing.T) {
	const refused = 40
	p, err := New(testOptions(t, &memory{}, sim.NewNetwork())) // not run: its loop's work is done here
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range p.opts.Conn.Connections {
		p.conns = append(p.conns, conn.New(&p.opts.Conn, p.connSettings, shard.Slot(i), p.news, now))
	}
	p.onWant(topics(1000), now)
	changes := 0
	for i, name := range p.sent[0][:refused] {
		before := p.sent[0]
		at := now.Add(time.Duration(i) * gatherRefusals / refused)
		p.onNews(slots.TopicNews{Slot: 0, News: topic.News{Topics: []*topic.Topic{name}, State: topic.Refused, At: at}}, at)
		p.onTime(at)
		if &before[0] != &p.sent[0][0] {
			changes++
		}
	}
	if changes != 0 {
		t.Errorf("%d refusals changed the places %d times", refused, changes)
	}
	if wake := p.onTime(now); !wake.Equal(now.Add(gatherRefusals)) {
		t.Errorf("the places are given away %v after the first refusal, want %v", wake.Sub(now), gatherRefusals)
	}
	before := p.sent[0][0]
	p.onTime(now.Add(gatherRefusals))
	if n := len(p.sent[0]); n != 50 || p.sent[0][0] == before {
		t.Errorf("after that the slot has %d topics, the first refused one among them: %v", n, p.sent[0][0] == before)
	}
	if p.ledger.Count(topic.Refused) != refused || p.ledger.Count(topic.Unplaced) != 500-refused {
		t.Errorf("%d are refused, %d unplaced", p.ledger.Count(topic.Refused), p.ledger.Count(topic.Unplaced))
	}
}
