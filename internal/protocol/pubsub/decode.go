package pubsub

import (
	"encoding/json"
	"slices"

	"feedmux/shard"
)

// frame is what an upstream frame says, as far as its kind has it.
type frame struct {
	kind        string
	topic, body string        // MESSAGE
	nonce, err  string        // RESPONSE
	topics      []shard.Topic // AUTH_REVOKED; at least one, at most mostRevoked, and none is empty
}

// mostRevoked is every topic that one address can have. An AUTH_REVOKED with more is not about us.
const mostRevoked = Connections * TopicsPerConnection

// decode reads any frame. It is not ok if msg is no JSON object or lacks what its kind must have.
//
// The fields of a struct would not do: encoding/json matches them to keys in any case. A map would take twenty times
// the memory of a frame that is full of keys.
func decode(msg []byte) (f frame, ok bool) {
	if !json.Valid(msg) { // what is nested too deeply included
		return f, false
	}
	top, ok := members(msg, "type", "data", "nonce", "error")
	if !ok {
		return f, false
	}
	if f.kind, ok = text(top["type"]); !ok {
		return f, false
	}
	switch f.kind {
	case "MESSAGE":
		data, _ := members(top["data"], "topic", "message")
		var hasBody bool
		f.topic, _ = text(data["topic"])
		f.body, hasBody = text(data["message"])
		ok = f.topic != "" && hasBody
	case "RESPONSE":
		f.nonce, _ = text(top["nonce"])
		f.err, ok = text(top["error"])
		ok = ok || isNull(top["error"]) // no error
	case "AUTH_REVOKED":
		data, _ := members(top["data"], "topics")
		f.topics, ok = names(data["topics"])
	}
	return f, ok
}

// members finds the members of an object that have one of these keys; they alias raw, which is valid JSON or nothing. Of
// equal keys the last one counts.
func members(raw []byte, keys ...string) (found map[string]json.RawMessage, ok bool) {
	s := scanner{msg: raw}
	if s.next() != '{' {
		return nil, false
	}
	found = make(map[string]json.RawMessage, len(keys))
	if s.peek() == '}' {
		return found, true
	}
	for sep := byte(','); sep == ','; sep = s.next() {
		if !s.text() || s.next() != ':' {
			return nil, false
		}
		value := s.value()
		if i := slices.Index(keys, string(s.body)); i >= 0 {
			found[keys[i]] = value
		}
	}
	return found, true
}

// names reads a list of topics; raw is valid JSON or nothing.
func names(raw []byte) (topics []shard.Topic, ok bool) {
	s := scanner{msg: raw}
	if s.next() != '[' {
		return nil, false
	}
	for sep := byte(','); sep == ','; sep = s.next() {
		name, _ := text(s.value())
		if name == "" || len(topics) == mostRevoked {
			return nil, false
		}
		topics = append(topics, shard.Topic(name))
	}
	return topics, true
}

func text(raw []byte) (s string, ok bool) {
	var p *string
	if json.Unmarshal(raw, &p) != nil || p == nil {
		return "", false
	}
	return *p, true
}

// isNull holds for a member that is null or not there.
func isNull(raw []byte) bool { return raw == nil || string(raw) == "null" }
