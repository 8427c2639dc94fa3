package twitch

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
	"feedmux/internal/sim/upstream"
)

// What the server does within these times is told in words in package upstream.
const (
	closeWait  = 2 * time.Second // for the answer to a Close
	muteLinger = time.Minute     // after the FIN of a client that is not answered
)

func isEOF(err error) bool   { return err == io.EOF }
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// quiet switches off the rules that end a connection which a test leaves alone.
var quiet = PubSubOptions{Options: upstream.Options{WSPing: -1}, FirstListen: -1, Idle: -1}

func TestHandshakeIsAnsweredWithTheKeysHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n := start(t, PubSubOptions{})
		_, header, err := shake(t, dial(t, n))
		// The pair of RFC 6455, section 1.3.
		if err != nil || !strings.Contains(header, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
			t.Errorf("%v\n%s", err, header)
		}
	})
}

func TestRequestThatIsNoHandshakeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{})
		nc := dial(t, n)
		nc.Write([]byte("GET / HTTP/1.1\r\nHost: pubsub.test\r\n\r\n"))
		wantRead(t, nc, "HTTP/1.1 400 Bad Request\r\n")
		wantRules(t, s, "handshake")
	})
}

func TestAsksAreAnsweredWithTheirNonce(t *testing.T) {
	const full = "ERR_TOO_MANY_TOPICS"
	for _, tc := range []struct {
		name, say, want, rules string
		topics                 int // listened to afterwards, beside the 49 before
	}{
		{"one topic", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["raid.1"]}}`, "", "", 1},
		{"again", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["a.0","a.48"]}}`, "", "", 0},
		{"fiftieth and next", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["raid.1","raid.2"]}}`, full, "topics", 0},
		{"the same twice", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["raid.1","raid.1"]}}`, "", "", 1},
		{"no topics", `{"type":"LISTEN","nonce":"n<1","data":{"topics":[]}}`, "ERR_BADMESSAGE", "message", 0},
		{"unknown type", `{"type":"SUBSCRIBE","nonce":"n<1"}`, "ERR_BADMESSAGE", "message", 0},
		{"bad topic", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["raid.1","bad.7"]}}`, "ERR_BADTOPIC", "", 0},
		{"empty topic", `{"type":"LISTEN","nonce":"n<1","data":{"topics":[""]}}`, "ERR_BADTOPIC", "", 0},
		{"no token", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["whispers.1"]}}`, "ERR_BADAUTH", "", 0},
		{"wrong token", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["whispers.1"],"auth_token":"x"}}`, "ERR_BADAUTH", "", 0},
		{"token", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["whispers.1"],"auth_token":"good"}}`, "", "", 1},
		{"needless token", `{"type":"LISTEN","nonce":"n<1","data":{"topics":["raid.1"],"auth_token":"good"}}`, "", "needless_token", 1},
		{"unlisten", `{"type":"UNLISTEN","nonce":"n<1","data":{"topics":["a.0","a.48","raid.9"]}}`, "", "", -2},
		{"unlisten nothing", `{"type":"UNLISTEN","nonce":"n<1","data":{"topics":[]}}`, "ERR_BADMESSAGE", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := start(t, PubSubOptions{Token: "good", BadTopics: []string{"bad.*"}, TopicsPerListen: -1})
				c := join(t, n)
				c.ask("LISTEN", "first", "", topicNames("a", 49)...)
				c.take()
				c.say("%s", tc.say)
				c.want(`{"type":"RESPONSE","nonce":"n\u003c1","error":"` + tc.want + `"}`)
				wantRules(t, s, tc.rules)
				rec := s.Conns()[0]
				if len(rec.Topics) != 49+tc.topics || len(s.Listening()) != 49+tc.topics {
					t.Errorf("listens to %d topics, %d in all", len(rec.Topics), len(s.Listening()))
				}
				if rec.MaxTopics != 49+max(tc.topics, 0) {
					t.Errorf("listened to %d topics at most", rec.MaxTopics)
				}
				if len(rec.Asks) == 2 {
					if a := rec.Asks[1]; a.Error != tc.want || !a.At.Equal(time.Now()) || a.Token != strings.Contains(tc.say, "auth_token") {
						t.Errorf("recorded: %+v", a)
					}
				}
			})
		})
	}
}

func TestMessageThatIsNotJSONIsAnsweredBadMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{})
		c := join(t, n)
		c.say(`{"type":`)
		c.want(`{"type":"RESPONSE","nonce":"","error":"ERR_BADMESSAGE"}`)
		wantRules(t, s, "message")
	})
}

func TestFragmentsMakeOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n := start(t, PubSubOptions{})
		c := join(t, n)
		c.send(0x80|1, []byte(`{"type":`))
		c.send(9, []byte("between"))
		c.send(0x80, []byte(`"PI`))
		c.send(0, []byte(`NG"}`))
		c.want(`a: "between"`, `{"type":"PONG"}`)
	})
}

func TestFramesThatNoClientMaySendEndTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"unmasked text", []byte("\x81\x0f{\"type\":\"PING\"}"), closes(1002, "not masked")},
		{"unmasked ping", []byte("\x89\x00"), closes(1002, "not masked")},
		{"opcode 11", []byte("\x8b\x80\x00\x00\x00\x00"), closes(1002, "unknown opcode")},
		{"too big", []byte("\x81\xff\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00"), closes(1009, "too big")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := start(t, quiet)
				c, began := join(t, n), time.Now()
				c.nc.Write(tc.bytes)
				c.want(tc.want)
				wantRules(t, s, "frame")
				time.Sleep(time.Minute)
				if tc.name != "too big" { // its Close is not answered, because the reader has lost its place
					c.wantEnd(began, closeWait, isEOF)
				} else {
					c.wantEnd(began, 0, isEOF)
				}
			})
		})
	}
}

func TestBatchOfTwentyOneEndsTheConnectionAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{})
		c, began := join(t, n), time.Now()
		c.ask("LISTEN", "a", "", topicNames("raid", 20)...)
		c.want(`{"type":"RESPONSE","nonce":"a","error":""}`)
		c.ask("LISTEN", "b", "", topicNames("raid", 21)...)
		c.want()
		c.wantEnd(began, 0, isEOF)
		wantRules(t, s, "batch")
		if rec := s.Conns()[0]; rec.Ended.IsZero() || rec.Asks[1].Error != "closed" || s.Open() != 0 {
			t.Errorf("open: %d, recorded: %+v", s.Open(), rec)
		}
	})
}

func TestConnectionThatNeverListensIsClosedAfterFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{})
		c, began := join(t, n), time.Now()
		other := join(t, n)
		other.ask("LISTEN", "a", "", "raid.1")
		other.take()
		time.Sleep(15*time.Second - time.Nanosecond)
		c.want()
		time.Sleep(time.Nanosecond)
		c.want(closes(1008, "no LISTEN"))
		c.send(8, []byte{3, 240})
		c.wantEnd(began, 15*time.Second, isEOF)
		time.Sleep(time.Minute)
		other.want()
		wantRules(t, s, "first_listen")
	})
}

func TestConnectionWithoutPINGIsClosedAfterFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{})
		c := join(t, n)
		c.ask("LISTEN", "a", "", "raid.1")
		c.take()
		time.Sleep(5*time.Minute - time.Nanosecond)
		c.say(`{"type": "PING"}`)
		c.want(`{"type":"PONG"}`)
		pinged := time.Now()
		time.Sleep(5*time.Minute - time.Nanosecond)
		c.want()
		time.Sleep(time.Nanosecond)
		c.want(closes(1008, "no PING"))
		time.Sleep(time.Minute)
		c.wantEnd(pinged, 5*time.Minute+closeWait, isEOF) // the Close was not answered
		wantRules(t, s, "idle")
		if p := s.Conns()[0].Pings; len(p) != 1 || !p[0].Equal(pinged) {
			t.Errorf("pings: %v", p)
		}
	})
}

func TestWebSocketPingsMustBeAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, PubSubOptions{FirstListen: -1, Idle: -1})
		good, deaf := join(t, n), join(t, n)
		deaf.mu.Lock()
		deaf.noPong = true
		deaf.mu.Unlock()
		began := time.Now()
		time.Sleep(40*time.Second - time.Nanosecond)
		deaf.want()
		time.Sleep(time.Nanosecond)
		deaf.want(closes(4100, "ping pong failed"))
		time.Sleep(10 * time.Minute)
		deaf.wantEnd(began, 40*time.Second+closeWait, isEOF)
		pings := 0
		for _, r := range good.take() {
			if r.op == 9 {
				pings++
				if r.at.Sub(began) != time.Duration(pings)*30*time.Second {
					t.Errorf("ping %d after %v", pings, r.at.Sub(began))
				}
			}
		}
		if pings != 21 || good.end() != nil {
			t.Errorf("%d pings in 10m40s, end: %v", pings, good.end())
		}
		wantRules(t, s, "ws_pong")
	})
}

func TestEleventhConnectionIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, quiet)
		var clients []*rawClient
		for range 10 {
			clients = append(clients, join(t, n))
		}
		wantRules(t, s, "")
		_, header, _ := shake(t, dial(t, n))
		if !strings.HasPrefix(header, "HTTP/1.1 429 ") {
			t.Errorf("the eleventh was answered %s", header)
		}
		wantRules(t, s, "connections")
		if s.MaxOpen() != 11 || s.Open() != 10 {
			t.Errorf("%d open, %d at most", s.Open(), s.MaxOpen())
		}
		clients[3].nc.Close()
		synctest.Wait()
		join(t, n)
		if s.Open() != 10 {
			t.Errorf("%d open", s.Open())
		}
	})
}

func TestStarvedConnectionsStayOpenAndGetNoEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Connections, o.Starve, o.Rate = 2, true, 10
		s, n := start(t, o)
		var clients []*rawClient
		for range 3 {
			c := join(t, n)
			c.ask("LISTEN", "a", "", "raid.1")
			time.Sleep(time.Second)
			clients = append(clients, c)
		}
		for _, c := range clients {
			c.take()
		}
		time.Sleep(10 * time.Second)
		for i, want := range []int{0, 100, 100} {
			if got := len(clients[i].take()); got != want {
				t.Errorf("connection %d got %d events, want %d", i+1, got, want)
			}
		}
		clients[2].nc.Close()
		time.Sleep(time.Second)
		if got := len(clients[0].take()); got < 9 {
			t.Errorf("after a place was free the first connection got %d events", got)
		}
		wantRules(t, s, "connections")
	})
}

func TestClientThatReadsTooSlowlyIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet
		o.Rate = 100
		s, n := start(t, o)
		c := join(t, n)
		c.ask("LISTEN", "a", "", "raid.1")
		time.Sleep(time.Second)
		arrived := len(c.take()) - 1
		c.nc.(*sim.Conn).ShutWindow(true)
		began := time.Now()
		time.Sleep(time.Minute)
		// The first event is stuck in a write, thirty wait, and the next is one too many.
		c.wantEnd(began, 320*time.Millisecond, isReset)
		wantRules(t, s, "backlog")
		if sent := s.Sent("raid.1"); len(sent) != 1 || sent[0].To != uint64(arrived) {
			t.Errorf("%d arrived, sent %v", arrived, sent)
		}
	})
}

func TestCloseFromTheClientIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := start(t, quiet)
		c, began := join(t, n), time.Now()
		c.send(8, append([]byte{3, 232}, "bye"...))
		c.want(closes(1000, "bye"))
		c.wantEnd(began, 0, isEOF)
		if s.Open() != 0 || s.Conns()[0].Why != "Close from the client" {
			t.Errorf("%+v", s.Conns()[0])
		}
	})
}

func TestOptionsFromPeopleAreChecked(t *testing.T) {
	if err := (PubSubOptions{}).WithDefaults().Check(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for _, o := range []PubSubOptions{
		{Options: upstream.Options{Rate: -1}},
		{Options: upstream.Options{Refuse: -0.1}},
		{Options: upstream.Options{RefuseStatus: 101}},
		{Options: upstream.Options{CloseCode: 7}},
		{Duplicate: -1},
		{Unknown: 2},
		{PongLoss: 1.1},
		{ResponseLoss: 1.1},
		{ServerErrors: 1.1},
		{Options: upstream.Options{CloseCode: -3}},
		{Options: upstream.Options{RefuseLocation: "a\r\nb"}},
		{BadTopics: []string{"["}},
		{PoisonTopics: []string{"["}},
		{PoisonCode: 999},
		{Options: upstream.Options{Saturate: true}, Record: true},
		{OversizeBytes: -1},
	} {
		if o.Check() == nil {
			t.Errorf("accepted: %+v", o)
		}
	}
}
