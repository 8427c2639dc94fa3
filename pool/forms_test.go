package pool

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/conn"
	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// moody is PubSub with topics that have a mode, which can be changed without asking anew.
type moody struct {
	protocol.Protocol
	mu    *sync.Mutex
	modes map[shard.Topic][]any // that sessions were told of
	anew  bool                  // after all, it must be asked anew
}

func (m moody) Open(e protocol.Endpoint) protocol.Session {
	return &moodySession{m.Protocol.Open(e), m, make(map[shard.Topic]bool)}
}

type moodySession struct {
	protocol.Session
	of    moody
	asked map[shard.Topic]bool
}

func (s *moodySession) Change(add []protocol.Topic, drop []shard.Topic, out *protocol.Out) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	var fresh []protocol.Topic
	for _, t := range add {
		s.of.modes[t.Name] = append(s.of.modes[t.Name], t.Options)
		if !s.asked[t.Name] || s.of.anew {
			fresh = append(fresh, t)
		}
		s.asked[t.Name] = true
	}
	if len(fresh)+len(drop) > 0 {
		s.Session.Change(fresh, drop, out)
	}
}

func inMode(mode any, n int) []shard.Wanted {
	list := topics(n)
	for i := range list {
		list[i].Options = mode
	}
	return list
}

func TestAChangedModeReachesTheSessionAndTheSubjectWhileTheTopicIsConfirmed(t *testing.T) {
	for _, anew := range []bool{false, true} {
		t.Run(fmt.Sprintf("asked anew is %v", anew), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := moody{pubsub.New(pubsub.Options{URL: "ws://upstream.test"}), new(sync.Mutex), make(map[shard.Topic][]any), anew}
				s := play(t, twitch.PubSubOptions{}, inMode("quote", 3), func(o *Options) {
					oneConnection(o)
					o.Conn.Protocol = p
					o.Subject = func(w shard.Wanted) (string, error) { return fmt.Sprintf("feed.%v.%s", w.Options, w.Topic), nil }
					o.Note = func(old, new any) string {
						if old == nil {
							return ""
						}
						return fmt.Sprintf("from %v to %v", old, new)
					}
				})
				s.confirmed(3, time.Minute)
				time.Sleep(time.Minute)
				s.sink.take()
				before := s.topic("video-playback-by-id.0")

				s.pool.Want(append(inMode("full", 1), inMode("quote", 3)[1:]...))
				time.Sleep(5 * time.Second)
				after := s.topic("video-playback-by-id.0")
				if after.State != topic.Confirmed || after.Subject != "feed.full.video-playback-by-id.0" || after.Since.Equal(before.Since) == anew {
					t.Errorf("%+v; before %+v", after, before)
				}
				if len(s.net.Dials()) != 1 {
					t.Errorf("%d dials", len(s.net.Dials()))
				}
				_, notices := s.sink.take()
				var gaps, notes int
				for _, n := range notices {
					gaps += strings.Count(n.subject, "feedmux.gap.")
					notes += strings.Count(n.body, `"state":"confirmed","by":"ack"`) * strings.Count(n.body, "from quote to full")
				}
				if notes != 1 || (gaps > 0) != anew {
					t.Errorf("%d notes, %d notices of gaps: %+v", notes, gaps, notices)
				}
				if got := s.status().Counters.Gaps[cause.Moved]; (got == 1) != anew {
					t.Errorf("%d gaps", got)
				}
				p.mu.Lock()
				defer p.mu.Unlock()
				if got := p.modes["video-playback-by-id.0"]; !slices.Equal(got, []any{"quote", "full"}) {
					t.Errorf("the session was told %v", got)
				}
				if got := p.modes["video-playback-by-id.1"]; !slices.Equal(got, []any{"quote"}) {
					t.Errorf("of another the session was told %v", got)
				}
			})
		})
	}
}

// still is a pool that does not run: its loop's work is done by the test. Its log goes to out.
func still(t *testing.T, change func(*Options)) (p *Pool, sink *memory, out *bytes.Buffer) {
	sink, out = &memory{}, &bytes.Buffer{}
	o := testOptions(t, sink, sim.NewNetwork())
	o.Log = slog.New(slog.NewTextHandler(out, nil))
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.opts.Conn.Connections {
		p.conns = append(p.conns, conn.New(&p.opts.Conn, p.connSettings, shard.Slot(i), p.news, time.Now()))
		p.slots[i].Slot = shard.Slot(i)
	}
	return p, sink, out
}

func TestWhatIsSaidOfAnOlderFormIsTheTopicsButForARefusal(t *testing.T) {
	now := time.Now()
	p, _, _ := still(t, nil)
	p.onWant(inMode("quote", 1), now)
	old := p.ledger.Records()[0].Topic
	p.onWant(inMode("full", 1), now)
	r := p.ledger.Records()[0]
	if r.Topic == old || p.sent[0][0] != r.Topic {
		t.Fatal("the slot has no order with the other options")
	}
	say := func(s topic.State) {
		p.onNews(slots.TopicNews{News: topic.News{Topics: []*topic.Topic{old}, State: s, By: topic.ByAssumed, At: now}}, now)
	}
	if say(topic.Refused); r.State != topic.Assigned {
		t.Errorf("refused with its old options: %s", r.State)
	}
	if say(topic.Confirmed); r.State != topic.Confirmed || r.By != topic.ByAssumed {
		t.Errorf("confirmed with its old options: %s by %q", r.State, r.By)
	}
}

func TestALifeToComeThatTakesFewerTopicsHasTheMostWanted(t *testing.T) {
	now := time.Now()
	p, _, _ := still(t, func(o *Options) {
		connections(o, 1)
		o.TopicsPerConnection = 10
	})
	wanted := append(named("cheap", 3, -1), named("dear", 7, 1)...)
	p.onWant(wanted, now)
	say := func(news slots.News) {
		t.Helper()
		now = now.Add(time.Second)
		p.onNews(news, now)
		p.onTime(now.Add(gatherRefusals))
	}
	state := func(life int, s slots.State) slots.News { return slots.StateNews{Life: life, State: s, At: now} }
	capacity := func(want, sent int) {
		t.Helper()
		if got := p.status(false); got.Capacity != want || len(p.sent[0]) != sent || got.Topics.Unplaced != 10-sent {
			t.Errorf("capacity %d, want %d; %d topics have a place, want %d", got.Capacity, want, len(p.sent[0]), sent)
		}
	}
	say(state(3, slots.Live))
	say(slots.TopicNews{News: topic.News{Topics: p.sent[0], State: topic.Confirmed, By: topic.ByAssumed, At: now}})
	say(slots.FullNews{Life: 4, Capacity: 8}) // the life that was full has not said yet that it ended
	capacity(8, 8)
	for _, r := range p.ledger.Records() {
		if r.State == topic.Unplaced && (r.Priority != -1 || !strings.Contains(r.Reason, "upstream takes no more")) {
			t.Errorf("%s has no place: %q", r.Name, r.Reason)
		}
	}
	say(slots.LifeEnded{Life: 3, Cause: cause.RateLimited, LastFrame: now})
	capacity(8, 8)
	say(state(3, slots.Waiting))
	say(state(3, slots.Dialing))
	say(state(4, slots.Opening))
	say(state(4, slots.Live))
	capacity(8, 8)
	say(slots.LifeEnded{Life: 5, Replaced: true, LastFrame: now}) // it was to take over
	capacity(8, 8)
	say(slots.LifeEnded{Life: 4, Cause: cause.Reset, LastFrame: now})
	capacity(10, 10)

	say(slots.FullNews{Life: 5, Capacity: 9})
	capacity(9, 9)
	say(state(6, slots.Live)) // another one serves
	capacity(10, 10)
}

func TestWordsOfTheUpstreamAreToldAtABoundedRate(t *testing.T) {
	now := time.Now()
	p, sink, out := still(t, nil)
	say := func(slot shard.Slot, kind string) {
		p.onNews(slots.WordsNews{Slot: slot, Life: 2, Kind: kind, Text: "too much", At: now}, now)
	}
	for range 100 {
		say(1, "error")
	}
	say(0, "message")
	_, notices := sink.take()
	if len(notices) != wordsBurst+1 || strings.Count(out.String(), "\n") != 101 {
		t.Fatalf("%d notices, the log:\n%s", len(notices), out)
	}
	want := fmt.Sprintf(`{"feed":"f","slot":1,"life":2,"kind":"error","text":"too much","at":%q}`, now.UTC().Format(time.RFC3339Nano))
	if n := notices[0]; n.subject != "feedmux.feed.f." || n.body != want {
		t.Errorf("%s %s, want %s", n.subject, n.body, want)
	}
	if log := out.String(); !strings.Contains(log, `level=WARN msg="the upstream says" feed=f slot=1 life=2 kind=error text="too much"`) ||
		!strings.Contains(log, "level=INFO") {
		t.Errorf("the log: %s", log)
	}
	now = now.Add(wordsEvery)
	say(1, "error")
	if _, notices = sink.take(); len(notices) != 1 || !strings.Contains(notices[0].body, fmt.Sprintf(`"withheld":%d`, 100-wordsBurst)) {
		t.Errorf("%+v", notices)
	}
}

func TestAGapThatIsOverIsAnnouncedOfTheTopicsInItsSlot(t *testing.T) {
	now := time.Now()
	p, sink, _ := still(t, func(o *Options) { o.TopicsPerConnection = 2 })
	p.onWant(topics(4), now)
	for slot := range shard.Slot(2) {
		p.onNews(slots.TopicNews{Slot: slot, News: topic.News{Topics: p.sent[slot], State: topic.Confirmed, By: topic.ByAck, At: now}}, now)
	}
	sink.take()
	p.onNews(slots.GapNews{Slot: 1, From: now, To: now.Add(time.Second), Cause: cause.NATSBroke, At: slots.AtDelivery, Filled: topic.Filled{All: true}}, now)
	_, notices := sink.take()
	for _, n := range notices {
		if !strings.Contains(n.body, `"cause":"nats_broke","at":"delivery","filled":"all"`) {
			t.Errorf("%s", n.body)
		}
	}
	if len(notices) != 2 {
		t.Errorf("%d notices, want 2", len(notices))
	}
}

func TestAClosedGapHasWhatWasFilledOfIt(t *testing.T) {
	now := time.Now()
	p, sink, _ := still(t, nil)
	p.onWant(topics(1), now)
	say := func(filled topic.Filled, at time.Time) {
		p.onNews(slots.TopicNews{News: topic.News{Topics: p.sent[0], State: topic.Confirmed, By: topic.ByAck, At: at, Filled: filled}}, at)
	}
	say(topic.Filled{}, now)
	p.onNews(slots.LifeEnded{Cause: cause.Reset, LastFrame: now}, now)
	sink.take()
	say(topic.Filled{To: now.Add(time.Second)}, now.Add(time.Minute))
	_, notices := sink.take()
	to := now.Add(time.Second).UTC().Format(time.RFC3339Nano)
	if len(notices) != 1 || !strings.Contains(notices[0].body, fmt.Sprintf(`"filled":"part","filled_to":%q`, to)) {
		t.Errorf("%+v", notices)
	}
}

// odd is PubSub whose every message contradicts itself.
type odd struct{ protocol.Protocol }

type oddSession struct{ protocol.Session }

func (p odd) Open(e protocol.Endpoint) protocol.Session { return oddSession{p.Protocol.Open(e)} }

func (s oddSession) Message(kind protocol.Kind, msg []byte, out *protocol.Out) error {
	err := s.Session.Message(kind, msg, out)
	for _, e := range out.Events {
		out.Oddities = append(out.Oddities, protocol.Oddity{Kind: "high_below_low", Topic: e.Topic})
	}
	return err
}

// shared is a log that the test reads while the pool writes.
type shared struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

func (s *shared) take() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.out.String()) {
		if strings.Contains(line, "contradict") {
			lines = append(lines, line)
		}
	}
	s.out.Reset()
	return lines
}

func TestEventsThatContradictThemselvesAreCountedAndLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log shared
		s := play(t, twitch.PubSubOptions{}, topics(1), func(o *Options) {
			oneConnection(o)
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			o.Conn.Protocol = odd{pubsub.New(pubsub.Options{URL: "ws://upstream.test"})}
		})
		s.confirmed(1, 10*time.Second)
		s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 10 })
		time.Sleep(10 * time.Minute)
		got := s.status().Counters
		if n := got.Odd["high_below_low"]; n < 100 || n != got.Events {
			t.Errorf("%v odd events of %d", got.Odd, got.Events)
		}
		lines := log.take()
		if len(lines) < 9 || len(lines) > 10 {
			t.Errorf("%d lines in ten minutes", len(lines))
		}
		for _, line := range lines {
			if !strings.Contains(line, "more=map[high_below_low:") || !strings.Contains(line, "for_example=map[high_below_low:video-playback-by-id.0]") {
				t.Errorf("%s", line)
			}
		}
		s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
		time.Sleep(2 * oddEvery)
		log.take()
		if time.Sleep(10 * time.Minute); len(log.take()) > 0 {
			t.Error("it goes on though nothing odd comes")
		}
	})
}

// narrator is PubSub that tells of orders.
type narrator struct{ protocol.Protocol }

func (narrator) Asides() []shard.Topic { return []shard.Topic{"order"} }

// witness is a Sink that remembers the topics that it was told of.
type witness struct {
	memory
	told []*topic.Topic
}

func (w *witness) Topic(t *Topic) { w.told = append(w.told, t) }

func TestWhatAProtocolTellsBesideItsTopicsIsATopicOfTheSink(t *testing.T) {
	sink := &witness{}
	p, _, _ := still(t, func(o *Options) {
		o.Sink, o.Conn.Protocol = sink, narrator{o.Conn.Protocol}
	})
	order := p.opts.Conn.Asides["order"]
	if order == nil || order.Name != "order" || len(p.opts.Conn.Asides) != 1 || !slices.Equal(sink.told, []*topic.Topic{order}) {
		t.Fatalf("asides %v, the sink was told of %v", p.opts.Conn.Asides, sink.told)
	}
	for slot := range shard.Slot(3) {
		if !order.CarriedBy(slot) {
			t.Errorf("what slot %d brings of it is nobody's", slot)
		}
	}
	if got := p.status(true); got.Topics.Wanted != 0 {
		t.Errorf("it is wanted: %+v", got.Topics)
	}
}
