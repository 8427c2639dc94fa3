package kite

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim/upstream"
)

func TestFaultsThatATestCallsForHappen(t *testing.T) {
	const snapshot = "\x00\x01\x00\x08"
	for _, tc := range []struct {
		fault  upstream.Fault
		strike func(*Ticker) bool
		want   string           // what the one frame begins with; "": there is none
		end    func(error) bool // nil: stays open
	}{
		{upstream.FaultReset, func(p *Ticker) bool { return p.Reset(2) }, "", isReset},
		{upstream.FaultFIN, func(p *Ticker) bool { return p.FIN(2) }, "", isEOF},
		{upstream.FaultClose, func(p *Ticker) bool { return p.Close(2, 1001, "why") }, "\x03\xe9why", isEOF},
		{upstream.FaultSilence, func(p *Ticker) bool { return p.Mute(2) }, "", nil},
		{upstream.FaultBadFrame, func(p *Ticker) bool { return p.BadFrame(2) }, "?", nil},
		{upstream.FaultStorm, func(p *Ticker) bool { return p.ResetAll() == 2 }, "", isReset},
		{FaultMessage, func(p *Ticker) bool { return p.Message(2, "hi") }, `{"type":"message","data":"hi"}`, nil},
		{FaultError, func(p *Ticker) bool { return p.Error(2, "oh") }, `{"type":"error","data":"oh"}`, nil},
		{FaultUnknownText, func(p *Ticker) bool { return p.UnknownText(2) }, `{"type":"news_from_the_future",`, nil},
		{FaultGarbage, func(p *Ticker) bool { return p.Garbage(2) }, `{"type":"order","data":{"order_id":"2201`, nil},
		{FaultTruncate, func(p *Ticker) bool { return p.Truncate(2) }, snapshot, nil},
		{FaultTrailing, func(p *Ticker) bool { return p.Trailing(2) }, snapshot, nil},
		{FaultOrder, func(p *Ticker) bool { return p.Order(2) }, `{"type":"order","data":{"user_id":`, nil},
	} {
		t.Run(string(tc.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, n := start(t, still)
				bystander, c := join(t, n, "?api_key=other&access_token=x"), join(t, n, goodQuery)
				c.subscribe(infy)
				c.mode(ModeLTP, infy)
				c.take()
				if !tc.strike(p) {
					t.Error("it did not happen")
				}
				time.Sleep(10 * time.Minute)
				got := c.take()
				if (tc.want == "") != (len(got) == 0) || len(got) > 1 || len(got) == 1 && !strings.HasPrefix(got[0].payload, tc.want) {
					t.Errorf("got %v", got)
				}
				if end := c.end(); (tc.end == nil) != (end == nil) || end != nil && !tc.end(end) {
					t.Errorf("ended: %v", end)
				}
				if p.Fired()[tc.fault] != 1 || len(p.Fired()) != 1 {
					t.Errorf("fired: %v", p.Fired())
				}
				if (bystander.end() == nil) != (tc.fault != upstream.FaultStorm) || len(bystander.take()) != 0 {
					t.Errorf("the other connection: %v", bystander.end())
				}
			})
		})
	}
}

func TestHeartbeatsStopAndTicksGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, Options{Options: upstream.Options{Rate: 1}})
		c, other := join(t, n, goodQuery), join(t, n, goodQuery)
		c.subscribe(infy)
		c.take()
		if !p.StopHeartbeat(1) {
			t.Error("they did not stop")
		}
		time.Sleep(time.Minute)
		if got := len(c.packets()); got < 59 || len(other.take()) < 59 {
			t.Errorf("%d ticks", got)
		}
		for _, r := range c.take() {
			if len(r.payload) == 1 {
				t.Error("a heartbeat")
			}
		}
	})
}

func TestFramesThatEndEarlyHoldNoNewTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tokens := range [][]uint32{nil, {nifty}, {infy, 1 << 31}} {
			p, n := start(t, Options{Heartbeat: -1, Record: true})
			c := join(t, n, goodQuery)
			c.subscribe(tokens...)
			c.packets()
			p.TakeSent()
			for range 6 {
				p.Truncate(1)
			}
			p.Trailing(1)
			whole := 0
			got := c.take()
			for i, r := range got {
				packets, ok := unpack([]byte(r.payload))
				if ok || len(packets) > 1 || len(tokens) > 0 && len(packets) == 1 && number(packets[0], 0) != tokens[0] {
					t.Errorf("frame %d adds up, or holds more than a snapshot: %x", i, r.payload)
				}
				whole += len(packets)
			}
			sent, _ := p.TakeSent()
			for _, s := range sent {
				if !s.Extra || len(tokens) > 0 && s.Token != tokens[0] {
					t.Errorf("on record: %+v", s)
				}
			}
			if len(got) != 7 || whole != 4 || len(sent) != 4 {
				t.Errorf("%d frames, %d whole packets, %d on record", len(got), whole, len(sent))
			}
		}
	})
}

func TestOddTicksContradictThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := still
		o.Rate, o.Odd, o.Record = 100, 0.2, true
		p, n := start(t, o)
		c := join(t, n, goodQuery)
		c.subscribe(infy, nifty, usdinr)
		c.mode(ModeFull, infy, nifty)
		c.take()
		p.TakeSent()
		time.Sleep(time.Minute)
		kinds, exchange := map[Oddity]int{}, map[uint32]uint32{}
		got := c.packets()
		sent, _ := p.TakeSent()
		for i, b := range got {
			s, kind := sent[i], Oddity("")
			if string(b) != string(s.Bytes) {
				t.Fatalf("packet %d is not on record", i)
			}
			high, low, last, at := 8, 9, number(b, 1), 15
			if len(b) == 32 {
				high, low, at = 2, 3, 7
			}
			switch {
			case number(b, 0)&0xff > 9:
				kind = OddSegment
				if p.Happened(s.Token) != 0 || s.N != 0 || !s.Extra {
					t.Errorf("a stray packet: %+v", s)
				}
			case number(b, high) < number(b, low):
				kind = OddHighLow
			case last > number(b, high) || last < number(b, low):
				kind = OddLastOutside
			case len(b) != 44 && number(b, at) < exchange[s.Token]:
				kind = OddTime
			}
			if len(b) != 44 {
				exchange[s.Token] = number(b, at)
			}
			if kind != s.Odd {
				t.Errorf("%q, on record as %q: %x", kind, s.Odd, b)
			}
			if kind != "" {
				kinds[kind]++
			}
		}
		sum := 0
		for _, kind := range []Oddity{OddHighLow, OddLastOutside, OddTime, OddSegment} {
			sum += kinds[kind]
			if kinds[kind] < 100 {
				t.Errorf("%s: %d", kind, kinds[kind])
			}
		}
		if sum != p.Fired()[FaultOdd] || len(got) != len(sent) || sum < 1000 || sum > 1400 {
			t.Errorf("%d were odd, fired %v", sum, p.Fired())
		}
	})
}

func TestPacketsOfUnknownLengthStandAmongTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := still
		o.Rate, o.UnknownPackets, o.Batch = 100, 0.3, time.Second
		p, n := start(t, o)
		c := join(t, n, goodQuery)
		c.subscribe(infy)
		c.take()
		time.Sleep(100 * time.Second)
		lengths, volume := map[int]int{}, uint32(0)
		for _, b := range c.packets() {
			lengths[len(b)]++
			if len(b) == 44 {
				if volume++; number(b, 4) != volume {
					t.Fatalf("tick %d has volume %d", volume, number(b, 4))
				}
			}
		}
		if len(lengths) != 5 || lengths[0] < 500 || lengths[10] < 500 || lengths[45] < 500 || lengths[300] < 500 || volume < 9000 {
			t.Errorf("lengths: %v", lengths)
		}
		if odd := lengths[0] + lengths[10] + lengths[45] + lengths[300]; odd != p.Fired()[FaultUnknownPacket] {
			t.Errorf("%d, fired %v", odd, p.Fired())
		}
	})
}

func TestOrdersGoToAllSocketsOfTheirKeyOrToOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, still)
		a, b, other := join(t, n, goodQuery), join(t, n, goodQuery), join(t, n, "?api_key=other&access_token=x")
		seen := map[string]bool{}
		last := map[string]string{}
		for i := range 200 {
			toOne := i%2 == 1
			p.Change(func(o *Options) { o.OrderToOne = toOne })
			time.Sleep(time.Second)
			p.Order(1)
			fromA, fromB := a.texts(), b.texts()
			if len(fromA) != 1 || toOne && len(fromB) != 0 || !toOne && !slices.Equal(fromA, fromB) {
				t.Fatalf("a got %q, b got %q", fromA, fromB)
			}
			var text struct {
				Type string
				Data json.RawMessage
			}
			var order struct {
				ID        string `json:"order_id"`
				Status    string `json:"status"`
				Updated   string `json:"exchange_update_timestamp"`
				Quantity  int    `json:"quantity"`
				Filled    int    `json:"filled_quantity"`
				Pending   int    `json:"pending_quantity"`
				Cancelled int    `json:"cancelled_quantity"`
			}
			if json.Unmarshal([]byte(fromA[0]), &text) != nil || json.Unmarshal(text.Data, &order) != nil || text.Type != "order" {
				t.Fatalf("no order: %s", fromA[0])
			}
			now := time.Now().UTC().Add(330 * time.Minute).Format(time.DateTime)
			if order.Quantity != order.Filled+order.Pending+order.Cancelled || order.Updated != now {
				t.Errorf("%+v", order)
			}
			if last[order.ID] == order.Status || last[order.ID] == "COMPLETE" || last[order.ID] == "CANCELLED" {
				t.Errorf("order %s was %s and is %s", order.ID, last[order.ID], order.Status)
			}
			last[order.ID], seen[order.Status] = order.Status, true
			sent := p.Orders()[i]
			conns := []int{1, 2}
			if toOne {
				conns = conns[:1]
			}
			if sent.ID != order.ID || sent.Status != order.Status || sent.Filled != order.Filled ||
				sent.Data != string(text.Data) || !slices.Equal(sent.Conns, conns) {
				t.Errorf("on record: %+v", sent)
			}
		}
		if len(seen) != 6 || len(last) < 50 || len(last) > 150 || len(other.take()) != 0 {
			t.Errorf("%d orders, statuses %v", len(last), seen)
		}
	})
}

func TestFaultsStrikeEverySoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = time.Minute
		o := Options{Options: upstream.Options{ResetEvery: every, Connections: 3}}
		o.OrderEvery, o.MessageEvery, o.ErrorEvery, o.UnknownTextEvery = every, every, every, every
		o.GarbageEvery, o.TruncateEvery, o.TrailingEvery, o.HeartbeatStopEvery = every, every, every, every
		p, n := start(t, o)
		for range 50 * 12 {
			for p.Open() < 3 {
				join(t, n, goodQuery).subscribe(tokens(1, 20)...)
				synctest.Wait()
			}
			time.Sleep(5 * time.Second)
		}
		for _, f := range []upstream.Fault{
			upstream.FaultReset, FaultOrder, FaultMessage, FaultError, FaultUnknownText, FaultGarbage, FaultTruncate, FaultTrailing,
		} {
			if got := p.Fired()[f]; got < 40 || got > 55 {
				t.Errorf("%s struck %d times in 50 minutes", f, got)
			}
		}
		if got := p.Fired()[FaultHeartbeatStop]; got < 10 {
			t.Errorf("heartbeats stopped %d times", got)
		}
		wantRules(t, p)
	})
}

func TestOneConnectionCanHaveALowerCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, still)
		p.SetCap(2, 3) // yet to come
		a, b := join(t, n, goodQuery), join(t, n, goodQuery)
		for _, c := range []*rawClient{a, b} {
			c.subscribe(tokens(1, 3)...)
			c.wantTexts()
			c.subscribe(infy)
		}
		a.wantTexts()
		b.wantTexts(`{"type":"error","data":"Can't subscribe to more than 3000 instruments."}`)
		p.SetCap(2, 0)
		b.subscribe(infy)
		b.wantTexts()
		wantRules(t, p)
		if p.Fired()[FaultCap] != 1 {
			t.Errorf("fired: %v", p.Fired())
		}
	})
}

func TestStarvedConnectionsGetHeartbeatsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Options: upstream.Options{Rate: 10, Starve: true, Connections: 1}}
		p, n := start(t, o)
		a, b := join(t, n, goodQuery), join(t, n, goodQuery)
		a.subscribe(infy)
		b.subscribe(infy)
		time.Sleep(10 * time.Second)
		if len(a.packets()) != 0 || len(b.packets()) < 99 || a.end() != nil {
			t.Error("the oldest is not starved, or the newest is")
		}
		wantRules(t, p, "connections")
	})
}

func TestFaultsThatDidNotHappenAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{
			TokenDies: 1, Linger: 1, LingerInstruments: 1, Odd: 1, UnknownPackets: 1, OrderEvery: 1, MessageEvery: 1, ErrorEvery: 1,
			UnknownTextEvery: 1, GarbageEvery: 1, TruncateEvery: 1, TrailingEvery: 1, HeartbeatStopEvery: 1,
		}
		p := NewTicker(o)
		if p.Truncate(1) || !p.SetCap(7, 1) {
			t.Error("a connection that is not there was struck, or takes no plans")
		}
		want := []upstream.Fault{
			FaultCap, FaultError, FaultGarbage, FaultHeartbeatStop, FaultLinger, FaultLingerInstruments, FaultMessage, FaultOdd,
			FaultOrder, FaultTokenDies, FaultTrailing, FaultTruncate, FaultUnknownPacket, FaultUnknownText,
		}
		if got := p.Unfired(); !slices.Equal(got, want) {
			t.Errorf("unfired: %v, want %v", got, want)
		}
		p = NewTicker(Options{})
		p.TokenDies(time.Now())
		if got := p.Unfired(); !slices.Equal(got, []upstream.Fault{FaultTokenDies}) {
			t.Errorf("unfired: %v", got)
		}
	})
}

func TestOptionsThatMeanNothingAreRefused(t *testing.T) {
	if err := (Options{}).WithDefaults().Check(); err != nil {
		t.Error(err)
	}
	for _, o := range []Options{
		{Odd: 2}, {UnknownPackets: -1}, {Batch: -1}, {Batch: time.Hour}, {PacketsPerFrame: -1}, {PacketsPerFrame: 1 << 16},
		{Options: upstream.Options{Saturate: true}}, {Options: upstream.Options{Rate: -1}},
	} {
		if o.Check() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
