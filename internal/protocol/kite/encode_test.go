package kite

import (
	"encoding/binary"

	"feedmux/internal/protocol"
)

// The tests make packets of their own, from the table in Kite's documentation.

func words(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func ltp(token, last uint32) []byte { return words(token, last) }

func frame(packets ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(packets)))
	for _, p := range packets {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p))), p...)
	}
	return b
}

// hear lets a session hear a binary frame.
func hear(s *session, msg []byte) *protocol.Out {
	var out protocol.Out
	if err := s.Message(protocol.Binary, msg, &out); err != nil {
		panic(err)
	}
	return &out
}
