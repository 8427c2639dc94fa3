package pool

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"feedmux/internal/conn"
	"feedmux/internal/ledger"
	"feedmux/internal/protocol"
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
	UpstreamNotice = ledger.UpstreamNotice
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
	AllFilled        = ledger.AllFilled
	PartlyFilled     = ledger.PartlyFilled
	NotFilled        = ledger.NotFilled
)

// Options say what a pool is to do. Everything without a note is required.
type Options struct {
	Conn conn.Options // Publisher and Asides are filled in: the Sink, and what the protocol tells of
	Name string       // the protocol's name, for people
	Sink Sink
	Log  *slog.Logger

	// Subject gives the subject of a topic's events. An error refuses the topic.
	Subject func(shard.Wanted) (string, error)
	// NoticeSubject gives the subject of a notice; topic is empty for those of the feed itself.
	NoticeSubject func(kind NoticeKind, topic shard.Topic) string

	// Note says what a notice is to tell of a topic that is wanted with other options than before, or for the first time
	// (then old is nil); "": nothing. nil: there never is.
	Note func(old, new any) string

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
	o.Conn.Publisher = o.Sink
	if n, ok := o.Conn.Protocol.(protocol.Narrator); ok {
		o.Conn.Asides = make(map[shard.Topic]*topic.Topic)
		for _, name := range n.Asides() {
			t := &topic.Topic{Name: name}
			t.CarryAnywhere()
			o.Sink.Topic(t)
			o.Conn.Asides[name] = t
		}
	}
	if err := o.Conn.Check(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	return o.settings().check(o.Overflow)
}
