package kite

import "encoding/binary"

// Mode is how much a packet tells.
type Mode string

// The modes, of which a new subscription has quote.
const (
	ModeLTP   Mode = "ltp"
	ModeQuote Mode = "quote"
	ModeFull  Mode = "full"
)

// The lengths of packets, which are all that tells their kinds apart.
const (
	sizeLTP       = 8
	sizeIndex     = 28
	sizeIndexFull = 32
	sizeQuote     = 44
	sizeFull      = 184
)

func sizeOf(token uint32, m Mode) int {
	index := segmentOf(token) == segmentIndex
	switch {
	case m == ModeLTP:
		return sizeLTP
	case m == ModeQuote && index:
		return sizeIndex
	case m == ModeFull && index:
		return sizeIndexFull
	case m == ModeQuote:
		return sizeQuote
	}
	return sizeFull
}

// maxPackets is what the count of packets at the beginning of a frame can say.
const maxPackets = 1<<16 - 1

// appendPacket appends a packet behind its length.
func appendPacket(dst []byte, token uint32, m Mode, q *quote) []byte {
	be := binary.BigEndian
	size := sizeOf(token, m)
	dst = be.AppendUint16(dst, uint16(size))
	dst = be.AppendUint32(dst, token)
	dst = be.AppendUint32(dst, q.last)
	switch size {
	case sizeIndex, sizeIndexFull:
		for _, v := range [...]uint32{q.high, q.low, q.open, q.close, q.last - q.close} {
			dst = be.AppendUint32(dst, v)
		}
		if size == sizeIndexFull {
			dst = be.AppendUint32(dst, q.exchange)
		}
	case sizeQuote, sizeFull:
		for _, v := range [...]uint32{
			q.lastQuantity, q.average, q.volume, q.buy, q.sell, q.open, q.high, q.low, q.close,
		} {
			dst = be.AppendUint32(dst, v)
		}
		if size == sizeFull {
			for _, v := range [...]uint32{q.lastTrade, q.oi, q.oiHigh, q.oiLow, q.exchange} {
				dst = be.AppendUint32(dst, v)
			}
			dst = appendDepth(dst, q)
		}
	}
	return dst
}

// appendDepth appends five bids below the last price and five offers above it.
func appendDepth(dst []byte, q *quote) []byte {
	be := binary.BigEndian
	for i := range uint32(10) {
		price := q.last - q.step*(i+1)
		if i >= 5 {
			price = q.last + q.step*(i-4)
		}
		drawn := uint32(q.depth >> (5 * i))
		dst = be.AppendUint32(dst, 1+drawn&0xfff)
		dst = be.AppendUint32(dst, price)
		dst = be.AppendUint16(dst, uint16(1+drawn&0xf))
		dst = append(dst, 0xee, 0xee) // padding, which means nothing
	}
	return dst
}
