package kite

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	infy    = 408065 // NSE: 408065 & 0xff = 1
	nifty   = 256265 // an index
	usdinr  = 0x12303
	bcd     = 0x45606
	unknown = 0x7890f
)

func TestRequestsAreObeyedOrAnsweredWithAnError(t *testing.T) {
	for _, tc := range []struct {
		name, say, want string
		rules           int
		instruments     int // beside the 9 before
	}{
		{"subscribe", `{"a":"subscribe","v":[408065,408065]}`, "", 0, 1},
		{"again", `{"a":"subscribe","v":[257,513]}`, "", 0, 0},
		{"nothing", `{"a":"subscribe","v":[]}`, "", 0, 0},
		{"one too many", `{"a":"subscribe","v":[408065,408321]}`, "Can't subscribe to more than 10 instruments.", 1, 0},
		{"strings", `{"a":"subscribe","v":["408065"]}`, "Invalid request: not a list of instrument tokens", 1, 0},
		{"fractions", `{"a":"subscribe","v":[1.5]}`, "Invalid request: not a list of instrument tokens", 1, 0},
		{"negative", `{"a":"subscribe","v":[-1]}`, "Invalid request: not a list of instrument tokens", 1, 0},
		{"too large", `{"a":"subscribe","v":[4294967296]}`, "Invalid request: not a list of instrument tokens", 1, 0},
		{"null", `{"a":"subscribe","v":[408065,null]}`, "Invalid request: no instrument has the token 0 or null", 1, 0},
		{"zero", `{"a":"subscribe","v":[0]}`, "Invalid request: no instrument has the token 0 or null", 1, 0},
		{"no list", `{"a":"subscribe","v":408065}`, "Invalid request: not a list of instrument tokens", 1, 0},
		{"no value", `{"a":"subscribe"}`, "Invalid request: not a list of instrument tokens", 1, 0},
		{"unsubscribe", `{"a":"unsubscribe","v":[257,513,769,408065]}`, "", 0, -3},
		{"mode of strangers", `{"a":"mode","v":["full",[408065]]}`, "", 0, 0},
		{"mode", `{"a":"mode","v":["ltp",[257]]}`, "", 0, 0},
		{"unknown mode", `{"a":"mode","v":["deep",[257]]}`, `Invalid request: mode \"deep\"`, 1, 0},
		{"flat mode", `{"a":"mode","v":["ltp",257]}`, "Invalid request: not a list of instrument tokens", 1, 0},
		{"mode without tokens", `{"a":"mode","v":["ltp"]}`, "Invalid request: not a mode and its tokens", 1, 0},
		{"unknown action", `{"a":"listen","v":[257]}`, `Invalid request: action \"listen\"`, 1, 0},
		{"no JSON", `{"a":"subscribe","v":[257]`, "Invalid request: not the JSON of a request", 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := still
				o.InstrumentsPerConnection = 10
				p, n := start(t, o)
				c := join(t, n, goodQuery)
				c.subscribe(tokens(1, 9)...)
				c.take()
				c.say("%s", tc.say)
				if tc.want == "" {
					c.wantTexts()
				} else {
					c.wantTexts(`{"type":"error","data":"` + tc.want + `"}`)
				}
				rec := p.Conns()[0]
				if len(rec.Instruments) != 9+tc.instruments || len(p.Subscribed()) != 9+tc.instruments {
					t.Errorf("subscribed to %v", rec.Instruments)
				}
				if len(p.Violations()) != tc.rules || c.end() != nil || len(rec.Asks) != 2 {
					t.Errorf("rules broken: %v, end %v", p.Violations(), c.end())
				}
			})
		})
	}
}

func TestModeSubscribesWhereTheOptionSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, Options{ModeSubscribes: true, Heartbeat: -1})
		c := join(t, n, goodQuery)
		c.mode(ModeFull, infy)
		if got := c.packets(); len(got) != 1 || len(got[0]) != 184 {
			t.Errorf("got %x", got)
		}
		p.Change(func(o *Options) { o.ModeSubscribes = false })
		c.mode(ModeFull, nifty)
		if len(c.packets()) != 0 || len(p.Subscribed()) != 1 || p.Conns()[0].Asks[1].Ignored != 1 {
			t.Errorf("%+v", p.Conns()[0])
		}
	})
}

func TestThreeThousandInstrumentsInOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, still)
		c := join(t, n, goodQuery)
		c.subscribe(tokens(2, 3000)...)
		if got := c.packets(); len(got) != 3000 {
			t.Errorf("%d snapshots", len(got))
		}
		c.subscribe(infy)
		c.wantTexts(`{"type":"error","data":"Can't subscribe to more than 3000 instruments."}`)
		wantRules(t, p, RuleInstruments)
	})
}

func TestPacketsHaveTheKindOfModeAndSegment(t *testing.T) {
	for _, tc := range []struct {
		token uint32
		sizes [3]int // ltp, quote, full
	}{
		{infy, [3]int{8, 44, 184}}, {nifty, [3]int{8, 28, 32}}, {usdinr, [3]int{8, 44, 184}}, {bcd, [3]int{8, 44, 184}},
		{unknown, [3]int{8, 44, 184}},
	} {
		t.Run(fmt.Sprint(tc.token), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := still
				o.Rate = 1
				p, n := start(t, o)
				c := join(t, n, goodQuery)
				c.subscribe(tc.token)
				if got := c.packets(); len(got) != 1 || len(got[0]) != tc.sizes[1] || number(got[0], 0) != tc.token {
					t.Errorf("snapshot: %x", got)
				}
				for i, m := range []Mode{ModeLTP, ModeQuote, ModeFull} {
					c.mode(m, tc.token)
					if got := c.packets(); len(got) != 0 {
						t.Errorf("a mode was answered: %x", got)
					}
					time.Sleep(time.Second)
					if got := c.packets(); len(got) != 1 || len(got[0]) != tc.sizes[i] || number(got[0], 0) != tc.token {
						t.Errorf("%v: %x", m, got)
					}
				}
				if rec := p.Conns()[0]; rec.Instruments[tc.token] != ModeFull || rec.Asks[3].Mode != ModeFull || rec.Ticks != 3 {
					t.Errorf("%+v", rec)
				}
			})
		})
	}
}

// TestTicksAreConsistent reads each packet by the table of the wire format.
func TestTicksAreConsistent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := still
		o.Rate = 200
		_, n := start(t, o)
		c := join(t, n, goodQuery)
		all := []uint32{infy, nifty, usdinr, bcd, unknown}
		c.subscribe(all...)
		c.mode(ModeFull, all...)
		c.take()
		ticks, moved := map[uint32]uint32{}, map[uint32]bool{}
		last := map[uint32]uint32{}
		for range 100 {
			time.Sleep(time.Second)
			now := uint32(time.Now().Unix())
			for _, b := range c.packets() {
				token, price := number(b, 0), number(b, 1)
				ticks[token]++
				moved[token] = moved[token] || price < last[token]
				if price == last[token] {
					t.Fatalf("%d: the same price twice", token)
				}
				last[token] = price
				var open, high, low, closed, exchange uint32
				if token == nifty {
					high, low, open, closed, exchange = number(b, 2), number(b, 3), number(b, 4), number(b, 5), number(b, 7)
					if int32(number(b, 6)) != int32(price-closed) {
						t.Fatalf("change %d of %d from %d", int32(number(b, 6)), price, closed)
					}
				} else {
					open, high, low, closed, exchange = number(b, 7), number(b, 8), number(b, 9), number(b, 10), number(b, 15)
					if number(b, 2) != 1 || number(b, 4) != ticks[token] || number(b, 11) != exchange {
						t.Fatalf("%d: quantity %d, volume %d, traded at %d", token, number(b, 2), number(b, 4), number(b, 11))
					}
					if average := number(b, 3); average < low || average > high {
						t.Fatalf("average %d", average)
					}
					if oi := number(b, 12); token != infy && (oi == 0 || oi > number(b, 13) || oi < number(b, 14)) {
						t.Fatalf("%d: open interest %d, %d to %d", token, oi, number(b, 14), number(b, 13))
					}
					if bid, offer := number(b, 17), number(b, 32); bid >= price || offer <= price || bid < price/2 {
						t.Fatalf("bid %d, last %d, offer %d", bid, price, offer)
					}
				}
				if price > 1<<31-1 || low > price || price > high || low > open || open > high || closed == 0 ||
					exchange > now || exchange+1 < now {
					t.Fatalf("%d: last %d, open %d, high %d, low %d, close %d, at %d of %d",
						token, price, open, high, low, closed, exchange, now)
				}
			}
		}
		for _, token := range all {
			if ticks[token] < 3000 || !moved[token] {
				t.Errorf("%d: %d ticks, ever down: %v", token, ticks[token], moved[token])
			}
		}
	})
}

func TestPacketsAreAsKiteWritesThem(t *testing.T) {
	q := quote{
		last: 39295, lastQuantity: 2, average: 40307, volume: 22261032, buy: 5617,
		open: 42000, high: 42090, low: 39010, close: 41410,
	}
	for mode, want := range map[Mode]string{ // two packets that were seen on the wire, behind their lengths
		ModeLTP: "0008000d80010000997f",
		ModeQuote: "002c000d80010000997f0000000200009d730153ad28000015f1000000000000a4100000a46a" +
			"000098620000a1c2",
	} {
		if got := fmt.Sprintf("%x", appendPacket(nil, 884737, mode, &q)); got != want {
			t.Errorf("%v: %s, want %s", mode, got, want)
		}
	}
}

func TestTicksGatherAndShareFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := still
		o.Rate, o.Batch, o.PacketsPerFrame = 100, 100*time.Millisecond, 4
		_, n := start(t, o)
		c := join(t, n, goodQuery)
		c.subscribe(tokens(1, 5)...)
		c.take()
		time.Sleep(time.Second)
		var sizes []int
		for _, r := range c.take() {
			packets, ok := unpack([]byte(r.payload))
			if !ok {
				t.Errorf("%x", r.payload)
			}
			sizes = append(sizes, len(packets))
		}
		if want := strings.Repeat("4 4 2 ", 10); fmt.Sprint(sizes) != "["+want[:len(want)-1]+"]" {
			t.Errorf("frames of %v packets", sizes)
		}
	})
}

func TestOneSeedMakesOneMarket(t *testing.T) {
	run := func(seed uint64) (all []string) {
		synctest.Test(t, func(t *testing.T) {
			o := still
			o.Rate, o.Seed = 50, seed
			_, n := start(t, o)
			c := join(t, n, goodQuery)
			c.subscribe(tokens(4, 9)...)
			time.Sleep(5 * time.Second)
			for _, packet := range c.packets() {
				all = append(all, string(packet))
			}
		})
		return all
	}
	one := run(1)
	if !reflect.DeepEqual(one, run(1)) || reflect.DeepEqual(one, run(2)) || len(one) < 200 {
		t.Errorf("%d packets, or chance is not the seed's", len(one))
	}
}

func TestHeartbeatsComeEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, Options{Options: still.Options})
		c, began := join(t, n, goodQuery), time.Now()
		time.Sleep(10 * time.Second)
		beats := c.take()
		for i, r := range beats {
			if r.op != 2 || r.payload != "\x00" || r.at.Sub(began) != time.Duration(i+1)*time.Second {
				t.Errorf("beat %d: %+v", i, r)
			}
		}
		p.Change(func(o *Options) { o.HeartbeatIdle, o.Rate = true, 2 })
		c.subscribe(infy)
		time.Sleep(10 * time.Second)
		got := c.take()
		p.Change(func(o *Options) { o.Rate = 0 })
		time.Sleep(10 * time.Second)
		if len(beats) != 10 || len(got) < 20 || len(got) > 22 || len(c.take()) < 9 {
			t.Errorf("%d beats, then %d frames", len(beats), len(got))
		}
		for _, r := range got {
			if len(r.payload) == 1 {
				t.Error("a heartbeat though it was not idle")
			}
		}
	})
}

func TestPreambleComesRightAfterTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := still
		o.Preamble = true
		_, n := start(t, o)
		join(t, n, goodQuery).wantTexts(`{"type":"instruments_meta","data":{"count":86481,"etag":"W/\"68907d60-55bf\""}}`,
			`{"type":"app_code","timestamp":"2000-01-01T05:30:00+05:30"}`)
	})
}

func TestConnectionKeepsWhenItWasSubscribedToWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, still)
		began := time.Now()
		c := join(t, n, goodQuery)
		c.subscribe(infy, nifty)
		synctest.Wait()
		time.Sleep(time.Second)
		c.unsubscribe(infy)
		synctest.Wait()
		time.Sleep(time.Second)
		p.Reset(1)
		at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
		want := []Listen{{infy, at(0), at(1)}, {nifty, at(0), at(2)}}
		if got := p.Conns()[0].Listens; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
