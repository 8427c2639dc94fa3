package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Standing is the state of a feed. Its grade is Good where there is no trouble.
func (f *Feed) Standing() Trouble {
	say := func(grade Grade, topics, format string, args ...any) Trouble {
		return Trouble{Grade: grade, Feed: f.Feed, Text: fmt.Sprintf(format, args...), Topics: topics}
	}
	topics := f.Topics
	of := fmt.Sprintf("%s of %s", Count(topics.Confirmed), Counted(topics.Wanted, "topic"))
	switch {
	case topics.Wanted == 0:
		t := say(Warn, "", "no topics are wanted")
		t.Advice = Advice{"list topics in the configuration, or: feedmux topics add " + f.Feed + " TOPIC", aboutQuiet}
		return t
	case slices.ContainsFunc(f.Slots, func(s Slot) bool { return s.State == "parked" }):
		return say(Bad, "", "PARKED: there is no credential that works; %s confirmed", of)
	case f.Account.Probing && f.Dark > 0:
		return say(Bad, Dark, "OUTAGE: no connection lives, one slot at a time dials; %s dark", Counted(f.Dark, "topic"))
	case f.Account.Probing:
		return say(Warn, "", "connecting: no connection lives yet, one slot at a time dials; %s confirmed", of)
	case f.Dark > 0:
		return say(Warn, Dark, "recovering: %s confirmed, %s dark", of, Count(f.Dark))
	case topics.Confirmed < f.Placeable():
		return say(Warn, "", "on its way: %s confirmed", of)
	case topics.Confirmed == 0:
		return say(Bad, "", "%s confirmed", of)
	case topics.Unplaced > 0:
		return say(Warn, unplaced, "%s confirmed: all that have a place", of)
	case topics.Refused > 0:
		return say(Warn, refused, "%s confirmed, the others were refused", of)
	case topics.Wanted == 1:
		return say(Good, "", "its topic is confirmed")
	}
	return say(Good, "", "all %s confirmed", Counted(topics.Wanted, "topic"))
}

// States of topics.
const (
	unplaced  = "unplaced"
	assigned  = "assigned"
	asked     = "asked"
	confirmed = "confirmed"
	refused   = "refused"
)

// Of are the troubles of a feed, most urgent first.
func (r *Report) Of(f *Feed) (list []Trouble) {
	add := func(grade Grade, label, topics string, a Advice, format string, args ...any) {
		list = append(list, Trouble{Grade: grade, Feed: f.Feed, Label: label, Text: fmt.Sprintf(format, args...), Topics: topics, Advice: a})
	}
	standing := f.Standing()
	if standing.Grade != Good && standing.Topics != unplaced && standing.Topics != refused { // these are said below
		list = append(list, standing)
	}
	if grade, text := r.Token(f.Feed); grade == Bad || grade == Warn {
		add(grade, "token", "", renewSecret, "%s", text)
	}
	for _, group := range f.failing() {
		grade := Warn
		if standing.Grade == Bad {
			grade = Bad
		}
		add(grade, "", "", group[0].advice(), "%s", r.failure(group))
	}
	starved, outdated := 0, 0
	for _, s := range f.Slots {
		if s.starves() {
			starved++
		}
		if s.Outdated {
			outdated++
		}
	}
	if starved > 0 {
		add(Warn, "", "", Advice{"a slot is quiet while the others speak: try \"feedmux renew " + f.Feed + "\"", aboutSilence},
			"%s", are(starved, "open, but far quieter than before"))
	}
	if n := f.PutOff.Topics; n > 0 {
		add(Warn, "put off", assigned, f.wait(), "%s: the upstream's answer is neither yes nor no: %s", Counted(n, "topic"), f.PutOff.Reason)
	} else if n := f.asking(r.At); n > 0 {
		add(Warn, "open", assigned, Advice{}, "%s not confirmed, on connections that live for a minute or more", Counted(n, "topic"))
	}
	if n := f.Topics.Unplaced; n > 0 {
		add(Warn, unplaced, unplaced, Advice{"want fewer, or give the important ones a priority", aboutMany},
			"%s past the capacity of %s", Counted(n, "topic"), Count(f.Capacity))
	}
	if n := f.Topics.Refused; n > 0 {
		add(Warn, refused, refused, Advice{"check how they are spelt and whether the credential may read them", aboutRefused},
			"%s", Counted(n, "topic"))
	}
	if outdated > 0 {
		add(Note, "settings", "", Advice{}, "%s still as before the reload; \"feedmux renew %s\" hands over", Counted(outdated, "connection"), f.Feed)
	}
	return list
}

// asking is how many topics are not confirmed, though their connections have lived for long enough to ask for some.
func (f *Feed) asking(now time.Time) (n int) {
	for _, s := range f.Slots {
		if s.State == "live" && now.Sub(s.Since) >= time.Minute {
			n += s.Topics - s.Confirmed
		}
	}
	return n
}

// failing are the slots that have no live connection for a reason that somebody may have to do something about, together
// where that is the same: those that are parked first.
func (f *Feed) failing() (groups [][]*Slot) {
	for _, parked := range []bool{true, false} {
		for i := range f.Slots {
			s := &f.Slots[i]
			if (s.State == "parked") != parked || s.advice() == (Advice{}) {
				continue
			}
			at := slices.IndexFunc(groups, func(g []*Slot) bool {
				return (g[0].State == "parked") == parked && g[0].advice() == s.advice()
			})
			if at < 0 {
				at, groups = len(groups), append(groups, nil)
			}
			groups[at] = append(groups[at], s)
		}
	}
	return groups
}

// failure says what is wrong with slots that failed alike, with the error of the last one that did.
func (r *Report) failure(group []*Slot) string {
	var causes []string
	var dial time.Time
	last := group[0]
	for _, s := range group {
		if s.LastCause != "" && !slices.Contains(causes, s.LastCause) {
			causes = append(causes, s.LastCause)
		}
		if s.NextDial.After(r.At) && (dial.IsZero() || s.NextDial.Before(dial)) {
			dial = s.NextDial
		}
		if s.LastError != "" && (last.LastError == "" || s.Since.After(last.Since)) {
			last = s
		}
	}
	what := "not live"
	if last.State == "parked" {
		what = "parked"
	}
	text := are(len(group), what)
	if len(causes) > 0 {
		text += " (" + strings.Join(causes, ", ") + ")"
	}
	if !dial.IsZero() {
		text += ", the next dial is in " + Span(dial.Sub(r.At))
	}
	if last.LastError != "" {
		text += ": " + last.LastError
	}
	return text
}

// soon is how long before its end a token is worth a warning where nobody knows when a new one should be there.
const soon = 30 * time.Minute

// Token says when the secret dies that a feed dials with; nothing where that is not known.
func (r *Report) Token(feed string) (grade Grade, text string) {
	at, due := r.TokensDie[feed], r.TokensDue[feed]
	if due.IsZero() {
		due = at.Add(-soon)
	}
	switch left := at.Sub(r.At); {
	case at.IsZero():
		return "", ""
	case left <= 0:
		return Bad, fmt.Sprintf("died %s, at %s", r.Ago(at), r.Clock(at))
	case !r.At.Before(due):
		return Warn, fmt.Sprintf("dies in %s, at %s", Span(left), r.Clock(at))
	default:
		return Note, fmt.Sprintf("good for %s, until %s", Span(left), r.Clock(at))
	}
}

// Shown is a slot's state as people are told it, and how good that is.
func (s *Slot) Shown() (state string, grade Grade) {
	switch {
	case s.State == "parked":
		return s.State, Bad
	case s.starves():
		return "starved", Warn
	case s.State == "closed" || s.State == "leaving":
		return s.State, Note
	case s.State == "live":
		return s.State, Good
	}
	return s.State, Warn
}

// starves says whether a connection is open and brings nothing, though it should.
func (s *Slot) starves() bool { return s.State == "live" && !s.Starved.IsZero() }
