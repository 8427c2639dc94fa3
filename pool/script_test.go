package pool

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"feedmux/internal/cause"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// peer is the upstream's end of one socket, for a test that says itself what the upstream does. Once the socket is gone
// its methods do nothing: what the pool makes of the socket is what a test looks at.
type peer struct {
	*sim.Conn
	life int // 1 for the first socket
}

// request is one message of the pool.
type request struct {
	Type, Nonce string
	Data        struct{ Topics []string }
}

// open answers the handshake.
func (p *peer) open() { ws.Upgrade(p.Conn) }

// next is the next message. It is not ok once the pool has sent a Close, or nothing more can come.
func (p *peer) next() (r request, ok bool) {
	for {
		h, err := ws.ReadHeader(p.Conn)
		if err != nil || h.OpCode == ws.OpClose {
			return r, false
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(p.Conn, payload); err != nil {
			return r, false
		}
		if h.OpCode == ws.OpText {
			ws.Cipher(payload, h.Mask, 0)
			return r, json.Unmarshal(payload, &r) == nil
		}
	}
}

// accept says yes to the next message.
func (p *peer) accept() {
	r, _ := p.next()
	p.answer(r, "")
}

// answer is a PONG, or the upstream's word on a LISTEN or UNLISTEN; "" is yes.
func (p *peer) answer(r request, word string) {
	if r.Type == "PING" {
		p.say(`{"type":"PONG"}`)
		return
	}
	p.say(`{"type":"RESPONSE","nonce":%q,"error":%q}`, r.Nonce, word)
}

func (p *peer) event(topic shard.Topic) {
	p.say(`{"type":"MESSAGE","data":{"topic":%q,"message":"{}"}}`, topic)
}

func (p *peer) say(format string, args ...any) {
	ws.WriteFrame(p.Conn, ws.NewTextFrame(fmt.Appendf(nil, format, args...)))
}

func (p *peer) close(code ws.StatusCode, reason string) {
	ws.WriteFrame(p.Conn, ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
}

// obey says yes to everything until the pool closes.
func (p *peer) obey() {
	for {
		r, ok := p.next()
		if !ok {
			return
		}
		p.answer(r, "")
	}
}

// awaitEnd waits for the pool's FIN or RST.
func (p *peer) awaitEnd() { io.Copy(io.Discard, p.Conn) }

// perform is play with an upstream of the test's own: serve is called with each socket, which ends when it returns. The
// pool has one connection unless change says otherwise.
func perform(t *testing.T, wanted []shard.Wanted, change func(*Options), serve func(*peer)) *scene {
	t.Helper()
	s := &scene{t: t, net: sim.NewNetwork(), sink: &memory{}, done: make(chan struct{})}
	l := s.net.Listen()
	var peers sync.WaitGroup
	peers.Go(func() {
		for life := 1; ; life++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			peers.Go(func() {
				defer c.Close()
				serve(&peer{c.(*sim.Conn), life})
			})
		}
	})
	o := testOptions(t, s.sink, s.net)
	oneConnection(&o)
	if change != nil {
		change(&o)
	}
	s.start(o, wanted, func() {
		l.Close()
		peers.Wait()
	})
	return s
}

// connections gives a feed n slots and an account with as many places, whose dial budget is hardly felt.
func connections(o *Options, n int) {
	o.Conn.Share = share(n, limiter.Window{N: 100, Per: time.Second}, n)
	o.Conn.Connections = n
}

func oneConnection(o *Options) { connections(o, 1) }

func TestAWriteAfterThePeersCloseDoesNotHideWhatThePeerSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		restart := make(chan struct{})
		s := perform(t, topics(1), func(o *Options) {
			o.Conn.PingInterval = 300 * time.Millisecond // some come due while the peer's FIN is awaited
		}, func(p *peer) {
			p.open()
			if p.life > 1 {
				p.obey()
				return
			}
			p.accept()
			<-restart
			p.close(1012, "restart")
			p.obey()
			time.Sleep(time.Second) // between our answer and its FIN
		})
		s.confirmed(1, time.Second)
		close(restart)
		synctest.Wait()
		s.pool.Want(topics(2)) // a LISTEN that cannot be written any more
		s.confirmed(2, 10*time.Second)
		got := s.status()
		if d := got.Counters.Disconnects; d[cause.ServerAsked] != 1 || len(d) != 1 {
			t.Errorf("the peer closed with 1012; counted %v", d)
		}
		if got.Account.Connections != 1 {
			t.Errorf("%d places are taken, though the peer's FIN was seen", got.Account.Connections)
		}
	})
}

// An event may be on its way while its topic is given up and wanted again; it is no answer to the second ask.
func TestAnEventFromBeforeDoesNotStandAgainstARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := topics(1)[0]
		listening := make(map[string]bool) // of the one peer; read when nothing moves
		var came time.Time
		s := perform(t, []shard.Wanted{late}, nil, func(p *peer) {
			p.open()
			for {
				r, ok := p.next()
				if !ok {
					return
				}
				word := ""
				for _, name := range r.Data.Topics {
					if name == "bad.1" {
						word = "ERR_BADTOPIC"
					}
				}
				if len(r.Data.Topics) == 2 {
					came = time.Now()
					p.event(late.Topic) // it happened before the UNLISTEN
					time.Sleep(50 * time.Millisecond)
				}
				for _, name := range r.Data.Topics {
					if word == "" {
						listening[name] = r.Type == "LISTEN"
					}
				}
				p.answer(r, word)
			}
		})
		s.confirmed(1, time.Second)
		s.pool.Want([]shard.Wanted{{Topic: "other.1"}})
		synctest.Wait()
		s.sink.take()
		s.pool.Want([]shard.Wanted{late, {Topic: "bad.1"}, {Topic: "other.1"}})
		time.Sleep(20 * time.Second)
		for _, line := range s.status().Ledger {
			if (line.State == topic.Confirmed) != listening[string(line.Topic)] {
				t.Errorf("%s is %s by %q; the upstream sends it: %v", line.Topic, line.State, line.By, listening[string(line.Topic)])
			}
		}
		if bad := s.topic("bad.1"); bad.State != topic.Refused {
			t.Errorf("%+v", bad)
		}
		_, closed := s.gaps()
		if len(closed) != 1 || closed[0].Topic != late.Topic || closed[0].Cause != cause.ProtocolError || !closed[0].From.Equal(came) {
			t.Errorf("the time between the event, at %v, and the answer is no gap: %+v", came, closed)
		}
	})
}

func TestATokenThatThePeerRepeatsIsSeenNowhere(t *testing.T) {
	for name, changed := range map[string]bool{"of the handshake": false, "that changed on an open connection": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const token = "s3cr3t-t0ken"
				var secret atomic.Value
				secret.Store(token)
				if changed {
					secret.Store("the one before")
				}
				var log bytes.Buffer // the pool writes to it until it has ended
				s := perform(t, topics(1), func(o *Options) {
					o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
					o.Conn.Protocol = pubsub.New(pubsub.Options{
						URL: "ws://upstream.test", Token: func(context.Context) (string, error) { return secret.Load().(string), nil },
					})
				}, func(p *peer) {
					p.open()
					p.accept()
					time.Sleep(200 * time.Millisecond)
					p.close(1008, "bad token "+token)
					p.obey()
				})
				time.Sleep(100 * time.Millisecond)
				if changed {
					secret.Store(token)
					s.pool.CredentialChanged()
				}
				time.Sleep(500 * time.Millisecond)
				lastError := s.status().Slots[0].LastError
				s.end()
				<-s.done
				_, notices := s.sink.take()
				if !strings.Contains(lastError, "bad token") || !strings.Contains(log.String(), "bad token") || len(notices) == 0 {
					t.Fatalf("the peer's words are not shown at all: %q\n%s", lastError, log.String())
				}
				for _, text := range []string{lastError, log.String(), fmt.Sprint(notices)} {
					if strings.Contains(text, token) {
						t.Errorf("it is shown: %s", text)
					}
				}
			})
		})
	}
}

func TestAGapBeginsAtTheLastWholeFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := perform(t, topics(1), nil, func(p *peer) {
			p.open()
			p.accept()
			if p.life > 1 {
				p.obey()
				return
			}
			time.Sleep(5 * time.Second)
			p.event(topics(1)[0].Topic)
			p.Write([]byte{0x81, 126, 4, 0}) // a frame of 1,024 bytes that never ends
			for range 60 {
				time.Sleep(time.Second)
				p.Write([]byte("x"))
			}
		})
		time.Sleep(45 * time.Second)
		s.confirmed(1, time.Second)
		open, closed := s.gaps()
		if len(closed) != 1 {
			t.Fatalf("gaps open %+v, closed %+v", open, closed)
		}
		if from := closed[0].From.Sub(begin); from != 5*time.Second || closed[0].Cause != cause.Timeout {
			t.Errorf("from %v on, cause %s; the last event came after 5 s", from, closed[0].Cause)
		}
	})
}

func TestWhileThePoolEndsTheLedgerIsRightAndNobodyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, topics(2), func(o *Options) {
			connections(o, 2)
			o.TopicsPerConnection = 1
		}, func(p *peer) {
			p.open()
			if p.life == 2 {
				r, _ := p.next()
				p.next() // our Close
				p.answer(r, "")
				time.Sleep(1900 * time.Millisecond)
				return
			}
			p.obey()
		})
		s.confirmed(1, time.Second)
		if got := s.status().Topics; got.Asked != 1 {
			t.Fatalf("%+v", got)
		}
		s.sink.take()
		s.end()
		time.Sleep(time.Second)
		if got := s.status().Topics; got.Confirmed != 1 || got.Assigned != 1 {
			t.Errorf("one socket is closed, the other said yes to its LISTEN: %+v", got)
		}
		<-s.done
		_, notices := s.sink.take()
		for _, n := range notices {
			if !strings.HasPrefix(n.subject, "feedmux.feed.") {
				t.Errorf("%s: %s", n.subject, n.body)
			}
		}
		if len(notices) == 0 {
			t.Error("that the slots close was not told")
		}
	})
}
