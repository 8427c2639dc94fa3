package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
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
	list = append(list, r.Losses()...) // most are of the past
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
	if len(behind) > few {
		behind = append(behind[:few], fmt.Sprintf("and %d more", len(behind)-few))
	}
	if len(behind) > 0 {
		v.Text += fmt.Sprintf("; below %.0f %%: %s", 100*r.Readiness.Needed, strings.Join(behind, ", "))
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

// Own are the troubles of the daemon as a whole.
func (r *Report) Own() (list []Trouble) {
	for _, err := range r.Errors {
		list = append(list, Trouble{Grade: Bad, Label: "stuck", Text: err,
			Advice: Advice{"a loop stands still: see its log; under systemd the watchdog restarts it", aboutStuck}})
	}
	for _, note := range r.Notes {
		list = append(list, Trouble{Grade: Warn, Label: "note", Text: note})
	}
	if len(r.Feeds) == 0 && len(r.Errors) == 0 {
		list = append(list, Trouble{Grade: Warn, Label: "feeds", Text: "none: add [[feed]] tables to the configuration"})
	}
	return list
}

// Away is the trouble that NATS is not there; none where it is, or nobody knows.
func (r *Report) Away() []Trouble {
	if r.Delivery == nil || r.Delivery.Connected {
		return nil
	}
	return []Trouble{{Grade: Bad, Delivery: true, Label: "NATS",
		Text: "AWAY: events wait in the buffer, and are dropped once it is full", Advice: checkNATS}}
}

// NATS confirms what it is given within about a second.
const slow = 5 * time.Second

// Losses are the troubles of events that came and did not reach NATS, or may not.
func (r *Report) Losses() (list []Trouble) {
	d := r.Delivery
	if d == nil {
		return nil
	}
	add := func(grade Grade, label string, a Advice, format string, args ...any) {
		list = append(list, Trouble{Grade: grade, Delivery: true, Label: label, Text: fmt.Sprintf(format, args...), Advice: a})
	}
	wait := Advice{"look at the load of the NATS server and at the way to it; meanwhile events wait in nats.buffer", aboutDrops}
	switch full := 100 * float64(d.BufferBytes) / float64(max(d.BufferLimit, 1)); {
	case !d.Connected: // that is what there is to say
	case time.Duration(d.Unconfirmed) > slow:
		add(Warn, "slow", wait, "NATS is connected, and has confirmed nothing for %s", Span(time.Duration(d.Unconfirmed)))
	case full >= 50:
		add(Warn, "slow", wait, "NATS takes events more slowly than they come: the buffer is %.0f %% full", full)
	}
	if dropped := sum(r.Dropped()); len(dropped) > 0 {
		a := Advice{"the upstream sent what could not be passed on: look at what each reason means", aboutDrops}
		if len(sum(d.Dropped)) > 0 {
			a.Do = "NATS was away or too slow for longer than nats.buffer lasts, or refused them"
		}
		add(Warn, "dropped", a, "%s since the start", Sums(dropped))
	}
	if d.Refused > 0 {
		add(Warn, "forbidden", Advice{"give feedmux's user the permissions that it needs", aboutNATS},
			"%s: the server's permissions do not let feedmux publish there", Counted(d.Refused, "message"))
	}
	if d.NoticesDropped > 0 {
		add(Warn, "notices", Advice{"keep NATS reachable: where too many notices wait, the oldest are dropped", aboutNATS}, "%s wait, %s were dropped",
			Count(d.NoticesWaiting), Count(d.NoticesDropped))
	}
	return list
}

// sum is what feeds dropped together, by reason; it has no zeros.
func sum(feeds map[string]map[string]uint64) map[string]uint64 {
	all := make(map[string]uint64)
	for _, reasons := range feeds {
		for reason, n := range reasons {
			if n > 0 {
				all[reason] += n
			}
		}
	}
	return all
}
