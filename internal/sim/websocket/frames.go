package websocket

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// Opcode is the kind of a WebSocket frame.
type Opcode byte

const (
	OpContinuation Opcode = 0
	OpText         Opcode = 1
	OpBinary       Opcode = 2
	OpClose        Opcode = 8
	OpPing         Opcode = 9
	OpPong         Opcode = 10
)

// ErrTooBig is a frame of more bytes than the reader takes.
var ErrTooBig = errors.New("frame too big")

// Frame is one frame as a client sent it, unmasked.
type Frame struct {
	FIN     bool // the last of its message
	Masked  bool
	Op      Opcode
	Payload []byte
}

// ReadFrame reads one frame; its payload is the caller's. A frame of more than limit bytes is ErrTooBig.
func ReadFrame(r *bufio.Reader, limit uint64) (Frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return Frame{}, err
	}
	f := Frame{FIN: head[0]&0x80 != 0, Op: Opcode(head[0] & 0x0f), Masked: head[1]&0x80 != 0}
	size := uint64(head[1] & 0x7f)
	switch size {
	case 126:
		if _, err := io.ReadFull(r, head[:2]); err != nil {
			return Frame{}, err
		}
		size = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		if _, err := io.ReadFull(r, head[:8]); err != nil {
			return Frame{}, err
		}
		size = binary.BigEndian.Uint64(head[:8])
	}
	if size > limit {
		return Frame{}, ErrTooBig
	}
	var mask [4]byte
	if f.Masked {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return Frame{}, err
		}
	}
	f.Payload = make([]byte, size)
	if _, err := io.ReadFull(r, f.Payload); err != nil {
		return Frame{}, err
	}
	for i := range f.Payload {
		f.Payload[i] ^= mask[i%4]
	}
	return f, nil
}

// appendHeader appends the header of an unmasked, unfragmented frame.
func appendHeader(dst []byte, op Opcode, size int) []byte {
	dst = append(dst, 0x80|byte(op))
	switch {
	case size < 126:
		return append(dst, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(size))
}

// Text returns payload as the frame of a text message.
func Text(payload []byte) []byte { return AppendFrame(nil, OpText, payload) }

// HeaderRoom is the room that TextInPlace needs.
const HeaderRoom = 10

// TextInPlace takes a buffer that begins with HeaderRoom bytes of room and returns the frame of the text message behind
// them, which lies in it.
func TextInPlace(b []byte) []byte {
	var header [HeaderRoom]byte
	h := appendHeader(header[:0], OpText, len(b)-HeaderRoom)
	frame := b[HeaderRoom-len(h):]
	copy(frame, h)
	return frame
}

// AppendFrame appends an unmasked, unfragmented frame.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	return append(appendHeader(dst, op, len(payload)), payload...)
}

// ClosePayload is what a Close frame holds.
func ClosePayload(code int, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}
