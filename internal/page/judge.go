package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"feedmux/internal/control"
	"feedmux/internal/history"
	"feedmux/internal/slots"
	"feedmux/pool"
)

// soon is how long before its end a token is worth a warning.
const soon = 30 * time.Minute

// trouble is something that somebody may want to look at.
type trouble struct {
	Grade, Word, Text string
	Link              string // where more is said; "": nowhere
}

var gradeWords = map[string]string{bad: "Broken", warn: "Look", note: "Note"}

func (v *view) add(grade, link, format string, args ...any) {
	v.Trouble = append(v.Trouble, trouble{grade, gradeWords[grade], fmt.Sprintf(format, args...), link})
}

// judge says what all figures come to.
func (v *view) judge(r control.Report) {
	confirmed, placeable := 0, 0
	for _, f := range r.Readiness.Feeds {
		confirmed, placeable = confirmed+f.Confirmed, placeable+f.Placeable
	}
	text := fmt.Sprintf("%s of %s topics that have a place are confirmed", number(confirmed), number(placeable))
	v.Verdict = verdict{good, "Ready", text}
	sign := "●"
	if !r.Readiness.Ready {
		v.Verdict = verdict{bad, "Not ready", text + fmt.Sprintf("; each feed needs %.0f %%", 100*r.Readiness.Needed)}
		sign = "▲"
	}
	v.Title = fmt.Sprintf("%s %s/%s feedmux", sign, number(confirmed), number(placeable))

	for _, err := range r.Errors {
		v.add(bad, "", "A loop does not answer: %s", visible(err))
	}
	for _, text := range r.Notes {
		v.add(warn, "", "%s", visible(text))
	}
	v.judgeDelivery()
	for _, s := range r.Feeds {
		v.judgeFeed(s)
	}
	for _, f := range v.Feeds {
		switch {
		case f.TokenGrade == bad:
			v.add(bad, "", "%s: the token died %s; no connection can be made with it", f.Name, f.Token.Ago)
		case f.TokenGrade == warn:
			v.add(warn, "", "%s: the token dies %s", f.Name, f.Token.Ago)
		}
		dropped := f.Hour.total(history.Dropped)
		if dropped > 0 {
			v.add(warn, "#"+f.Name+"-hour", "%s: %s dropped in the last hour", f.Name, events(dropped))
		}
	}
	worst := map[string]int{bad: 0, warn: 1, note: 2}
	slices.SortStableFunc(v.Trouble, func(a, b trouble) int { return cmp.Compare(worst[a.Grade], worst[b.Grade]) })
}

func (v *view) judgeDelivery() {
	d := v.Delivery
	if d == nil {
		return
	}
	if !d.Connected {
		v.add(bad, "#delivery", "NATS is not connected: events wait in the buffer, %s of %s so far",
			size(d.BufferBytes), size(d.BufferLimit))
	} else if d.Fill >= 50 {
		v.add(warn, "#delivery", "NATS takes events more slowly than they come: the buffer is %.0f %% full", d.Fill)
	}
	if d.Refused > 0 {
		v.add(warn, "#delivery", "NATS forbade %s: see the permissions of this user", plural(int(d.Refused), "message", "messages"))
	}
}

func (v *view) judgeFeed(s pool.Status) {
	in := make(map[slots.State]int)
	var parked string
	starved := 0
	for _, slot := range s.Slots {
		in[slot.State]++
		if slot.State == slots.Parked {
			parked = slot.LastError
		}
		if slot.State == slots.Live && !slot.Starved.IsZero() {
			starved++
		}
	}
	list := func(state string) string { return question{Feed: s.Feed, State: state}.link() + "#ledger" }
	panel := "#feed-" + s.Feed
	if n := in[slots.Parked]; n > 0 {
		v.add(bad, panel, "%s: the upstream refused the credential, so %s until that changes: %s",
			s.Feed, parks(n), visible(parked))
	}
	if s.Account.Probing {
		next := ""
		if s.Account.NextDial.After(v.Now) {
			next = ", next " + at(s.Account.NextDial, v.Now).Ago
		}
		v.add(bad, panel, "%s: no connection lives; one at a time is tried%s: %s", s.Feed, next, visible(lastWords(s.Slots)))
	} else if n := in[slots.Waiting] + in[slots.Dialing] + in[slots.Opening]; n > 0 && in[slots.Live] > 0 {
		v.add(warn, panel, "%s: %s not live yet", s.Feed, plural(n, "connection is", "connections are"))
	}
	if s.Dark > 0 {
		v.add(warn, list(dark), "%s: %s dark that had been confirmed", s.Feed, plural(s.Dark, "topic is", "topics are"))
	}
	if starved > 0 {
		v.add(warn, panel, "%s: %s open, but far quieter than before while others speak", s.Feed,
			plural(starved, "connection is", "connections are"))
	}
	if s.Topics.Refused > 0 {
		v.add(warn, list("refused"), "%s: the upstream refused %s", s.Feed, plural(s.Topics.Refused, "topic", "topics"))
	}
	if n := s.Topics.Assigned + s.Topics.Asked - s.Dark; n > 0 {
		v.add(note, panel, "%s: %s still to be confirmed", s.Feed, plural(n, "topic is", "topics are"))
	}
	if s.Topics.Unplaced > 0 {
		v.add(note, list("unplaced"), "%s: %s without a place: %s connections take %s", s.Feed,
			plural(s.Topics.Unplaced, "topic is", "topics are"), number(len(s.Slots)), number(s.Capacity))
	}
}

func parks(n int) string {
	if n == 1 {
		return "1 connection is parked"
	}
	return number(n) + " connections are parked"
}

func events(n uint64) string { return plural(int(n), "event was", "events were") }

// lastWords is the error of the slot that failed last.
func lastWords(all []pool.SlotStatus) string {
	var newest pool.SlotStatus
	for _, s := range all {
		if s.LastError != "" && s.Since.After(newest.Since) {
			newest = s
		}
	}
	return strings.TrimSpace(cmp.Or(newest.LastError, "no error is known yet"))
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
