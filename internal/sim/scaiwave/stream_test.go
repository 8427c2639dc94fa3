package scaiwave

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim/upstream"
)

func TestHelloComesFirstThenWhatIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{Token: "good", Tenant: "acme"})
		before := w.Publish("room-1", TypeMessage, "too early")
		c := join(t, n, "good")
		c.take()
		e := w.Publish("room-é", TypeMessage, `so "be" it`)
		w.Publish("room-1", TypeTyping, "")
		got := texts(t, c.take())
		if len(got) != 2 {
			t.Fatalf("got %+v", got)
		}
		want := streamed{
			Type: TypeMessage, ID: e.ID, Room: "room-é", Tenant: "acme", TS: "2000-01-01T00:00:00Z", Sender: e.Sender,
			Content: json.RawMessage(`{"msgtype":"swp.text","body":"so \"be\" it"}`), Position: 2, OriginTS: 946684800,
		}
		if fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) || before.Position != 1 || e.Position != 2 {
			t.Errorf("got  %+v\nwant %+v", got[0], want)
		}
		if m := got[1]; m.Type != TypeTyping || m.ID != "" || m.Position != 0 || m.Room != "room-1" {
			t.Errorf("typing: %+v", m)
		}
		r := w.Conns()[0]
		if r.Events != 2 || r.Last != 2 || r.From != 1 || !r.Good || r.Hello.IsZero() {
			t.Errorf("record: %+v", r)
		}
		wantRules(t, w, "")
	})
}

func TestHelloSaysWhoAndWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n := start(t, Options{Tenant: "acme", ServerName: "here"})
		got := texts(t, join(t, n, "any").take())
		uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`)
		if len(got) != 1 || got[0].Type != "hello" || got[0].Tenant != "acme" || got[0].Server != "here" ||
			got[0].TS != "2000-01-01T00:00:00Z" || !uuid.MatchString(got[0].Session) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestOtherTypesHaveTheirFieldsAtTheTopInTheStreamAndInContentInSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		c, s := join(t, n, "good"), newSyncer(t, n)
		c.take()
		for typ, want := range map[string]string{
			TypeRedaction: `"event_id":"evt-of-old","redacted_by":"SENDER","reason":"why"`,
			TypeReaction:  `"event_id":"evt-of-old","emoji":"why"`,
			TypeMember:    `"participant_id":"SENDER","membership":"join","reason":"why"`,
			TypeName:      `"value":"why"`,
			TypeTopic:     `"value":"why"`,
		} {
			e := w.Publish("room-1", typ, "why")
			want = strings.ReplaceAll(want, "SENDER", e.Sender)
			got := c.take()
			if m := texts(t, got); len(m) != 1 || m[0].Type != typ || m[0].Position != e.Position || m[0].ID != e.ID ||
				m[0].Content != nil || !strings.Contains(got[0].payload, want) {
				t.Errorf("stream: %v", got)
			}
			page := s.page(fmt.Sprintf("since=%d", e.Position-1)).Data.Events
			if len(page) != 1 || page[0].Type != typ || string(page[0].Content) != "{"+want+"}" {
				t.Errorf("sync: %+v", page)
			}
		}
	})
}

func TestHandshakesElsewhereAreNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n := start(t, Options{})
		for _, target := range []string{"/v1/sync?token=good", "/"} {
			if _, header, _ := shake(t, dial(t, n), target); !strings.HasPrefix(header, "HTTP/1.1 404 ") {
				t.Errorf("%s: %s", target, header)
			}
		}
	})
}

func TestBadTokenIsToldAfterTheUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{Token: "good"})
		join(t, n, "bad").wantClose(4001, "SW_AUTH_INVALID_TOKEN")
		wantRules(t, w, "")
		join(t, n, "bad").wantClose(4001, "SW_AUTH_INVALID_TOKEN")
		join(t, n, "").wantClose(4001, "SW_AUTH_INVALID_TOKEN")
		wantRules(t, w, "token")
		w.SetToken("bad")
		if c := join(t, n, "bad"); len(texts(t, c.take())) != 1 || c.end() != nil {
			t.Error("no hello for a token that became good")
		}
		wantRules(t, w, "token")
	})
}

func TestSecondSocketOfATokenEndsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		first, other := join(t, n, "a"), join(t, n, "b")
		first.take()
		second := join(t, n, "a")
		first.wantClose(4003, "duplicate_connection")
		if other.end() != nil || second.end() != nil || len(texts(t, second.take())) != 1 {
			t.Error("another socket suffered")
		}
		wantRules(t, w, "duplicate")
		if r := w.Conns(); !r[0].Replaced || r[1].Replaced || r[2].Replaced {
			t.Errorf("records: %+v", r)
		}
		w.Publish("room-1", TypeMessage, "")
		if len(first.take()) != 0 || len(second.take()) != 1 {
			t.Error("the event did not go to the second socket alone")
		}
	})
}

func TestSocketThatNobodyHearsAnyMoreIsEndedByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		join(t, n, "a").take()
		n.Conns()[0].Cut()
		join(t, n, "a").take()
		time.Sleep(3 * time.Second)
		if r := w.Conns()[0]; r.Ended.IsZero() || r.Why != "Close 4003 duplicate_connection" || w.Open() != 1 {
			t.Errorf("record: %+v", r)
		}

		w.Mute(2)
		last := join(t, n, "a")
		last.take()
		w.Publish("room-1", TypeMessage, "")
		if len(last.take()) != 1 || !w.Conns()[1].Replaced {
			t.Error("a silent socket was not replaced")
		}
		wantRules(t, w, "duplicate") // for the first: the server cannot know
	})
}

func TestUnansweredPingsEndASocket(t *testing.T) {
	for _, inJSON := range []bool{false, true} {
		t.Run(fmt.Sprintf("JSON %v", inJSON), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, n := start(t, Options{JSONPing: inJSON})
				good, bad := join(t, n, "a"), join(t, n, "b")
				bad.mu.Lock()
				bad.noPong = true
				bad.mu.Unlock()
				good.take()
				bad.take()
				time.Sleep(30 * time.Second)
				op, text := byte(9), ""
				if inJSON {
					op, text = 1, `{"type":"ping"}`
				}
				if got := good.take(); len(got) != 1 || got[0].op != op || got[0].payload != text {
					t.Errorf("got %v", got)
				}
				time.Sleep(20 * time.Second)
				bad.wantClose(4003, "ping_timeout")
				time.Sleep(10 * time.Minute)
				if good.end() != nil || !isEOF(bad.end()) {
					t.Errorf("ended: %v, %v", good.end(), bad.end())
				}
				wantRules(t, w, "ws_pong")
			})
		})
	}
}

func TestTheStreamTakesNoMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		c := join(t, n, "a")
		c.send(1, []byte(`{"type":"subscribe"}`))
		c.send(1, []byte(`{"type":"pong"}`))
		if c.end() != nil {
			t.Errorf("ended: %v", c.end())
		}
		wantRules(t, w, "message message")
	})
}

func TestEventsBeforeADelayedHelloAreInSyncOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{HelloDelay: time.Second})
		c := join(t, n, "good")
		synctest.Wait()
		w.Publish("room-1", TypeMessage, "")
		time.Sleep(time.Second)
		synctest.Wait()
		w.Publish("room-1", TypeMessage, "")
		got := texts(t, c.take())
		if len(got) != 2 || got[0].Type != "hello" || got[1].Position != 2 {
			t.Errorf("got %+v", got)
		}
		if ids, _ := newSyncer(t, n).all(0, 10); len(ids) != 2 {
			t.Errorf("sync: %q", ids)
		}
	})
}

func TestNewTokenEndsOldSocketsOnlyIfAsked(t *testing.T) {
	for _, end := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, n := start(t, Options{Token: "old", EndSockets: end})
			c := join(t, n, "old")
			c.take()
			w.SetToken("new")
			if end {
				c.wantClose(4001, "SW_AUTH_INVALID_TOKEN")
			} else if w.Publish("room-1", TypeMessage, ""); len(c.take()) != 1 {
				t.Error("the old socket does not live on")
			}
			join(t, n, "old").wantClose(4001, "SW_AUTH_INVALID_TOKEN")
			if got := texts(t, join(t, n, "new").take()); len(got) != 1 || got[0].Type != "hello" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestRateAndSharesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{
			Others: 0.5, Chunks: 0.1, Typing: 0.1, Presence: 0.1, Rooms: 5, Duplicate: 0.1, Unknown: 0.1,
			Options: upstream.Options{Rate: 100, Seed: 7},
		}
		w, n := start(t, o)
		c := join(t, n, "a")
		time.Sleep(100 * time.Second)
		types, rooms, positions := map[string]int{}, map[string]int{}, map[int64]int{}
		var last int64
		for _, m := range texts(t, c.take()) {
			types[m.Type]++
			rooms[m.Room]++
			if m.Position > 0 {
				positions[m.Position]++
			}
			if m.Position > 0 && m.Position < last {
				t.Fatalf("position %d after %d", m.Position, last)
			}
			last = max(last, m.Position)
		}
		near := func(what string, got, want int) {
			t.Helper()
			if got < want*8/10 || got > want*12/10 {
				t.Errorf("%s: %d, want about %d", what, got, want)
			}
		}
		for typ, want := range map[string]int{
			TypeMessage: 3850, TypeReaction: 770, TypeRedaction: 770, TypeMember: 770, TypeName: 770, TypeTopic: 770,
			TypeChunk: 1000, TypeTyping: 1000, TypePresence: 1000, "swp.future.news": 1000,
		} {
			near(typ, types[typ], want)
		}
		for room := range 5 {
			near(fmt.Sprint("room ", room+1), rooms[fmt.Sprintf("room-%d", room+1)], 1900)
		}
		twice := 0
		for _, times := range positions {
			twice += times - 1
		}
		near("twice", twice, 700)
		if p := published(t, w); len(p) != len(positions) {
			t.Errorf("%d published, %d came", len(p), len(positions))
		}
	})
}

func TestSameSeedSameEvents(t *testing.T) {
	run := func(seed uint64) (ids string) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := start(t, Options{Others: 0.3, Holes: 0.3, Options: upstream.Options{Rate: 10, Seed: seed}})
			time.Sleep(10050 * time.Millisecond) // not when an event is due
			for _, e := range published(t, w) {
				ids += fmt.Sprintln(e.Position, e.ID, e.Room, e.Type, e.Sender, string(e.Content))
			}
		})
		return ids
	}
	if a, b := run(1), run(1); a != b || a == "" {
		t.Error("two runs differ")
	}
	if run(1) == run(2) {
		t.Error("the seed changes nothing")
	}
}

func TestFaultsThatATestCallsForHappen(t *testing.T) {
	for _, tc := range []struct {
		fault  upstream.Fault
		strike func(*ScaiWave) bool
		check  func(c *rawClient)
	}{
		{FaultTakeover, func(w *ScaiWave) bool { return w.TakeOver(1) },
			func(c *rawClient) { c.wantClose(4003, "duplicate_connection") }},
		{FaultPingTimeout, func(w *ScaiWave) bool { return w.PingTimeout(1) },
			func(c *rawClient) { c.wantClose(4003, "ping_timeout") }},
		{FaultExpire, func(w *ScaiWave) bool { return w.Expire(1) },
			func(c *rawClient) { c.wantClose(4001, "SW_AUTH_INVALID_TOKEN") }},
		{FaultGarbage, func(w *ScaiWave) bool { return w.Garbage(1) }, func(c *rawClient) {
			if got := c.take(); len(got) != 1 || got[0].op != 1 || json.Valid([]byte(got[0].payload)) {
				c.t.Errorf("got %v", got)
			}
		}},
		{FaultOversize, func(w *ScaiWave) bool { return w.Oversize(1) }, func(c *rawClient) {
			if got := c.take(); len(got) != 1 || len(got[0].payload) != 2<<20 || !json.Valid([]byte(got[0].payload)) {
				c.t.Errorf("got %d frames", len(got))
			}
		}},
		{upstream.FaultReset, func(w *ScaiWave) bool { return w.Reset(1) }, func(c *rawClient) {
			if !isReset(c.end()) {
				c.t.Errorf("ended: %v", c.end())
			}
		}},
		{upstream.FaultSilence, func(w *ScaiWave) bool { return w.Mute(1) }, func(c *rawClient) {
			if got := c.take(); len(got) > 0 || c.end() != nil {
				c.t.Errorf("got %v, %v", got, c.end())
			}
		}},
	} {
		t.Run(string(tc.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, n := start(t, Options{})
				c, bystander := join(t, n, "a"), join(t, n, "b")
				c.take()
				bystander.take()
				if !tc.strike(w) {
					t.Error("it did not happen")
				}
				tc.check(c)
				if bystander.end() != nil || len(bystander.take()) > 0 {
					t.Error("it struck the other, too")
				}
				if w.Fired()[tc.fault] != 1 || len(w.Fired()) != 1 {
					t.Errorf("fired: %v", w.Fired())
				}
			})
		})
	}
}

func TestEveryFaultThatAnOptionAsksForHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		every := 20 * time.Second
		o := Options{
			Duplicate: 0.1, Unknown: 0.1, HelloDelay: time.Millisecond, HelloLoss: 0.1, Race: true,
			SyncDelay: time.Millisecond, SyncErrors: 0.1, SyncLimits: 0.1, SyncCuts: 0.1, SyncResets: 0.1, SyncSilences: 0.1,
			LateEvery: every, RebuildEvery: every, TakeoverEvery: every, PingTimeoutEvery: every, ExpireEvery: every,
			GarbageEvery: every, OversizeEvery: every, OversizeBytes: 100_000,
			Options: upstream.Options{
				Rate: 5, Refuse: 0.1, HandshakeDelay: time.Millisecond, ResetEvery: every, FINEvery: every, CloseEvery: every,
				SilenceEvery: every, BadFrameEvery: every, StormEvery: every,
			},
		}
		_, n := start(t, o) // which looks for faults that did not happen
		s := newSyncer(t, n)
		s.c.Timeout = time.Second
		for token := 0; token < 250; token++ {
			if c, header, err := shake(t, dial(t, n), fmt.Sprint("/v1/stream?token=", token)); err == nil && strings.Contains(header, " 101 ") {
				go c.collect()
			}
			s.try("timeout=0", "good") // whatever comes of it
			time.Sleep(time.Second)
		}
	})
}

func TestSocketsWithoutAHelloGetNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{HelloLoss: 1})
		c := join(t, n, "a")
		w.Publish("room-1", TypeMessage, "")
		time.Sleep(10 * time.Second)
		if got := c.take(); len(got) != 0 || c.end() != nil {
			t.Errorf("got %v, %v", got, c.end())
		}
	})
}

func TestRebuiltServerStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := start(t, Options{})
		s := newSyncer(t, n)
		for range 3 {
			w.Publish("room-1", TypeMessage, "")
		}
		s.page("since=0")
		c := join(t, n, "a")
		c.take()
		waiting := make(chan error)
		go func() {
			_, _, err := newSyncer(t, n).try("since=3", "good") // on a new connection: on an old one net/http tries again
			waiting <- err
		}()
		synctest.Wait()
		w.Rebuild()
		if err := <-waiting; !isReset(err) && !isEOF(err) {
			t.Errorf("the request that waited: %v", err)
		}
		if !isReset(c.end()) {
			t.Errorf("the stream: %v", c.end())
		}
		if got := s.page("since=0&timeout=0"); len(got.Data.Events) != 0 || got.Data.Next != 0 {
			t.Errorf("sync: %+v", got)
		}
		if e := w.Publish("room-1", TypeMessage, ""); e.Position != 1 || e.Build != 1 {
			t.Errorf("published %+v", e)
		}
		if p := published(t, w); len(p) != 4 || p[0].Kept || p[2].Kept || !p[3].Kept || p[0].ID == p[3].ID {
			t.Errorf("record: %+v", p)
		}
		if all := n.Open(); all > 1 {
			t.Errorf("%d sockets are open", all)
		}
	})
}
