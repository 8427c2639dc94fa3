package pool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/shard"
)

// wantOnly fails unless the lives so far ended for this, so many times, and for nothing else.
func (s *scene) wantOnly(why cause.Cause, n uint64) {
	s.t.Helper()
	if got := s.status().Counters.Disconnects; got[why] != n || len(got) != min(1, int(n)) {
		s.t.Errorf("ended: %v, want %d for %s", got, n, why)
	}
}

// pinged answers everything but PINGs, whose times it returns, until the pool closes or breaks off.
func (p *peer) pinged(word func(n int) bool) (at []time.Time) {
	for {
		r, ok := p.next()
		if !ok {
			return at
		}
		if r.Type == "PING" {
			at = append(at, time.Now())
			if !word(len(at)) {
				continue
			}
		}
		p.answer(r, "")
	}
}

// talk sends an event each second until the socket is gone.
func (p *peer) talk(topic shard.Topic) {
	for {
		time.Sleep(time.Second)
		if err := ws.WriteFrame(p.Conn, ws.NewTextFrame(fmt.Appendf(nil, `{"type":"MESSAGE","data":{"topic":%q,"message":"{}"}}`, topic))); err != nil {
			return
		}
	}
}

func TestThreePongsInARowThatAreMissingEndALifeThoughDataFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pings []time.Time
		var over time.Time
		s := perform(t, topics(1), func(o *Options) { o.Conn.PingJitter = 0 }, func(p *peer) {
			p.open()
			if p.life > 1 {
				p.obey()
				return
			}
			p.accept()
			var talker sync.WaitGroup
			defer talker.Wait()
			talker.Go(func() { p.talk(topics(1)[0].Topic) })
			pings = p.pinged(func(n int) bool { return n == 3 }) // two missing, one not, three missing
			over = time.Now()
		})
		time.Sleep(10 * time.Minute)
		s.confirmed(1, 0)
		s.wantOnly(cause.PingTimeout, 1)
		if len(pings) != 6 || over.Sub(pings[5]) != 10*time.Second {
			t.Errorf("%d pings, ended %v after the last", len(pings), over.Sub(pings[len(pings)-1]))
		}
	})
}

func TestAConnectionThatIsQuietButAnswersPingsStaysUp(t *testing.T) {
	for _, row := range []struct {
		name    string
		silence time.Duration
		why     cause.Cause
	}{
		{"for hours", 0, ""},
		{"if pongs come more often than ping.silence", time.Minute, ""},
		{"else not", 20 * time.Second, cause.Silent},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := perform(t, topics(1), func(o *Options) { o.Conn.Silence = row.silence }, func(p *peer) {
					p.open()
					p.obey()
				})
				s.confirmed(1, time.Second)
				time.Sleep(6 * time.Hour)
				if got := s.status().Counters.Disconnects; row.why != "" {
					s.wantOnly(row.why, max(1, got[row.why]))
					return
				}
				s.wantOnly("", 0)
				s.confirmed(1, 0)
			})
		})
	}
}

func TestAStalledMessageEndsItsOwnLifeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var over time.Duration
		s := perform(t, topics(2), func(o *Options) {
			o.Conn.Share = share(3, o.Conn.SubscribeRate, 3) // the place of the stalled one is held for a while
			o.Conn.Connections = 2
			o.TopicsPerConnection = 1
			o.Conn.PingInterval = 5 * time.Minute // that is not what notices it
		}, func(p *peer) {
			p.open()
			if p.life != 1 {
				p.obey()
				return
			}
			r, _ := p.next()
			p.answer(r, "")
			time.Sleep(4 * time.Second)
			p.event(shard.Topic(r.Data.Topics[0]))
			time.Sleep(time.Second)
			p.Write([]byte{0x81, 126, 4, 0})
			for over == 0 {
				if _, err := p.Write([]byte("x")); err != nil {
					over = time.Since(begin)
				}
				time.Sleep(20 * time.Second)
			}
		})
		s.confirmed(2, time.Second)
		s.sink.take()
		time.Sleep(2 * time.Minute)
		s.confirmed(2, 0)
		s.wantOnly(cause.Timeout, 1)
		if over == 0 || over > 66*time.Second {
			t.Errorf("the peer learnt of the end after %v", over)
		}
		_, closed := s.gaps()
		if len(closed) != 1 {
			t.Fatalf("gaps: %+v", closed)
		}
		if from, to := closed[0].From.Sub(begin), closed[0].To.Sub(begin); from != 4*time.Second || to < 35*time.Second || to > 37*time.Second {
			t.Errorf("the gap is from %v to %v; the last whole frame came after 4 s, the stalled one began after 5 s", from, to)
		}
	})
}

func TestAMessageThatIsTooLongIsSkippedAndOneThatIsFarTooLongEndsTheLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var code ws.StatusCode
		far := make(chan struct{})
		topic := topics(1)[0].Topic
		s := perform(t, topics(1), func(o *Options) { o.Conn.MaxMessage = 64 << 10 }, func(p *peer) {
			p.open()
			p.accept()
			if p.life > 1 {
				p.obey()
				return
			}
			p.event(topic)
			p.say("%s", bytes.Repeat([]byte("x"), 64<<10+1))
			p.event(topic)
			<-far
			head := binary.BigEndian.AppendUint64([]byte{0x81, 127}, 16<<20+1)
			p.Write(head)
			for {
				h, err := ws.ReadHeader(p.Conn)
				if err != nil {
					return
				}
				payload := make([]byte, h.Length)
				io.ReadFull(p.Conn, payload)
				if ws.Cipher(payload, h.Mask, 0); h.OpCode == ws.OpClose {
					code, _ = ws.ParseCloseFrameData(payload)
					return
				}
			}
		})
		s.confirmed(1, time.Second)
		time.Sleep(time.Second)
		got := s.status()
		if got.Counters.Events != 2 || got.Counters.Skipped["too_big"] != 1 || got.Slots[0].State != slots.Live {
			t.Errorf("%d events, skipped %v, %s", got.Counters.Events, got.Counters.Skipped, got.Slots[0].State)
		}
		s.wantOnly("", 0)
		close(far)
		time.Sleep(10 * time.Second)
		s.confirmed(1, 0)
		s.wantOnly(cause.TooBig, 1)
		if code != ws.StatusMessageTooBig {
			t.Errorf("the peer was told %d", code)
		}
	})
}

func TestAConnectionThatBreaksAfterHalfAMinuteWithoutAByteWasIdle(t *testing.T) {
	for _, row := range []struct {
		name  string
		reset bool
		quiet time.Duration
		why   cause.Cause
	}{
		{"a FIN after 31 s", false, 31 * time.Second, cause.IdleClose},
		{"a RST after 31 s", true, 31 * time.Second, cause.IdleClose},
		{"a RST after an hour", true, time.Hour, cause.IdleClose},
		{"a FIN after 20 s", false, 20 * time.Second, cause.Reset},
		{"a RST after 20 s", true, 20 * time.Second, cause.Reset},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := perform(t, topics(1), func(o *Options) { o.Conn.PingInterval = 24 * time.Hour }, func(p *peer) {
					p.open()
					p.accept()
					if p.life > 1 {
						p.obey()
						return
					}
					time.Sleep(2 * time.Minute) // what counts is the last byte
					p.event(topics(1)[0].Topic)
					time.Sleep(row.quiet)
					if row.reset {
						p.Reset()
					}
				})
				time.Sleep(2*time.Minute + row.quiet + time.Second)
				s.confirmed(1, 5*time.Second)
				s.wantOnly(row.why, 1)
			})
		})
	}
}

// What we write keeps a middlebox's entry alive as well as what we read.
func TestAConnectionThatBreaksSoonAfterWeWroteWasNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, topics(1), func(o *Options) {
			o.Conn.PingInterval, o.Conn.PingTimeout = 5*time.Minute, time.Minute
		}, func(p *peer) {
			p.open()
			p.accept()
			if p.life > 1 {
				p.obey()
				return
			}
			p.next() // a PING, minutes later
			time.Sleep(10 * time.Second)
			p.Reset()
		})
		time.Sleep(6 * time.Minute)
		s.confirmed(1, time.Minute)
		s.wantOnly(cause.Reset, 1)
	})
}

// What is wanted while both lives linger is asked for on the new one alone, and the hand-over does not wait for it.
func TestAWishDuringTheLastMomentOfAHandOverIsFulfilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := make(chan *peer, 1)
		s := perform(t, topics(1), func(o *Options) {
			o.Conn.Share = share(2, o.Conn.SubscribeRate, 2)
			o.Conn.Connections = 1
		}, func(p *peer) {
			p.open()
			if p.life == 1 {
				p.accept()
				old <- p
				p.obey()
				p.close(1000, "")
				return
			}
			p.accept()
			r, _ := p.next()
			time.Sleep(3 * time.Second) // far longer than the linger
			p.answer(r, "")
			p.obey()
		})
		s.confirmed(1, time.Second)
		(<-old).say(`{"type":"RECONNECT"}`)
		time.Sleep(200 * time.Millisecond) // the new one has confirmed what the old one has
		s.pool.Want(topics(2))
		time.Sleep(time.Second)
		if got := s.status(); got.Slots[0].Life != 2 || got.Topics.Asked != 1 {
			t.Errorf("the hand-over waits for a newcomer: %+v, %+v", got.Slots[0], got.Topics)
		}
		s.confirmed(2, 3*time.Second)
		if open, closed := s.gaps(); len(open)+len(closed) > 0 {
			t.Errorf("%+v %+v", open, closed)
		}
		s.wantOnly(cause.ServerAsked, 1)
	})
}
