package kite

import (
	"bytes"
	"testing"

	"feedmux/internal/protocol"
)

// usual is a full packet with figures of a usual length.
func usual() []byte {
	p := words(408065, 157370, 5, 157012, 1192471, 128903, 147212, 156900, 158000, 156500, 156990,
		1753776899, 1234567, 1234999, 1230001, 1753776900)
	for i := range uint32(2 * depthLevels) {
		p = append(p, words(100+i, 157370-5*i, (i+1)<<16)...)
	}
	return p
}

// The bound is 2 µs.
func BenchmarkFullPacket(b *testing.B) {
	s := open(Options{})
	change(s, topics("408065/full"))
	msg := frame(usual())
	var out protocol.Out
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := s.Message(protocol.Binary, msg, &out); err != nil || len(out.Events) != 1 {
			b.Fatal(err, len(out.Events))
		}
	}
}

func BenchmarkQuotePacket(b *testing.B) {
	s := open(Options{})
	change(s, topics("408065"))
	msg := frame(usual()[:quoteSize])
	var out protocol.Out
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := s.Message(protocol.Binary, msg, &out); err != nil || len(out.Events) != 1 {
			b.Fatal(err, len(out.Events))
		}
	}
}

func TestATickAllocatesNothing(t *testing.T) {
	s := open(Options{})
	change(s, topics("408065/full", "265"))
	odd := usual()
	odd[3*4+1]++
	copy(odd[4:8], []byte{0, 0, 0, 1}) // outside the day's range
	msg := frame(usual(), usual()[:quoteSize], ltp(408065, 1), words(265, 1, 2, 3, 4, 5, 6), words(265, 1, 2, 3, 4, 5, 6, 7), odd)
	var out protocol.Out
	hear := func() {
		out.Reset()
		if err := s.Message(protocol.Binary, msg, &out); err != nil || len(out.Events) != 6 || len(out.Oddities) == 0 {
			t.Fatal(err, len(out.Events), out.Oddities)
		}
	}
	if n := testing.AllocsPerRun(100, hear); n != 0 {
		t.Errorf("%v allocations", n)
	}
	heartbeat := bytes.Repeat([]byte{0}, 1)
	if n := testing.AllocsPerRun(100, func() {
		out.Reset()
		if err := s.Message(protocol.Binary, heartbeat, &out); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a heartbeat", n)
	}
}
