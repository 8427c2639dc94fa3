package page

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"feedmux/internal/control"
	"feedmux/internal/diagnosis"
	"feedmux/pool"
)

// judge reads a report as a terminal does: from the JSON that /api/status makes of it. Of the ledgers only the line of the
// chosen topic of a feed is left; nil: none.
func judge(r control.Report, feed string, chosen *pool.TopicStatus, now time.Time) (*diagnosis.Report, error) {
	r.Feeds = slices.Clone(r.Feeds)
	for i := range r.Feeds {
		r.Feeds[i].Ledger = nil // thousands of lines
		if chosen != nil && r.Feeds[i].Feed == feed {
			r.Feeds[i].Ledger = []pool.TopicStatus{*chosen}
		}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("writing the status: %w", err)
	}
	return diagnosis.Read(body, now)
}

// troubleView is a line of what to look at.
type troubleView struct {
	diagnosis.Trouble
	Word string
	Of   string // the feed and what of it, or what else
	Link string // where more is said; "": nowhere
}

// Each grade has a sign and a word beside its colour.
var gradeSigns = map[diagnosis.Grade]string{diagnosis.Good: "●", diagnosis.Note: "·", diagnosis.Warn: "▲", diagnosis.Bad: "■"}

var gradeWords = map[diagnosis.Grade]string{diagnosis.Bad: "Broken", diagnosis.Warn: "Look", diagnosis.Note: "Note"}

func troublesOf(r *diagnosis.Report) (list []troubleView) {
	for _, t := range r.Troubles() {
		v := troubleView{Trouble: t, Word: gradeWords[t.Grade], Of: t.Label}
		switch {
		case t.Topics != "":
			v.Link = question{Feed: t.Feed, State: t.Topics}.link() + "#ledger"
		case t.Feed != "":
			v.Link = "#feed-" + t.Feed
		case t.Delivery:
			v.Link = "#delivery"
		}
		if t.Feed != "" {
			v.Of = t.Feed
			if t.Label != "" {
				v.Of += ", " + t.Label
			}
		}
		list = append(list, v)
	}
	return list
}
