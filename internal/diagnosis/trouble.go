package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Grade is how much something matters.
type Grade string

// The grades. Note is neither good nor bad.
const (
	Good Grade = "good"
	Note Grade = "note"
	Warn Grade = "warn" // look at it
	Bad  Grade = "bad"  // something that is wanted is not heard, or not delivered
)

// Verdict is a judgement: in a word, in a sentence, and what to do.
type Verdict struct {
	Grade
	Word, Text string
	Advice     Advice
}

// Trouble is something that somebody may want to look at.
type Trouble struct {
	Grade
	Feed     string // whose it is; "": the daemon's, or delivery's
	Delivery bool
	Label    string // what it is about, in a word; "": the feed as a whole, or its connections
	Text     string
	Advice   Advice
	Topics   string // the state of the topics that it is about, or Dark; "": it is not about topics
}

// Dark is said of topics that were confirmed once and are not now.
const Dark = "dark"

// Troubles are all there are, most urgent first.
func (r *Report) Troubles() []Trouble {
	list := r.Own()
	list = append(list, r.Away()...)
	for i := range r.Feeds {
		list = append(list, r.Of(&r.Feeds[i])...)
	}
	for _, t := range r.Losses() {
		if t.Grade != Note { // it is over
			list = append(list, t)
		}
	}
	worst := []Grade{Bad, Warn, Note, Good}
	slices.SortStableFunc(list, func(a, b Trouble) int {
		return cmp.Compare(slices.Index(worst, a.Grade), slices.Index(worst, b.Grade))
	})
	return list
}

// Ready says whether enough of what is wanted is listened to.
func (r *Report) Ready() Verdict {
	confirmed, placeable := r.Confirmed()
	v := Verdict{Grade: Good, Word: "ready", Text: fmt.Sprintf("%s of %s placeable topics confirmed", Count(confirmed), Count(placeable))}
	if !r.Readiness.Ready {
		v.Grade, v.Word = Bad, "NOT READY"
	}
	var behind []string
	for _, f := range r.Readiness.Feeds {
		if !f.Ready {
			behind = append(behind, fmt.Sprintf("%s (%.0f %%)", f.Feed, 100*f.Share))
		}
	}
	const few = 4
	n := len(behind)
	if n > few {
		behind = append(behind[:few], fmt.Sprintf("and %d more", n-few))
	}
	if n > 0 { // the number first: a terminal may cut the names
		v.Text += fmt.Sprintf("; %s below %.0f %%: %s", Counted(n, "feed"), 100*r.Readiness.Needed, strings.Join(behind, ", "))
	}
	return v
}

// Confirmed is how many topics are confirmed, and how many could be.
func (r *Report) Confirmed() (confirmed, placeable int) {
	for i := range r.Feeds {
		confirmed += r.Feeds[i].Topics.Confirmed
		placeable += r.Feeds[i].Placeable()
	}
	return confirmed, placeable
}
