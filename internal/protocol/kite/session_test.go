package kite

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/internal/protocol/protocoltest"
	"feedmux/shard"
)

func TestTranscripts(t *testing.T) {
	for glob, o := range map[string]Options{
		"testdata/*.txt":       {},
		"testdata/drop/*.txt":  {DropInvalid: true},
		"testdata/frame/*.txt": {Frame: true},
	} {
		o.Token = func(context.Context) (string, error) { return "s3cret", nil }
		protocoltest.Run(t, apart{New(o)}, glob, readTopic)
	}
}

// apart gives each session order updates of its own: twins are to hear the same.
type apart struct{ *Protocol }

func (p apart) Open(e protocol.Endpoint) protocol.Session {
	s := p.Protocol.Open(e).(*session)
	s.orders = newOrders()
	return s
}

// readTopic makes a topic of "408065", "408065/full" or "NSE:INFY=408065/full"; "RAW" has no options.
func readTopic(word string) protocol.Topic {
	if word == "RAW" {
		return protocol.Topic{Name: "RAW"}
	}
	word, mode, _ := strings.Cut(word, "/")
	name, token, ok := strings.Cut(word, "=")
	if !ok {
		token = name
	}
	m, ok := ParseMode(mode)
	n, err := strconv.ParseUint(token, 10, 32)
	if err != nil || !ok {
		panic(word)
	}
	return protocol.Topic{Name: shard.Topic(name), Options: Instrument{Token: uint32(n), Mode: m}}
}

func topics(words ...string) (list []protocol.Topic) {
	for _, w := range words {
		list = append(list, readTopic(w))
	}
	return list
}

func open(o Options) *session { return New(o).Open(protocol.Endpoint{}).(*session) }

func change(s *session, add []protocol.Topic, drop ...shard.Topic) *protocol.Out {
	var out protocol.Out
	s.Change(add, drop, &out)
	return &out
}

// said is what frames say, with what they await in brackets.
func said(out *protocol.Out) (list []string) {
	for _, f := range out.Frames {
		line := string(f.Payload)
		if f.Asks != nil {
			line += fmt.Sprint(" ", f.Asks)
		}
		list = append(list, line)
	}
	return list
}

func TestNamesThatSwapTheirInstrumentsAreAskedForAnew(t *testing.T) {
	s := open(Options{})
	change(s, topics("A=257", "B=513"))
	out := change(s, topics("A=513", "B=257"))
	want := []string{`{"a":"unsubscribe","v":[257,513]}`, `{"a":"subscribe","v":[513,257]} [A B]`}
	if got := said(out); !slices.Equal(got, want) || len(out.Settled) > 0 {
		t.Errorf("%q, %v", got, out.Settled)
	}
}

func TestATopicThatLosesItsInstrumentEndsAndIsRefused(t *testing.T) {
	s := open(Options{})
	change(s, topics("A=257"))
	out := change(s, []protocol.Topic{{Name: "A", Options: Instrument{Problem: "is gone"}}})
	if got := said(out); !slices.Equal(got, []string{`{"a":"unsubscribe","v":[257]}`}) {
		t.Errorf("%q", got)
	}
	if len(out.Settled) != 1 || out.Settled[0].Verdict != protocol.Refused || out.Settled[0].Reason != "is gone" {
		t.Errorf("%v", out.Settled)
	}
	if out := change(s, nil, "A"); len(out.Frames) > 0 {
		t.Errorf("ended twice: %q", said(out))
	}
}

// A new list gives names tokens that others had. What it says comes in several changes, in whatever order: a newcomer may
// be told of before the name that had its token.
func TestANewcomerTakesTheInstrumentThatItsListGivesIt(t *testing.T) {
	s := open(Options{})
	change(s, topics("B=513/full"))
	out := change(s, topics("C=513"))
	want := []string{`{"a":"unsubscribe","v":[513]}`, `{"a":"subscribe","v":[513]} [C]`}
	if got := said(out); !slices.Equal(got, want) || len(out.Settled) > 0 {
		t.Errorf("%q, %v", got, out.Settled)
	}
	if out := hear(s, frame(ltp(513, 5))); len(out.Events) != 1 || string(out.Events[0].Topic) != "C" {
		t.Errorf("%q", out.Events)
	}
	out = change(s, topics("B=769/full"))
	want = []string{`{"a":"subscribe","v":[769]}`, `{"a":"mode","v":["full",[769]]} [B]`}
	if got := said(out); !slices.Equal(got, want) || len(out.Settled) > 0 {
		t.Errorf("%q, %v", got, out.Settled)
	}
	if out := change(s, nil, "B", "C"); len(out.Frames) != 1 || !strings.Contains(said(out)[0], "[769,513]") {
		t.Errorf("%q", said(out))
	}
}

func TestNamesThatEachTakeTheNextOnesInstrumentAllGetTheirs(t *testing.T) {
	const n, batch = 1200, 500
	there := upstream{}
	s := open(Options{})
	for shift := range uint32(2) {
		var add []protocol.Topic
		for i := range uint32(n) {
			name := shard.Topic(fmt.Sprintf("NSE:%d", i))
			add = append(add, protocol.Topic{Name: name, Options: Instrument{Token: (i+shift)<<8 | 1}})
		}
		asked := 0
		for some := range slices.Chunk(add, batch) {
			out := change(s, some)
			for _, f := range out.Frames {
				there.hear(t, f)
				asked += len(f.Asks)
			}
			if len(out.Settled) > 0 {
				t.Fatal(out.Settled)
			}
		}
		if asked != n || len(there) != n {
			t.Fatalf("%d names were asked for, and %d instruments are sent, want %d", asked, len(there), n)
		}
		for i := range uint32(n) {
			out := hear(s, frame(ltp((i+shift)<<8|1, 5)))
			if len(out.Events) != 1 || string(out.Events[0].Topic) != fmt.Sprintf("NSE:%d", i) {
				t.Fatalf("the tick of instrument %d is for %q", i+shift, out.Events)
			}
		}
	}
}

func TestOfTwoNamesThatAskForOneInstrumentTogetherTheSecondIsRefused(t *testing.T) {
	s := open(Options{})
	out := change(s, topics("A=257", "B=257"))
	if len(out.Frames) != 1 || len(out.Settled) != 1 || out.Settled[0].Reason != "is the same instrument as A (token 257)" {
		t.Fatalf("%q %v", said(out), out.Settled)
	}
	if out := change(s, nil, "B"); len(out.Frames) > 0 {
		t.Errorf("%q", said(out))
	}
	if out := hear(s, frame(ltp(257, 5))); len(out.Events) != 1 || string(out.Events[0].Topic) != "A" {
		t.Errorf("%q", out.Events)
	}
}

func TestNoMessageEndsMoreThanOneMayAskFor(t *testing.T) {
	s := open(Options{})
	var drop []shard.Topic
	for i := range uint32(SubscribeBatch + 1) {
		name := shard.Topic(strconv.Itoa(int(i)))
		change(s, []protocol.Topic{{Name: name, Options: Instrument{Token: i + 1}}})
		drop = append(drop, name)
	}
	var out protocol.Out
	s.Change(nil, drop, &out)
	if len(out.Frames) != 2 || string(out.Frames[1].Payload) != `{"a":"unsubscribe","v":[3001]}` {
		t.Errorf("%d frames", len(out.Frames))
	}
}

func TestSessionsOfOneFeedTellAnOrderUpdateOnce(t *testing.T) {
	p := New(Options{})
	events := 0
	for range Connections {
		var out protocol.Out
		s := p.Open(protocol.Endpoint{})
		msg := `{"type":"order","data":{"order_id":"1","status":"OPEN"}}`
		if err := s.Message(protocol.Text, []byte(msg), &out); err != nil {
			t.Fatal(err)
		}
		events += len(out.Events)
		if len(out.Events) == 0 && !slices.Equal(out.Skipped, []protocol.Skip{{Reason: skipRepeatedOrder, N: 1}}) {
			t.Errorf("skipped %v", out.Skipped)
		}
	}
	if events != 1 {
		t.Errorf("told %d times", events)
	}
}

func TestTheOldestOrderUpdatesAreForgotten(t *testing.T) {
	o := newOrders()
	key := func(i int) (k orderKey) {
		k[0], k[1], k[2] = byte(i), byte(i>>8), byte(i>>16)
		return k
	}
	const n = 3*rememberedOrders/2 + 1
	for i := range n {
		if !o.first(key(i)) {
			t.Fatalf("%d is new", i)
		}
	}
	if len(o.known) != rememberedOrders || len(o.ring) != rememberedOrders {
		t.Errorf("%d and %d are remembered", len(o.known), len(o.ring))
	}
	if o.first(key(n-rememberedOrders)) || o.first(key(n-1)) {
		t.Error("the newest are not remembered")
	}
	if !o.first(key(n - rememberedOrders - 1)) {
		t.Error("an older one is")
	}
}

func TestWordsAreShortAndHoldNoSecret(t *testing.T) {
	s := New(Options{}).Open(protocol.Endpoint{
		Token:  "t0ken",
		Redact: func(words string) string { return strings.ReplaceAll(words, "kEy", "[key]") },
	})
	for in, want := range map[string]string{
		"with t0ken and kEy":         "with [token] and [key]",
		"two\\nlines":                "two?lines",
		strings.Repeat("é", 400):     strings.Repeat("é", 148) + "…",
		strings.Repeat("x", 300):     strings.Repeat("x", 297) + "…",
		strings.Repeat("x", 297):     strings.Repeat("x", 297),
		strings.Repeat(" t0ken", 99): strings.Repeat(" [token]", 37) + " …",
	} {
		var out protocol.Out
		if err := s.Message(protocol.Text, []byte(`{"type":"error","data":"`+in+`"}`), &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Words) != 1 || out.Words[0].Kind != "error" || out.Words[0].Text != want || len(want) > longestWords {
			t.Errorf("%q:\n%q", in, out.Words)
		}
	}
}

func TestRenewSaysNothingAndKeepsTheSession(t *testing.T) {
	s := open(Options{})
	change(s, topics("257"))
	s.Renew(protocol.Endpoint{Token: "another"})
	if out := hear(s, frame(ltp(257, 5))); len(out.Events) != 1 {
		t.Errorf("%v", out)
	}
}

func TestOrderUpdatesAreAnAside(t *testing.T) {
	var p protocol.Narrator = New(Options{})
	var out protocol.Out
	if err := open(Options{}).Message(protocol.Text, []byte(`{"type":"order","data":{"status":"OPEN"}}`), &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Events) != 1 || !slices.Contains(p.Asides(), shard.Topic(out.Events[0].Topic)) || len(out.Events[0].Values) != 1 {
		t.Errorf("%q, asides %q", out.Events, p.Asides())
	}
	if l := New(Options{}).Limits(); l.Answers != protocol.Assumed || l.Overlap != protocol.Counted {
		t.Errorf("%+v", l)
	}
}
