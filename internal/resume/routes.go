package resume

import (
	"encoding/binary"

	"feedmux/internal/protocol"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// mostForms is how many subjects made of the upstream's values are remembered. When there are more, all are made anew.
const mostForms = 4096

// routes lead from the names in an event to the topic that it counts for.
type routes struct {
	branch func(t *topic.Topic, values [][]byte) (*topic.Topic, error)
	topics map[shard.Topic]*topic.Topic
	forms  map[string]*topic.Topic // by topic and values
	buf    []byte
}

// want replaces the topics that are wanted.
func (r *routes) want(topics []*topic.Topic) {
	r.topics = make(map[shard.Topic]*topic.Topic, len(topics))
	for _, t := range topics {
		r.topics[t.Name] = t
	}
	r.forms = make(map[string]*topic.Topic)
}

// wanted says whether the topic that t is a form of is still wanted.
func (r *routes) wanted(t *topic.Topic) bool {
	now, ok := r.topics[t.Name]
	return ok && now.Is(t)
}

// find gives the topic of an event, as the Taker is to have it, or else why the event is skipped.
func (r *routes) find(e *protocol.Event) (t *topic.Topic, skip string) {
	t = r.topics[shard.Topic(e.Topic)] // the compiler makes no string for a look-up
	for i := 0; t == nil && i < len(e.Wider); i++ {
		t = r.topics[shard.Topic(e.Wider[i])]
	}
	if t == nil {
		return nil, skipUnwanted
	}
	if e.Values == nil {
		return t, ""
	}
	r.buf = appendPart(r.buf[:0], t.Name)
	for _, v := range e.Values {
		r.buf = appendPart(r.buf, v)
	}
	if form := r.forms[string(r.buf)]; form != nil {
		return form, ""
	}
	form, err := r.branch(t, e.Values)
	if err != nil {
		return nil, skipBadSubject // it is not remembered: such values may be long, and many
	}
	if len(r.forms) >= mostForms {
		clear(r.forms)
	}
	r.forms[string(r.buf)] = form
	return form, ""
}

// appendPart appends a part of a key, so that no two rows of parts look the same.
func appendPart[T ~string | ~[]byte](key []byte, part T) []byte {
	key = binary.AppendUvarint(key, uint64(len(part)))
	return append(key, part...)
}
