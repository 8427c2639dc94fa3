package pool

import (
	"encoding/json"
	"fmt"
	"time"

	"feedmux/internal/conn"
	"feedmux/shard"
)

// NoticeKind is what a notice is about: the second token of its subject.
type NoticeKind string

const (
	NoticeGap   NoticeKind = "gap"
	NoticeTopic NoticeKind = "topic"
	NoticeFeed  NoticeKind = "feed"
)

// gapNotice is the body of a notice about a time in which a confirmed topic was dark.
type gapNotice struct {
	ID      string      `json:"id"`
	Feed    string      `json:"feed"`
	Topic   shard.Topic `json:"topic"`
	Subject string      `json:"subject"`
	Phase   string      `json:"phase"` // open, closed
	From    time.Time   `json:"from"`
	To      time.Time   `json:"to,omitzero"`
	Cause   conn.Cause  `json:"cause"`
	At      string      `json:"at"`
	Filled  string      `json:"filled"`
}

// topicNotice is the body of a notice about one topic's state.
type topicNotice struct {
	Feed    string      `json:"feed"`
	Topic   shard.Topic `json:"topic"`
	Subject string      `json:"subject"`
	State   string      `json:"state"` // a conn.TopicState, or "removed"
	By      conn.By     `json:"by,omitempty"`
	Since   time.Time   `json:"since"`
	Reason  string      `json:"reason,omitempty"`
}

// feedNotice is the body of a notice about a slot.
type feedNotice struct {
	Feed  string     `json:"feed"`
	Slot  shard.Slot `json:"slot"`
	Life  int        `json:"life"`
	State conn.State `json:"state"`
	Cause conn.Cause `json:"cause,omitempty"`
	At    time.Time  `json:"at"`
}

func (l *ledger) notify(kind NoticeKind, t shard.Topic, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("pool: bug: notice %v: %v", body, err))
	}
	l.opts.Sink.Notice(l.opts.NoticeSubject(kind, t), b)
}

func (l *ledger) notifyTopic(r *record, state, reason string) {
	if l.silent {
		return
	}
	l.notify(NoticeTopic, r.Name, topicNotice{
		Feed: l.opts.Conn.Feed, Topic: r.Name, Subject: r.Subject,
		State: state, By: r.by, Since: r.since.UTC(), Reason: reason,
	})
}

func (l *ledger) notifyGap(r *record, phase string, to time.Time) {
	if l.silent {
		return
	}
	n := gapNotice{
		ID: r.gap.id, Feed: l.opts.Conn.Feed, Topic: r.Name, Subject: r.Subject, Phase: phase,
		From: r.gap.from.UTC(), Cause: r.gap.cause, At: "upstream", Filled: "none",
	}
	if !to.IsZero() {
		n.To = to.UTC()
	}
	l.notify(NoticeGap, r.Name, n)
}
