package ledger

import (
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Sink is told what a ledger has to say.
type Sink interface {
	// Topic is told of each topic before its first event, and may set its Mark.
	Topic(t *topic.Topic)

	// Notice announces what became of a topic, a gap or a slot. It never waits.
	Notice(subject string, n Notice)
}

// Options are what a ledger is made of.
type Options struct {
	Feed  string
	Sink  Sink
	Check func(shard.Topic) error // an error refuses the topic for good

	// Subject gives the subject of a topic's events. An error refuses the topic.
	Subject func(shard.Topic) (string, error)
	// NoticeSubject gives the subject of a notice; topic is empty for those of the feed itself.
	NoticeSubject func(kind NoticeKind, topic shard.Topic) string

	Queue bool      // topics take turns: they are placed in the order of their queue
	Start uint64    // random for this start: a part of each gap's id
	Last  *Snapshot // of the run before; nil: there is none
}
