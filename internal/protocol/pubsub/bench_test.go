package pubsub

import (
	"encoding/json"
	"testing"

	"feedmux/internal/protocol"
)

// usual is a frame of a usual length, 309 bytes: a real one with shorter numbers.
const usual = `{"type":"MESSAGE","data":{"topic":"community-points-user-v1.29961813","message":"` +
	`{\"type\":\"active-multipliers-updated\",\"data\":{\"timestamp\":\"2022-08-17T19:16:57.70052134Z\",` +
	`\"active_multipliers\":{\"user_id\":\"29961813\",\"channel_id\":\"40289063\",` +
	`\"multipliers\":[{\"reason_code\":\"SUB_T1\"}]}}}"}}`

// The two that follow are compared: a session must cost at most 0.3 of encoding/json, together with the copy that the
// sink makes.
func BenchmarkMessage(b *testing.B) {
	msg := []byte(usual)
	s := New(Options{}).Open(protocol.Endpoint{})
	var out protocol.Out
	var buffer []byte
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := s.Message(protocol.Text, msg, &out); err != nil || len(out.Events) != 1 {
			b.Fatal(err, len(out.Events))
		}
		buffer = append(append(buffer[:0], out.Events[0].Topic...), out.Events[0].Payload...)
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	msg := []byte(usual)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		var f struct {
			Type string
			Data struct{ Topic, Message string }
		}
		if err := json.Unmarshal(msg, &f); err != nil || f.Data.Topic == "" {
			b.Fatal(err)
		}
	}
}
