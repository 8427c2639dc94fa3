package kite

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// told is what a packet was made of, and what its JSON must say.
type told struct {
	packet []byte
	names  []string
	values []string // as they stand in the JSON, or "{" and "}" and so on where names is ""
}

func (x *told) put(name, value string) {
	x.names, x.values = append(x.names, name), append(x.values, value)
}

// decimal is v / 10^digits, with big.Rat's opinion of how that is written.
func decimal(v int64, digits int) string {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	s := new(big.Rat).SetFrac(big.NewInt(v), unit).FloatString(digits)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// percent rounds (last-close)*100/close.
func percent(last, close int32) string {
	if close == 0 {
		return "0"
	}
	r := big.NewRat((int64(last)-int64(close))*100, int64(close))
	s := strings.TrimSuffix(strings.TrimRight(r.FloatString(4), "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}

// randomTick makes a packet of the table's, field by field, and what is to come of it.
func randomTick(r *rand.Rand, token uint32) (x told) {
	digits := map[uint32]int{3: 7, 6: 4}[token&0xff]
	if digits == 0 {
		digits = 2
	}
	number := func() uint32 {
		switch r.IntN(4) {
		case 0:
			return 0
		case 1:
			return r.Uint32()
		}
		return r.Uint32N(1_000_000)
	}
	price := func(v uint32) string { return decimal(int64(int32(v)), digits) }
	count := func(v uint32) string { return strconv.FormatUint(uint64(v), 10) }
	stamp := func(name string, v uint32) {
		if v != 0 {
			x.put(name, strconv.Quote(time.Unix(int64(v), 0).UTC().Format("2006-01-02T15:04:05Z")))
		}
	}
	kind := r.IntN(5)
	last := number()
	x.put("instrument_token", count(token))
	x.put("mode", `"`+[]string{"ltp", "quote", "full", "quote", "full"}[kind]+`"`)
	x.put("tradable", strconv.FormatBool(token&0xff != 9))
	x.put("last_price", price(last))
	x.packet = words(token, last)
	ohlc := func(o, h, l, c uint32) {
		x.put("ohlc.open", price(o))
		x.put("ohlc.high", price(h))
		x.put("ohlc.low", price(l))
		x.put("ohlc.close", price(c))
		x.put("change", percent(int32(last), int32(c)))
	}
	o, h, l, c := number(), number(), number(), number()
	switch kind {
	case 0:
	case 1, 2:
		x.packet = append(x.packet, words(h, l, o, c, number())...)
		ohlc(o, h, l, c)
		if kind == 2 {
			at := number()
			x.packet = append(x.packet, words(at)...)
			stamp("exchange_timestamp", at)
		}
	default:
		q, avg, vol, buy, sell := number(), number(), number(), number(), number()
		x.packet = append(x.packet, words(q, avg, vol, buy, sell, o, h, l, c)...)
		x.put("last_traded_quantity", count(q))
		x.put("average_traded_price", price(avg))
		x.put("volume_traded", count(vol))
		x.put("total_buy_quantity", count(buy))
		x.put("total_sell_quantity", count(sell))
		ohlc(o, h, l, c)
		if kind == 3 {
			break
		}
		traded, oi, high, low, at := number(), number(), number(), number(), number()
		x.packet = append(x.packet, words(traded, oi, high, low, at)...)
		stamp("last_trade_time", traded)
		x.put("oi", count(oi))
		x.put("oi_day_high", count(high))
		x.put("oi_day_low", count(low))
		stamp("exchange_timestamp", at)
		for _, side := range []string{"buy", "sell"} {
			for i := range 5 {
				quantity, p, orders := number(), number(), uint16(number())
				x.packet = append(x.packet, words(quantity, p)...)
				x.packet = binary.BigEndian.AppendUint16(x.packet, orders)
				x.packet = binary.BigEndian.AppendUint16(x.packet, uint16(number()))
				at := "depth." + side + "." + strconv.Itoa(i)
				x.put(at+".quantity", count(quantity))
				x.put(at+".price", price(p))
				x.put(at+".orders", count(uint32(orders)))
			}
		}
	}
	return x
}

// flat reads JSON as a list of leaves, in order: their path, and how they are written.
func flat(t *testing.T, text []byte) (names, values []string) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var walk func(path string)
	walk = func(path string) {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		below := func(name string) {
			walk(strings.TrimPrefix(path+"."+name, "."))
		}
		switch token {
		case json.Delim('{'):
			for d.More() {
				key, err := d.Token()
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				below(key.(string))
			}
			d.Token()
		case json.Delim('['):
			for i := 0; d.More(); i++ {
				below(strconv.Itoa(i))
			}
			d.Token()
		default:
			value, err := json.Marshal(token)
			if err != nil {
				t.Fatal(err)
			}
			names, values = append(names, path), append(values, string(value))
		}
	}
	walk("")
	return names, values
}

func TestEveryFieldOfAPacketIsInItsJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kinds := make(map[int]int)
	for n := range 2_000 {
		token := 1<<8 | uint32(r.IntN(11))
		s := open(Options{})
		change(s, topics(strconv.Itoa(int(token))))
		want := randomTick(r, token)
		kinds[len(want.packet)]++
		out := hear(s, frame(want.packet))
		if len(out.Events) != 1 || len(out.Skipped) > 0 {
			t.Fatalf("%d: %d events, skipped %v", n, len(out.Events), out.Skipped)
		}
		got := out.Events[0].Payload
		if !json.Valid(got) {
			t.Fatalf("%d: no JSON: %s", n, got)
		}
		names, values := flat(t, got)
		if !slices.Equal(names, want.names) || !slices.Equal(values, want.values) {
			t.Fatalf("%x:\n%s\n%q\n%q\nwant\n%q\n%q", want.packet, got, names, values, want.names, want.values)
		}
	}
	for _, size := range []int{8, 28, 32, 44, 184} {
		if kinds[size] == 0 {
			t.Errorf("no packet had %d bytes", size)
		}
	}
}

func TestPricesAreExactDecimals(t *testing.T) {
	for _, c := range []struct {
		v      int64
		digits int
		want   string
	}{
		{157370, 2, "1573.7"}, {157300, 2, "1573"}, {5, 2, "0.05"}, {-5, 2, "-0.05"}, {0, 2, "0"}, {-100, 2, "-1"},
		{1, 7, "0.0000001"}, {869250001, 7, "86.9250001"}, {-1 << 31, 7, "-214.7483648"}, {-1 << 31, 2, "-21474836.48"},
		{869275, 4, "86.9275"}, {1<<31 - 1, 4, "214748.3647"}, {-1 << 63, 0, "-9223372036854775808"},
	} {
		if got := string(appendDecimal(nil, c.v, c.digits)); got != c.want {
			t.Errorf("%d with %d digits: %s, want %s", c.v, c.digits, got, c.want)
		}
	}
}

func TestChangeIsRoundedToTheNearest(t *testing.T) {
	for _, c := range []struct {
		last, close int32
		want        string
	}{
		{39295, 41410, "-5.1075"}, {157370, 156990, "0.2421"}, {100, 0, "0"}, {100, 100, "0"},
		{2_000_001, 2_000_000, "0.0001"}, {1_999_999, 2_000_000, "-0.0001"}, // 0.00005: away from zero
		{2_000_001, 2_000_001, "0"}, {2_000_002, 2_000_001, "0"}, {-1, 1, "-200"}, {1, -1, "-200"}, {-2, -1, "100"},
		{-1 << 31, 1<<31 - 1, "-200"}, {1<<31 - 1, 1, "214748364600"}, {1, 3, "-66.6667"}, {2, 3, "-33.3333"},
	} {
		tick := tick{last: c.last, close: c.close}
		if got := string(appendDecimal(nil, tick.change(), changePlaces)); got != c.want || got != percent(c.last, c.close) {
			t.Errorf("from %d to %d: %s, want %s", c.close, c.last, got, c.want)
		}
	}
}
