package ledger

import (
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// NoticeKind is what a notice is about: the second token of its subject.
type NoticeKind string

const (
	NoticeGap        NoticeKind = "gap"
	NoticeTopicState NoticeKind = "topic"
	NoticeFeed       NoticeKind = "feed"
)

// Notice is what is announced: a *GapNotice, *TopicNotice, *FeedNotice, *UpstreamNotice, *CapacityNotice or *LossNotice. Its
// JSON is the message. It is the Sink's to keep, and to merge with others while they wait.
type Notice interface{ notice() }

// GapNotice is about a time in which a confirmed topic was dark, or in which its events did not get through.
type GapNotice struct {
	ID      string      `json:"id"` // the same in both phases
	Feed    string      `json:"feed"`
	Topic   shard.Topic `json:"topic"`
	Subject string      `json:"subject"`
	Phase   GapPhase    `json:"phase"`
	From    time.Time   `json:"from"`
	To      time.Time   `json:"to,omitzero"` // closed
	Cause   cause.Cause `json:"cause"`
	At      GapAt       `json:"at"`
	Dropped uint64      `json:"dropped,omitempty"` // events; only where the number is certain

	// Filled says what of the upstream's events in the gap was had afterwards, and FilledTo up to when, where that is a part.
	Filled   string    `json:"filled"`
	FilledTo time.Time `json:"filled_to,omitzero"`

	// Before says that a run before this one announced the gap as open.
	Before bool `json:"-"`
}

// GapPhase says whether a gap goes on.
type GapPhase string

const (
	GapOpen   GapPhase = "open"
	GapClosed GapPhase = "closed"
)

// GapAt says on which side of feedmux a gap is.
type GapAt = slots.GapAt

const (
	AtUpstream = slots.AtUpstream
	AtDelivery = slots.AtDelivery
)

// What a GapNotice says of the events in the gap: all, some or none of them were had afterwards.
const (
	AllFilled    = "all"
	PartlyFilled = "part"
	NotFilled    = "none"
)

// TopicNotice is about one topic's state.
type TopicNotice struct {
	Feed    string      `json:"feed"`
	Topic   shard.Topic `json:"topic"`
	Subject string      `json:"subject"`
	State   string      `json:"state"` // a topic.State, or "removed"
	By      topic.By    `json:"by,omitempty"`
	Since   time.Time   `json:"since"`
	Reason  string      `json:"reason,omitempty"`

	// Note is the part of Reason that is about the topic's options, and not about its state.
	Note string `json:"-"`
}

// FeedNotice is about a slot: its state changed, or it begins or ends to be starved.
type FeedNotice struct {
	Feed  string      `json:"feed"`
	Slot  shard.Slot  `json:"slot"`
	Life  int         `json:"life"`
	State slots.State `json:"state"`
	Cause cause.Cause `json:"cause,omitempty"`
	Phase GapPhase    `json:"phase,omitempty"` // starved: whether that goes on
	Since time.Time   `json:"since,omitzero"`  // starved: when the silence began
	At    time.Time   `json:"at"`
}

// UpstreamNotice is what the upstream says to people. It holds no secret.
type UpstreamNotice struct {
	Feed     string     `json:"feed"`
	Slot     shard.Slot `json:"slot"`
	Life     int        `json:"life"`
	Kind     string     `json:"kind"` // the upstream's own word for what it is
	Text     string     `json:"text"`
	Withheld int        `json:"withheld,omitempty"` // words on this slot that nobody was told, since the notice before
	At       time.Time  `json:"at"`
}

// CapacityNotice is about a feed as a whole: it has topics without a place now and had none, or the reverse.
type CapacityNotice struct {
	Feed     string    `json:"feed"`
	Unplaced int       `json:"unplaced"` // topics
	Capacity int       `json:"capacity"` // topics that the slots take now
	At       time.Time `json:"at"`
}

// LossNotice is about events of a feed that can never be sent, and are in no gap. Its numbers are those since the daemon
// started.
type LossNotice struct {
	Feed      string            `json:"feed"`
	Lost      map[string]uint64 `json:"lost"`                // events, by reason
	Forbidden uint64            `json:"forbidden,omitempty"` // messages of any feed that the NATS server's permissions forbade
	At        time.Time         `json:"at"`
}

func (*LossNotice) notice()     {}
func (*GapNotice) notice()      {}
func (*TopicNotice) notice()    {}
func (*FeedNotice) notice()     {}
func (*UpstreamNotice) notice() {}
func (*CapacityNotice) notice() {}

func (l *Ledger) notify(kind NoticeKind, t shard.Topic, n Notice) {
	l.opts.Sink.Notice(l.opts.NoticeSubject(kind, t), n)
}

func (l *Ledger) notifyTopic(r *Record, state, reason string) {
	if !l.silent {
		l.notify(NoticeTopicState, r.Name, l.topicNotice(r, state, reason))
	}
}

func (l *Ledger) topicNotice(r *Record, state, reason string) *TopicNotice {
	return &TopicNotice{
		Feed: l.opts.Feed, Topic: r.Name, Subject: r.Subject,
		State: state, By: r.By, Since: r.Since.UTC(), Reason: reason,
	}
}

// note tells what there is to tell of a topic's options, if there is anything.
func (l *Ledger) note(r *Record, old any) {
	if l.opts.Note == nil || l.silent {
		return
	}
	if reason := l.opts.Note(old, r.Options); reason != "" {
		n := l.topicNotice(r, r.State.String(), reason)
		n.Note = reason
		l.notify(NoticeTopicState, r.Name, n)
	}
}

func (l *Ledger) notifyGap(r *Record, g *gap, phase GapPhase) {
	n := &GapNotice{
		ID: g.id, Feed: l.opts.Feed, Topic: r.Name, Subject: r.Subject, Phase: phase,
		From: g.from.UTC(), Cause: g.cause, At: g.at, Filled: NotFilled,
		Before: g.before,
	}
	if phase == GapClosed {
		n.To = g.to.UTC()
		n.Filled, n.FilledTo = g.howFilled()
	}
	l.notify(NoticeGap, r.Name, n)
}

// NotifyFeed announces what concerns the feed itself.
func (l *Ledger) NotifyFeed(n Notice) { l.notify(NoticeFeed, "", n) }
