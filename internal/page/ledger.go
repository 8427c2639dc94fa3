package page

import (
	"strings"
	"time"

	"feedmux/internal/diagnosis"
	"feedmux/internal/topic"
	"feedmux/pool"
)

// perPage is how many topics are shown at a time.
const perPage = 50

type ledgerView struct {
	Feed   string
	Feeds  []string
	Q      string
	States []stateView
	Wanted int
	Found  int
	From   int // number of the first row, from 1
	To     int
	Page   int
	Pages  int
	Clear  string // the link without search and filter; "" where there is neither

	First, Previous, Next, Last string // links; "" where they lead nowhere
	Rows                        []lineView
}

// stateView is a choice of the form.
type stateView struct {
	Name   string
	N      int
	Chosen bool
}

// lineView is a topic.
type lineView struct {
	Topic, Subject, Link string
	State, Sign          string
	Grade                diagnosis.Grade
	By, Reason, Slot     string
	Priority, Gaps       int
	Events               uint64
	Since, LastEvent     moment
	Dark                 moment
}

// ledgerOf shows a page of the ledger. A page beyond the last is the last: topics may go while somebody looks.
func ledgerOf(q question, s pool.Status, feeds []string, now time.Time) *ledgerView {
	v := &ledgerView{Feed: s.Feed, Feeds: feeds, Q: q.Q, Wanted: s.Topics.Wanted}
	for _, name := range states() {
		v.States = append(v.States, stateView{Name: name, N: countOf(s, name), Chosen: name == q.State})
	}
	word := strings.ToLower(q.Q)
	var found []pool.TopicStatus
	for _, t := range s.Ledger {
		if isIn(t, q.State) && (word == "" || strings.Contains(strings.ToLower(string(t.Topic)), word) ||
			strings.Contains(strings.ToLower(t.Subject), word)) {
			found = append(found, t)
		}
	}
	v.Found = len(found)
	v.Pages = max(1, (v.Found+perPage-1)/perPage)
	v.Page = min(q.Page, v.Pages)
	first := (v.Page - 1) * perPage
	shown := found[first:min(first+perPage, v.Found)]
	v.From, v.To = first+min(1, len(shown)), first+len(shown)
	for _, t := range shown {
		v.Rows = append(v.Rows, lineOf(s.Feed, t, now))
	}
	if q.Q != "" || q.State != "" {
		v.Clear = question{Feed: s.Feed}.link() + "#ledger"
	}
	turn := func(page int) string {
		return question{Feed: s.Feed, State: q.State, Q: q.Q, Page: page}.link() + "#ledger"
	}
	if v.Page > 1 {
		v.First, v.Previous = turn(1), turn(v.Page-1)
	}
	if v.Page < v.Pages {
		v.Next, v.Last = turn(v.Page+1), turn(v.Pages)
	}
	return v
}

func isIn(t pool.TopicStatus, state string) bool {
	switch state {
	case "":
		return true
	case diagnosis.Dark:
		return !t.DarkSince.IsZero()
	}
	return t.State.String() == state
}

func countOf(s pool.Status, state string) int {
	if state == diagnosis.Dark {
		return s.Dark
	}
	for _, in := range topic.States() {
		if in.String() == state {
			return s.Topics.In(in)
		}
	}
	return 0
}

var topicSigns = map[topic.State]string{
	topic.Unplaced: "–", topic.Assigned: "◌", topic.Asked: "◑", topic.Confirmed: "●", topic.Refused: "■",
}

func lineOf(feed string, t pool.TopicStatus, now time.Time) lineView {
	return lineView{
		Topic: string(t.Topic), Subject: t.Subject, Link: question{Feed: feed, Topic: string(t.Topic)}.link(),
		State: t.State.String(), Sign: topicSigns[t.State], Grade: diagnosis.GradeOf(t.State.String()),
		By: string(t.By), Reason: t.Reason, Slot: slotNumber(t.Slot), Priority: t.Priority, Gaps: t.Gaps, Events: t.Events,
		Since: at(t.Since, now), LastEvent: at(t.LastEvent, now), Dark: at(t.DarkSince, now),
	}
}
