package kite

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"

	"feedmux/internal/protocol"
)

// Why a message, or a part of it, was skipped.
const (
	skipTruncated         = "truncated"          // a binary frame that is shorter than it says
	skipTrailing          = "trailing_bytes"     // or longer
	skipUnknownLength     = "unknown_length"     // of a packet
	skipUnknownInstrument = "unknown_instrument" // a tick that nobody asked for, or not any more
	skipMalformed         = "malformed"          // a text that is no JSON object, or lacks what its type must have
	skipUnknownType       = "unknown_type"       // of a text
	skipRepeatedOrder     = "repeated_order"     // another connection brought it
)

// onText reads what concerns the whole account.
func (s *session) onText(msg []byte, out *protocol.Out) {
	var m struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(msg, &m) != nil || m.Type == "" {
		out.Skip(skipMalformed)
		return
	}
	s.alive(out)
	switch m.Type {
	case "order":
		s.onOrder(m.Data, out)
	case "error", "message":
		var words *string
		if json.Unmarshal(m.Data, &words) != nil || words == nil {
			out.Skip(skipMalformed)
			return
		}
		out.Full = m.Type == "error" && saysFull(*words)
		out.Words = append(out.Words, protocol.Words{Kind: m.Type, Text: s.readable(*words)})
	case "instruments_meta", "app_code": // a greeting that was seen after some handshakes; nothing in it is for us
	default:
		out.Skip(skipUnknownType)
	}
}

// onOrder passes an order update on as it was sent.
func (s *session) onOrder(data []byte, out *protocol.Out) {
	var u update
	if json.Unmarshal(data, &u) != nil || u.Status == "" {
		out.Skip(skipMalformed)
		return
	}
	if !s.orders.first(u.key(data)) {
		out.Skip(skipRepeatedOrder)
		return
	}
	out.Events = append(out.Events, protocol.Event{
		Topic: []byte(Order), Values: [][]byte{[]byte(u.Status)}, Payload: data,
	})
}

// saysFull knows "Can't subscribe to more than 3000 instruments." The figure has changed before, and texts change. It is
// all that the upstream says: neither which instruments it means nor which it took.
func saysFull(words string) bool {
	_, rest, _ := strings.Cut(strings.ToLower(words), "subscribe to more than ")
	figure, rest, _ := strings.Cut(rest, " ")
	_, err := strconv.ParseUint(strings.ReplaceAll(figure, ",", ""), 10, 32)
	return err == nil && strings.HasPrefix(rest, "instrument")
}

// longestWords is how much of the upstream's words people are shown, in bytes.
const longestWords = 300

// readable makes the upstream's words safe to print: short, on one line, and without the token, should it be quoted.
func (s *session) readable(words string) string {
	if s.redact != nil {
		words = s.redact(words)
	}
	if s.token != "" {
		words = strings.ReplaceAll(words, s.token, "[token]")
	}
	var b strings.Builder
	for _, r := range words {
		if !unicode.IsPrint(r) {
			r = '?'
		}
		const ellipsis = "…"
		if b.Len()+len(string(r))+len(ellipsis) > longestWords {
			b.WriteString(ellipsis)
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
