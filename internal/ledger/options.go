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
	Check func(shard.Wanted) error // an error refuses the topic, until it is wanted with other options

	// Note says what there is to tell people of a topic that is wanted with other options than before, or for the first time
	// (then old is nil); "": nothing. nil: there never is.
	Note func(old, new any) string

	// Subject gives the subject of a topic's events. An error refuses the topic.
	Subject func(shard.Wanted) (string, error)
	// NoticeSubject gives the subject of a notice; topic is empty for those of the feed itself.
	NoticeSubject func(kind NoticeKind, topic shard.Topic) string

	Queue bool      // topics take turns: they are placed in the order of their queue
	Start uint64    // random for this start: a part of each gap's id
	Last  *Snapshot // of the run before; nil: there is none
}
