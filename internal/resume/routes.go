package resume

import (
	"feedmux/internal/protocol"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// routes lead from the names in an event to the topic that it counts for.
type routes struct {
	branch topic.Branch
	topics map[shard.Topic]*topic.Topic
	forms  topic.Forms
}

// want replaces the topics that are wanted.
func (r *routes) want(topics []*topic.Topic) {
	r.topics = make(map[shard.Topic]*topic.Topic, len(topics))
	for _, t := range topics {
		r.topics[t.Name] = t
	}
	r.forms = topic.Forms{}
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
	if t, err := r.forms.Of(t, e.Values, r.branch); err == nil {
		return t, ""
	}
	return nil, skipBadSubject
}
