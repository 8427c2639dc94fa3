package pool

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"feedmux/internal/conn"
	"feedmux/internal/ledger"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Event is one message for one topic, as a Sink gets it.
type Event = topic.Event

// Batch gathers the events of one reader.
type Batch = topic.Batch

// Topic is a wanted topic.
type Topic = topic.Topic

// Sink takes the events and notices of one feed.
type Sink interface {
	topic.Publisher
	ledger.Sink
}

// What a ledger announces and remembers, for those who know the pool alone.
type (
	Notice         = ledger.Notice
	NoticeKind     = ledger.NoticeKind
	GapNotice      = ledger.GapNotice
	GapPhase       = ledger.GapPhase
	GapAt          = ledger.GapAt
	TopicNotice    = ledger.TopicNotice
	FeedNotice     = ledger.FeedNotice
	CapacityNotice = ledger.CapacityNotice
	LossNotice     = ledger.LossNotice
	TopicStatus    = ledger.TopicStatus
	Snapshot       = ledger.Snapshot
	OpenGap        = ledger.OpenGap
)

const (
	NoticeGap        = ledger.NoticeGap
	NoticeTopicState = ledger.NoticeTopicState
	NoticeFeed       = ledger.NoticeFeed
	GapOpen          = ledger.GapOpen
	GapClosed        = ledger.GapClosed
	AtUpstream       = ledger.AtUpstream
	AtDelivery       = ledger.AtDelivery
	NotFilled        = ledger.NotFilled
)

// Options say what a pool is to do. Everything without a note is required.
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
	Overflow            Overflow
	Dwell               time.Duration // Turns: how long a topic keeps its place; others: of no meaning

	// Last is the newest Snapshot of the run before; nil: there is none.
	Last *Snapshot
}

func (o *Options) check() error {
	if o.Sink == nil || o.Log == nil || o.Subject == nil || o.NoticeSubject == nil {
		return errors.New("pool: a sink, a log and subjects are needed")
	}
	if o.TopicsPerConnection < 1 {
		return errors.New("pool: topics per connection must be 1 or more")
	}
	if o.Overflow == Turns && o.Dwell <= 0 {
		return errors.New("pool: where topics take turns, dwell must be positive")
	}
	o.Conn.Publisher = o.Sink
	if err := o.Conn.Check(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	return nil
}
