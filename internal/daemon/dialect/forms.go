package dialect

import (
	"feedmux/internal/protocol"
	"feedmux/internal/subject"
	"feedmux/internal/topic"
	"feedmux/pool"
	"feedmux/shard"
)

// Brancher makes the forms of topics for what their events bring.
func (s Subjects) Brancher(p protocol.Protocol, sink pool.Sink) func(*topic.Topic, [][]byte) (*topic.Topic, error) {
	asides := make(map[shard.Topic]bool)
	if n, ok := p.(protocol.Narrator); ok {
		for _, name := range n.Asides() {
			asides[name] = true
		}
	}
	return func(t *topic.Topic, values [][]byte) (*topic.Topic, error) {
		subject := s.Event
		if asides[t.Name] {
			subject = s.Aside
		}
		to, err := subject(t.Name, values)
		if err != nil {
			return nil, err
		}
		form := t.Form(t.Options, to)
		sink.Topic(form)
		return form, nil
	}
}

// NoticeSubject gives the subjects of a feed's notices. It cannot fail for a topic whose own subject is good.
func NoticeSubject(feed string) func(pool.NoticeKind, shard.Topic) string {
	return func(kind pool.NoticeKind, t shard.Topic) string {
		if kind == pool.NoticeFeed {
			return subject.FeedNotice(feed)
		}
		subject, err := subject.Notice(string(kind), feed, string(t))
		if err != nil {
			return ""
		}
		return subject
	}
}
