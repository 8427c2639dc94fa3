package diagnosis

import (
	"fmt"
	"time"
)

// quietFor is the shortest silence that a topic is called quiet for.
const quietFor = time.Minute

// GradeOf is how good a state is for a topic.
func GradeOf(state string) Grade {
	switch state {
	case confirmed:
		return Good
	case refused:
		return Bad
	}
	return Warn
}

// Judge says whether a topic of a feed is quiet or broken.
func (r *Report) Judge(f *Feed, t *Topic) Verdict {
	switch t.State {
	case unplaced:
		return Verdict{GradeOf(t.State), "Not listened to",
			fmt.Sprintf("unplaced: it has no place. %s of %s are past the capacity of %s",
				Count(f.Topics.Unplaced), Counted(f.Topics.Wanted, "topic"), Count(f.Capacity)),
			Advice{"give it a priority, or want fewer topics", aboutMany}}
	case refused:
		return Verdict{GradeOf(t.State), "Refused",
			"refused: the upstream says no. It is asked again when the secret changes, on reload, and hourly",
			Advice{"check how it is spelt and whether the credential may read it", aboutRefused}}
	case confirmed:
		return r.judgeConfirmed(f, t)
	}
	v := Verdict{Grade: Warn, Word: "Not yet"}
	s := f.Carrier(t)
	doing := "on its way"
	if s != nil {
		doing, v.Advice = fmt.Sprintf("slot %d is %s", s.Slot, r.doing(s, t)), s.advice()
	}
	if t.State == assigned && t.Reason != "" {
		doing += "; when it was asked for, the answer was neither yes nor no: " + t.Reason
		if v.Advice == (Advice{}) {
			v.Advice = f.wait()
		}
	}
	switch {
	case !t.DarkSince.IsZero():
		v.Grade, v.Word = Bad, "Broken"
		v.Text = fmt.Sprintf("dark since %s (%s): %s", r.Clock(t.DarkSince), Span(r.At.Sub(t.DarkSince)), doing)
	case s == nil:
		v.Text = t.State + ": " + doing
	default:
		v.Text = "not heard yet: " + doing
	}
	return v
}

// Unwanted is the answer for a topic that a feed does not want.
func (f *Feed) Unwanted() Verdict {
	return Verdict{Warn, "Not wanted", "this feed does not want such a topic, so nobody listens to it",
		Advice{fmt.Sprintf("see what it wants: \"feedmux topics list %s\"; or: feedmux topics add %s TOPIC", f.Feed, f.Feed), aboutQuiet}}
}

// judgeConfirmed tells a topic that is quiet from one that works, one that is suspect, and one that is heard in vain.
func (r *Report) judgeConfirmed(f *Feed, t *Topic) Verdict {
	begin := "confirmed " + r.Ago(t.Since)
	switch t.By {
	case "":
	case "assumed":
		begin += " (assumed: this upstream answers no subscription)"
	default:
		begin += " by " + t.By
	}
	s := f.Carrier(t)
	silence := r.At.Sub(t.LastEvent)
	nothing := "nothing came for " + Span(silence)
	if t.LastEvent.IsZero() {
		silence, nothing = r.At.Sub(t.Since), "nothing came yet"
	}
	renew := Advice{"try \"feedmux renew " + f.Feed + "\"", aboutQuiet}
	const quiet = "Quiet, not broken"
	switch {
	case len(r.Away()) > 0:
		return Verdict{Bad, "Heard, not delivered", begin + ", but NATS is away: " + r.Delivery.keeps(r.At), r.Delivery.reach()}
	case s != nil && s.starves():
		return Verdict{Warn, "Suspect", fmt.Sprintf("%s, but slot %d brings nothing since %s, though it should: suspect", begin, s.Slot, r.Clock(s.Starved)), renew}
	case !t.LastEvent.IsZero() && silence < r.usual(t):
		return Verdict{Good, "It works", fmt.Sprintf("%s; last event %s: it works", begin, r.Ago(t.LastEvent)), Advice{}}
	case s == nil:
		return Verdict{Warn, "Not known", fmt.Sprintf("%s; %s", begin, nothing), Advice{}}
	case s.State != "live":
		return Verdict{Warn, "Changing", fmt.Sprintf("%s; slot %d is %s", begin, s.Slot, r.doing(s, t)), s.advice()}
	case s.Confirmed > 1 && r.otherwise(f, t, s):
		return Verdict{Good, quiet, fmt.Sprintf("%s, but %s while the connection hears others: quiet upstream", begin, nothing), Advice{}}
	case r.At.Sub(s.LastFrame) < 2*quietFor:
		return Verdict{Good, quiet, fmt.Sprintf("%s, but %s; the connection is alive (heard %s): quiet upstream", begin, nothing, r.Ago(s.LastFrame)), Advice{}}
	}
	renew.Do = "wait for the ping; then \"feedmux renew " + f.Feed + "\""
	return Verdict{Warn, "Not known",
		fmt.Sprintf("%s, but %s, and the connection heard nothing either: if the next ping is not answered, it is replaced", begin, nothing), renew}
}

// usual is how long a topic may be silent without anybody wondering: some times as long as it is on average.
func (r *Report) usual(t *Topic) time.Duration {
	return max(quietFor, 5*time.Duration(r.Uptime)/time.Duration(max(t.Events, 1)))
}

// otherwise says whether the slot brings events of other topics: as far as the report tells, when its feed heard one
// lately, later than the topic, and the slot brought more than this topic did.
func (r *Report) otherwise(f *Feed, t *Topic, s *Slot) bool {
	return s.Events > t.Events && f.Counters.LastEvent.After(t.LastEvent) && r.At.Sub(s.LastFrame) < quietFor
}

// doing is what a slot is about for a topic, in words.
func (r *Report) doing(s *Slot, t *Topic) string {
	text := s.State
	switch s.State {
	case "waiting":
		text = "waiting to redial"
	case "dialing":
		if text = "redialling"; s.Life == 0 {
			text = "dialling"
		}
	case "opening":
		text = "opening its connection"
	case "live":
		if t.State == asked {
			return "live, and the upstream has not answered yet"
		}
		return "live, and asks for it"
	case "leaving":
		text = "closing its connection"
	case "parked":
		return "parked: there is no credential that works"
	}
	if s.LastCause != "" {
		text += " (" + s.LastCause + ")"
	}
	if s.NextDial.After(r.At) {
		text += ", in " + Span(s.NextDial.Sub(r.At))
	}
	return text
}
