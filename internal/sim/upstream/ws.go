package upstream

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// opcode is the kind of a WebSocket frame.
type opcode byte

const (
	opContinuation opcode = 0
	opText         opcode = 1
	opBinary       opcode = 2
	opClose        opcode = 8
	opPing         opcode = 9
	opPong         opcode = 10
)

// Close codes that the simulators use.
const (
	CloseProtocolError = 1002
	ClosePolicy        = 1008
	CloseTooBig        = 1009
	CloseRestart       = 1012
)

var (
	errFrameTooBig = errors.New("frame too big")
	errUpgrade     = errors.New("not a WebSocket handshake")
)

// frame is one frame as a client sent it, unmasked.
type frame struct {
	fin     bool
	masked  bool
	op      opcode
	payload []byte
}

// readFrame reads one frame; its payload is the caller's. A frame of more than limit bytes is errFrameTooBig.
func readFrame(r *bufio.Reader, limit uint64) (frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return frame{}, err
	}
	f := frame{fin: head[0]&0x80 != 0, op: opcode(head[0] & 0x0f), masked: head[1]&0x80 != 0}
	size := uint64(head[1] & 0x7f)
	switch size {
	case 126:
		if _, err := io.ReadFull(r, head[:2]); err != nil {
			return frame{}, err
		}
		size = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		if _, err := io.ReadFull(r, head[:8]); err != nil {
			return frame{}, err
		}
		size = binary.BigEndian.Uint64(head[:8])
	}
	if size > limit {
		return frame{}, errFrameTooBig
	}
	var mask [4]byte
	if f.masked {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return frame{}, err
		}
	}
	f.payload = make([]byte, size)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return frame{}, err
	}
	for i := range f.payload {
		f.payload[i] ^= mask[i%4]
	}
	return f, nil
}

// appendHeader appends the header of an unmasked, unfragmented frame.
func appendHeader(dst []byte, op opcode, size int) []byte {
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
func Text(payload []byte) []byte { return appendFrame(nil, opText, payload) }

// HeaderRoom is the room that TextInPlace needs.
const HeaderRoom = 10

// TextInPlace takes a buffer that begins with HeaderRoom bytes of room and returns the frame of the text message behind
// them, which lies in it.
func TextInPlace(b []byte) []byte {
	var header [HeaderRoom]byte
	h := appendHeader(header[:0], opText, len(b)-HeaderRoom)
	frame := b[HeaderRoom-len(h):]
	copy(frame, h)
	return frame
}

func appendFrame(dst []byte, op opcode, payload []byte) []byte {
	return append(appendHeader(dst, op, len(payload)), payload...)
}

func closePayload(code int, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// readHandshake reads the request that opens a WebSocket and returns its key.
func readHandshake(r *bufio.Reader) (key string, err error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return "", fmt.Errorf("reading the handshake: %w", err)
	}
	key = req.Header.Get("Sec-WebSocket-Key")
	raw, err := base64.StdEncoding.DecodeString(key)
	if req.Method != http.MethodGet || err != nil || len(raw) != 16 || req.Header.Get("Sec-WebSocket-Version") != "13" ||
		!hasToken(req.Header, "Connection", "upgrade") || !hasToken(req.Header, "Upgrade", "websocket") {
		return "", errUpgrade
	}
	return key, nil
}

func hasToken(h http.Header, name, want string) bool {
	for _, line := range h.Values(name) {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), want) {
				return true
			}
		}
	}
	return false
}

// switchingProtocols is the answer that opens a WebSocket.
func switchingProtocols(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
}

// httpAnswer is an answer without a body; header holds complete lines.
func httpAnswer(status int, header string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n",
		status, http.StatusText(status), header)
}
