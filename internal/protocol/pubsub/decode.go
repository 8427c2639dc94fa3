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
	topics      []shard.Topic // AUTH_REVOKED; at least one, and none is empty
}

// decode reads any frame. It is not ok if msg is no JSON object or lacks what its kind must have.
//
// Objects are read as maps, because encoding/json would match the fields of a struct to keys in any case. Of equal
// keys the last one counts.
func decode(msg []byte) (f frame, ok bool) {
	top, ok := object(msg)
	if !ok {
		return f, false
	}
	if f.kind, ok = text(top["type"]); !ok {
		return f, false
	}
	switch f.kind {
	case "MESSAGE":
		data, _ := object(top["data"])
		var hasBody bool
		f.topic, _ = text(data["topic"])
		f.body, hasBody = text(data["message"])
		ok = f.topic != "" && hasBody
	case "RESPONSE":
		f.nonce, _ = text(top["nonce"])
		f.err, ok = text(top["error"])
		ok = ok || isNull(top["error"]) // no error
	case "AUTH_REVOKED":
		data, _ := object(top["data"])
		ok = json.Unmarshal(data["topics"], &f.topics) == nil && len(f.topics) > 0 && !slices.Contains(f.topics, "")
	}
	return f, ok
}

func object(raw []byte) (members map[string]json.RawMessage, ok bool) {
	ok = json.Unmarshal(raw, &members) == nil && members != nil
	return members, ok
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
