package pool

import (
	"errors"
	"fmt"
	"log/slog"

	"feedmux/internal/conn"
	"feedmux/shard"
)

// Event is one message for one topic, as a Sink gets it.
type Event = conn.Event

// Batch gathers the events of one reader.
type Batch = conn.Batch

// Sink takes the events and notices of one feed.
type Sink interface {
	conn.Publisher

	// Notice announces what became of a topic, a gap or a slot. body is the sink's to keep. It never waits.
	Notice(subject string, body []byte)
}

// Options say what a pool is to do. All of them are required.
type Options struct {
	Conn conn.Options // Publisher is filled in: it is the Sink
	Name string       // the protocol's name, for people
	Sink Sink
	Log  *slog.Logger

	// Subject gives the subject of a topic's events. An error refuses the topic.
	Subject func(shard.Topic) (string, error)
	// NoticeSubject gives the subject of a notice; topic is empty for those of the feed itself.
	NoticeSubject func(kind NoticeKind, topic shard.Topic) string

	TopicsPerConnection int
	Placement           shard.Placement
}

func (o *Options) check() error {
	if o.Sink == nil || o.Log == nil || o.Subject == nil || o.NoticeSubject == nil {
		return errors.New("pool: a sink, a log and subjects are needed")
	}
	if o.TopicsPerConnection < 1 {
		return errors.New("pool: topics per connection must be 1 or more")
	}
	o.Conn.Publisher = o.Sink
	if err := o.Conn.Check(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	return nil
}
