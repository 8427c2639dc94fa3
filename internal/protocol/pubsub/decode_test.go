package pubsub

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"feedmux/shard"
)

// FuzzDecode holds what decode finds against a plain use of encoding/json, which reads every object as a map.
func FuzzDecode(f *testing.F) {
	for _, frame := range append(realFrames(f), usual,
		`{"type":"RESPONSE","nonce":"listen-1","error":"ERR_SERVER"}`,
		`{"type":"RESPONSE","nonce":7,"error":null }`,
		`{"type":"RESPONSE","nonce":"a","nonce":"b"}`,
		`{ "ty\u0070e" : "RESPONSE" , "err\u006fr" : [ "x" ] }`,
		`{"type":"AUTH_REVOKED","data":{"topics":[ "a" , "\u0062" ]}}`,
		`{"type":"AUTH_REVOKED","data":{"topics":["a",null]}}`,
		`{"type":"AUTH_REVOKED","data":{"topics":[["a"]]}}`,
		`{"type":"AUTH_REVOKED","data":{"topics":[]}}`,
		`{"type":"AUTH_REVOKED","data":{"topics":["a"]},"data":{}}`,
		`{"type":"MESSAGE","data":{"x":"}]\",","topic":"\ud800","message":"\\"}}`,
		`{"":{},"type":"PONG","\ud800":[{},[],"\\"]}`,
		`[]`, `{}`, `null`, `{"type":null}`,
	) {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if !utf8.Valid(msg) {
			return // no session is told such text
		}
		got, ok := decode(msg)
		want, wantOK := plainDecode(msg)
		if ok != wantOK || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v, %v", got, ok, want, wantOK)
		}
	})
}

func plainDecode(msg []byte) (f frame, ok bool) {
	type object = map[string]json.RawMessage
	read := func(raw []byte, to any) bool {
		return raw != nil && string(raw) != "null" && json.Unmarshal(raw, to) == nil
	}
	var top, data object
	if !read(msg, &top) || top == nil || !read(top["type"], &f.kind) {
		return f, false
	}
	if !read(top["data"], &data) {
		data = nil
	}
	switch f.kind {
	case "MESSAGE":
		return f, read(data["topic"], &f.topic) && f.topic != "" && read(data["message"], &f.body)
	case "RESPONSE":
		read(top["nonce"], &f.nonce)
		return f, top["error"] == nil || string(top["error"]) == "null" || read(top["error"], &f.err)
	case "AUTH_REVOKED":
		var topics []*shard.Topic
		read(data["topics"], &topics)
		for _, topic := range topics {
			if topic == nil || *topic == "" {
				return f, false
			}
			f.topics = append(f.topics, *topic)
		}
		return f, len(topics) > 0 && len(topics) <= mostRevoked && json.Unmarshal(data["topics"], &topics) == nil
	}
	return f, true
}
