package kite

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTakeSentIsWhatTheClientsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := still
		o.Rate, o.Odd, o.UnknownPackets, o.Record, o.PacketsPerFrame, o.Connections = 1000, 0.1, 0.1, true, 3, -1
		p, n := start(t, o)
		all := []uint32{infy, nifty, usdinr, bcd}
		var clients []*rawClient
		for i := range 4 {
			c := join(t, n, goodQuery)
			c.subscribe(all...)
			c.mode([]Mode{ModeLTP, ModeQuote, ModeFull}[i%3], all[:2]...)
			synctest.Wait()
			clients = append(clients, c)
		}
		p.SetLag(2, 2*time.Second)
		p.StarveConn(3)
		time.Sleep(2*time.Second + time.Millisecond)
		p.Mute(4)
		p.Trailing(1)
		time.Sleep(3 * time.Second)

		type line struct {
			bytes string
			at    time.Time
		}
		read, sent := map[int][]line{}, map[int][]line{}
		for i, c := range clients {
			for _, r := range c.take() {
				packets, _ := unpack([]byte(r.payload))
				for _, b := range packets {
					switch len(b) {
					case 8, 28, 32, 44, 184:
						read[i+1] = append(read[i+1], line{string(b), r.at})
					}
				}
			}
		}
		list, whole := p.TakeSent()
		if !whole {
			t.Error("some were not recorded")
		}
		for _, s := range list {
			sent[s.Conn] = append(sent[s.Conn], line{string(s.Bytes), s.At})
			if number(s.Bytes, 0) != s.Token || len(s.Bytes) != sizeOf(s.Token, s.Mode) ||
				len(s.Bytes) > 40 && s.Odd != OddSegment && uint64(number(s.Bytes, 4)) != s.N {
				t.Fatalf("%+v", s)
			}
		}
		if !reflect.DeepEqual(read, sent) || len(read[1]) < 4000 || len(read[2]) < 2500 || len(read[3]) != 4 || len(read[4]) < 1500 {
			t.Errorf("read %d, %d, %d, %d; on record %d, %d, %d, %d", len(read[1]), len(read[2]), len(read[3]), len(read[4]),
				len(sent[1]), len(sent[2]), len(sent[3]), len(sent[4]))
		}
		if list, whole := p.TakeSent(); len(list) != 0 || !whole {
			t.Error("what was taken is not forgotten")
		}
	})
}

func TestSentSaysWhichTicksWereWrittenToWhom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := still
		o.Rate = 10
		p, n := start(t, o)
		a := join(t, n, goodQuery)
		a.subscribe(infy)
		a.take()
		time.Sleep(2050 * time.Millisecond)
		a.unsubscribe(infy)
		b := join(t, n, goodQuery)
		b.subscribe(infy)
		b.take()
		time.Sleep(time.Second)
		a.subscribe(infy)
		a.take()
		time.Sleep(time.Second)
		want := []Run{{1, 1, 20}, {2, 21, 40}, {1, 31, 40}}
		if got := p.Sent(infy); !reflect.DeepEqual(got, want) || p.Happened(infy) != 40 || p.Happened(nifty) != 0 {
			t.Errorf("got %v, want %v; %d happened", got, want, p.Happened(infy))
		}
		if list, whole := p.TakeSent(); len(list) != 0 || !whole {
			t.Error("recorded though nobody asked")
		}
	})
}

func TestRecordOfWhatWasSentIsBounded(t *testing.T) {
	p := NewTicker(Options{})
	bytes := []byte(strings.Repeat("x", 1<<20))
	for range 300 {
		p.sent.add(SentPacket{Bytes: bytes})
	}
	p.sent.add(SentPacket{}) // would fit, but then there were a hole
	if list, whole := p.TakeSent(); len(list) != 255 || whole {
		t.Errorf("%d packets kept, whole: %v", len(list), whole)
	}
}
