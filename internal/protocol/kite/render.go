package kite

import (
	"encoding/binary"
	"strconv"
	"time"
)

// appendJSON writes a tick with Kite's own names, as far as its packet has them.
func (t *tick) appendJSON(b []byte) []byte {
	digits := places(t.token)
	b = appendNumber(append(b, `{"instrument_token":`...), t.token)
	b = append(append(b, `,"mode":"`...), t.mode.String()...)
	b = strconv.AppendBool(append(b, `","tradable":`...), segment(t.token) != indices)
	b = appendDecimal(append(b, `,"last_price":`...), int64(t.last), digits)
	if t.mode == LTP {
		return append(b, '}')
	}
	if !t.index {
		b = appendNumber(append(b, `,"last_traded_quantity":`...), t.quantity)
		b = appendDecimal(append(b, `,"average_traded_price":`...), int64(t.average), digits)
		b = appendNumber(append(b, `,"volume_traded":`...), t.volume)
		b = appendNumber(append(b, `,"total_buy_quantity":`...), t.buy)
		b = appendNumber(append(b, `,"total_sell_quantity":`...), t.sell)
	}
	b = appendDecimal(append(b, `,"ohlc":{"open":`...), int64(t.open), digits)
	b = appendDecimal(append(b, `,"high":`...), int64(t.high), digits)
	b = appendDecimal(append(b, `,"low":`...), int64(t.low), digits)
	b = appendDecimal(append(b, `,"close":`...), int64(t.close), digits)
	b = appendDecimal(append(b, `},"change":`...), t.change(), changePlaces)
	if t.mode == Full && !t.index {
		b = appendTime(b, `,"last_trade_time":"`, t.traded)
		b = appendNumber(append(b, `,"oi":`...), t.oi)
		b = appendNumber(append(b, `,"oi_day_high":`...), t.oiHigh)
		b = appendNumber(append(b, `,"oi_day_low":`...), t.oiLow)
	}
	b = appendTime(b, `,"exchange_timestamp":"`, t.at)
	if t.depth != nil {
		b = appendLevels(append(b, `,"depth":{"buy":[`...), t.depth[:depthLevels*levelSize], digits)
		b = appendLevels(append(b, `],"sell":[`...), t.depth[depthLevels*levelSize:], digits)
		b = append(b, `]}`...)
	}
	return append(b, '}')
}

// appendLevels writes one side of the market depth. The last two bytes of a level mean nothing.
func appendLevels(b, levels []byte, digits int) []byte {
	for sep := ""; len(levels) > 0; levels, sep = levels[levelSize:], "," {
		b = append(b, sep...)
		b = appendNumber(append(b, `{"quantity":`...), binary.BigEndian.Uint32(levels))
		b = appendDecimal(append(b, `,"price":`...), int64(int32(binary.BigEndian.Uint32(levels[4:]))), digits)
		b = appendNumber(append(b, `,"orders":`...), uint32(binary.BigEndian.Uint16(levels[8:])))
		b = append(b, '}')
	}
	return b
}

// changePlaces is how many digits after the point the change in percent has. A smaller change of a price that has cents is
// none.
const changePlaces = 4

// change is by how much the last price differs from the close of the day before, in percent of that, as an integer with
// changePlaces: the nearest one, away from zero if there are two. 0 if there is no close.
func (t *tick) change() int64 {
	if t.close == 0 {
		return 0
	}
	whole := int64(t.close)
	part := (int64(t.last) - whole) * 100 * 10_000
	quotient, rest := part/whole, part%whole
	if 2*max(rest, -rest) < max(whole, -whole) {
		return quotient
	}
	if (part < 0) != (whole < 0) {
		return quotient - 1
	}
	return quotient + 1
}

func appendNumber(b []byte, n uint32) []byte { return strconv.AppendUint(b, uint64(n), 10) }

var powersOfTen = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// appendDecimal writes v with its last digits after a point, and without zeros at the end that say nothing.
func appendDecimal(b []byte, v int64, digits int) []byte {
	n := uint64(v)
	if v < 0 {
		b, n = append(b, '-'), -n
	}
	unit := powersOfTen[digits]
	b = strconv.AppendUint(b, n/unit, 10)
	if n %= unit; n > 0 {
		b = append(b, '.')
	}
	for ; n > 0; n %= unit {
		unit /= 10
		b = append(b, '0'+byte(n/unit))
	}
	return b
}

// appendTime writes a key, up to the quotes that open its value, and a time; nothing if the time is unknown.
func appendTime(b []byte, key string, seconds uint32) []byte {
	if seconds == 0 {
		return b
	}
	b = time.Unix(int64(seconds), 0).UTC().AppendFormat(append(b, key...), time.RFC3339)
	return append(b, '"')
}
