package twitch

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTemplateWithItsOwnNumberAndTimeIsTheRealFrame(t *testing.T) {
	lib := newLibrary()
	next := map[string]int{}
	for _, f := range Frames() {
		topic, rest, _ := strings.Cut(strings.TrimPrefix(f.Text, realEnvelope.head), realEnvelope.middle)
		escaped := strings.TrimSuffix(rest, realEnvelope.tail)
		var body string
		if err := json.Unmarshal([]byte(`"`+escaped+`"`), &body); err != nil {
			t.Fatal(err)
		}
		n, ok := EventNumber([]byte(body))
		if !ok {
			t.Errorf("no number in %s", body)
		}
		kind := kindOf(topic)
		tmpl := lib[kind][next[kind]]
		next[kind]++

		own := f.At
		for _, key := range []string{`"server_time":`, `"timestamp":`, `"created_at":`, `"time":`, `"time_of_event":`} {
			if _, rest, found := strings.Cut(body, key); found {
				value, _, _ := strings.Cut(strings.NewReplacer(`"`, "", "}", ",").Replace(rest), ",")
				_, own = parseTime(strings.Trim(key, `":`), value)
				break
			}
		}
		if !strings.Contains(body, "time_to_expire") {
			if got, _, _ := tmpl.append(nil, n, own); string(got) != escaped {
				t.Errorf("got  %s\nwant %s", got, escaped)
			}
		}

		// With another number and time it is valid, says that number, and has the length that the number's digits make.
		const other = 12345678
		got, from, to := tmpl.append([]byte("xx"), other, own.AddDate(3, 0, 0))
		if string(got[from:to]) != fmt.Sprint(other) {
			t.Errorf("the number is not where it is said to be: %q", got[from:to])
		}
		if err := json.Unmarshal([]byte(`"`+string(got[2:])+`"`), &body); err != nil || !json.Valid([]byte(body)) {
			t.Errorf("not JSON any more: %s", got)
		}
		if n, ok := EventNumber([]byte(body)); n != other || !ok {
			t.Errorf("number %d, %v in %s", n, ok, body)
		}
	}
	if len(next) != len(lib) || len(lib[fallbackKind]) == 0 {
		t.Errorf("kinds: %v", next)
	}
}

func TestEventNumberRefusesWhatHasNone(t *testing.T) {
	for _, body := range []string{``, `{}`, `{"viewers":}`, `{"viewers":"x"}`, `{"viewers":99999999999999999999}`, `{"viewers":`} {
		if n, ok := EventNumber([]byte(body)); ok {
			t.Errorf("%q: %d", body, n)
		}
	}
}

func TestEventsComeAtTheRateWithDenseNumbersAndThePresentTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate = 100
		s, n := start(t, o)
		c := join(t, n)
		topics := []string{"video-playback-by-id.1", "raid.2", "community-points-user-v1.3", "hype-train-events-v1.4", `odd "topic" <5>`}
		c.ask("LISTEN", "a", "token", topics...)
		synctest.Wait()
		c.mu.Lock()
		c.got = c.got[1:] // the answer
		c.mu.Unlock()
		time.Sleep(10 * time.Second)

		frames := c.take()
		last := map[string]uint64{}
		for i, e := range events(t, frames) {
			last[e.topic]++
			if e.n != last[e.topic] {
				t.Fatalf("%s: event %d has number %d", e.topic, last[e.topic], e.n)
			}
			// Those who time their events say now, in their own way.
			if e.topic == "raid.2" {
				var body map[string]any
				json.Unmarshal([]byte(e.body), &body)
				now := float64(frames[i].at.UnixMicro()) / 1e6
				if d := now - body["server_time"].(float64); d < 0 || d >= 1 {
					t.Errorf("event of %v: %s", frames[i].at, e.body)
				}
			}
		}
		if len(frames) != 1000 || len(last) != len(topics) {
			t.Errorf("%d events of %d topics in 10 s", len(frames), len(last))
		}
		for topic, n := range last {
			if n < 150 || n > 250 {
				t.Errorf("%s had %d of 1000 events", topic, n)
			}
			if sent := s.Sent(topic); !reflect.DeepEqual(sent, []Run{{1, 1, n}}) || s.Happened(topic) != n {
				t.Errorf("%s: %d arrived, sent %v, happened %d", topic, n, sent, s.Happened(topic))
			}
		}
		if s.Conns()[0].Events != 1000 {
			t.Errorf("recorded %d events", s.Conns()[0].Events)
		}
		wantRules(t, s, "needless_token needless_token needless_token needless_token")
	})
}

func TestEventGoesWithEqualBytesToAllWhoListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate = 10
		s, n := start(t, o)
		a, b := join(t, n), join(t, n)
		a.ask("LISTEN", "a", "", "raid.1")
		time.Sleep(1050 * time.Millisecond) // between two events
		b.ask("LISTEN", "a", "", "raid.1")
		a.take()
		b.take()
		time.Sleep(time.Second)
		a.ask("UNLISTEN", "b", "", "raid.1")
		fromA, fromB := a.take(), b.take()
		if e := events(t, fromA[:10]); e[0].n != 11 || !reflect.DeepEqual(e, events(t, fromB)) {
			t.Errorf("got\n%v\nand\n%v", fromA, fromB)
		}
		time.Sleep(time.Second)
		a.want()
		sent, happened := s.Sent("raid.1"), s.Happened("raid.1")
		if len(sent) != 2 || sent[0].From != 1 || sent[0].To+10 != happened || sent[1].To != happened {
			t.Errorf("sent %v of %d", sent, happened)
		}
	})
}

// script runs some clients against o and returns everything that they saw, with times.
func script(t *testing.T, o PubSubOptions) (seen [3][]received) {
	synctest.Test(t, func(t *testing.T) {
		_, n := start(t, o)
		var clients []*rawClient
		for i := range seen {
			c := join(t, n)
			c.ask("LISTEN", "a", "", topicNames(fmt.Sprintf("hype-train-events-v1.%d", i), 10)...)
			c.take()
			clients = append(clients, c)
		}
		time.Sleep(7 * time.Millisecond) // pings and events never meet in one moment, in which either may be first
		for range 100 {
			time.Sleep(time.Second)
			clients[1].say(`{"type":"PING"}`)
		}
		for i, c := range clients {
			seen[i] = c.take()
		}
	})
	return seen
}

func TestEqualSeedsMakeEqualRuns(t *testing.T) {
	o := quiet
	o.Rate, o.Duplicate, o.Unknown, o.PongLoss = 20, 0.1, 0.1, 0.5
	o.GarbageEvery, o.SilenceEvery, o.CloseEvery = 10*time.Second, 50*time.Second, 50*time.Second
	o.Seed = 7
	first, again := script(t, o), script(t, o)
	if !reflect.DeepEqual(first, again) {
		t.Error("the second run with the same seed differs")
	}
	o.Seed = 8
	if reflect.DeepEqual(first, script(t, o)) {
		t.Error("another seed makes the same run")
	}
	if len(first[0])+len(first[1])+len(first[2]) < 1000 {
		t.Error("too little happened")
	}
}

func TestRateCanChangeWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, quiet)
		c := join(t, n)
		c.ask("LISTEN", "a", "", "raid.1")
		time.Sleep(time.Hour)
		c.want(`{"type":"RESPONSE","nonce":"a","error":""}`)
		s.Change(func(o *PubSubOptions) { o.Rate = 2 })
		time.Sleep(10 * time.Second)
		if got := len(c.take()); got != 20 {
			t.Errorf("%d events in 10 s", got)
		}
		s.Change(func(o *PubSubOptions) { o.Rate = 0 })
		time.Sleep(time.Hour)
		c.want()
	})
}

func TestWhiteSpaceAndUnknownTypesAndRepeatsByOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Spaces, o.Newline, o.Duplicate, o.Unknown, o.Rate = true, true, 1, 1, 1
		s, n := start(t, o)
		c := join(t, n)
		c.say(`{"type":"PING"}`)
		c.want("{ \"type\": \"PONG\"}\n")
		c.ask("LISTEN", "a", "", "raid.1")
		c.take()
		time.Sleep(time.Second)
		got := c.take()
		if len(got) != 3 || got[0] != got[1] || !strings.HasSuffix(got[2].payload, "\n") {
			t.Fatalf("got %v", got)
		}
		if e := events(t, got[:2]); e[0].topic != "raid.1" || !strings.HasPrefix(got[0].payload, `{ "type": "MESSAGE", `) {
			t.Errorf("got %v", got)
		}
		if json.Unmarshal([]byte(got[2].payload), new(plain)) != nil || strings.Contains(got[2].payload, "MESSAGE") {
			t.Errorf("got %q", got[2].payload)
		}
		if sent := s.Sent("raid.1"); len(sent) != 2 || sent[0] != sent[1] {
			t.Errorf("sent %v", sent)
		}
	})
}
