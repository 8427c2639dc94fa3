package diagnosis

import (
	"fmt"
	"time"
)

// Away is the trouble that NATS is not there; none where it is, or nobody knows.
func (r *Report) Away() []Trouble {
	d := r.Delivery
	if d == nil || d.Connected {
		return nil
	}
	why := ""
	if d.Trouble != "" {
		why = d.Trouble + "; "
	}
	return []Trouble{{Grade: Bad, Delivery: true, Label: "NATS", Text: "AWAY: " + why + d.keeps(r.At), Advice: d.reach()}}
}

const (
	// slow is longer than NATS takes to confirm what it is given: about a second.
	slow = 5 * time.Second

	// lately is how long ago a loss is still a trouble. What is older is over, or it would have occurred again.
	lately = 10 * time.Minute
)

// full is how much of the buffer is taken, in hundredths.
func (d *Delivery) full() float64 {
	return 100 * float64(d.BufferBytes) / float64(max(d.BufferLimit, 1))
}

// keeps says what becomes of events while NATS is away. The buffer is never filled to the last byte.
func (d *Delivery) keeps(now time.Time) string {
	const brim = 90
	for _, reasons := range d.Dropped {
		if reasons["buffer_full"] > 0 && d.full() >= brim && !over(d.droppedAt(), now) {
			return "the buffer is full, and events are being dropped"
		}
	}
	return "events wait in the buffer, and are dropped once it is full"
}

// droppedAt is when delivery last dropped an event; zero: nobody knows.
func (d *Delivery) droppedAt() (last time.Time) {
	for _, at := range d.DroppedAt {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// over says whether a loss is of the past. Where nobody knows when it was, it is not.
func over(last, now time.Time) bool { return !last.IsZero() && now.Sub(last) >= lately }

// Losses are the troubles of events that came and did not reach NATS, or may not. What is over has the grade Note, and no
// advice.
func (r *Report) Losses() (list []Trouble) {
	d := r.Delivery
	if d == nil {
		return nil
	}
	add := func(grade Grade, label string, a Advice, format string, args ...any) {
		if grade == Note {
			a = Advice{}
		}
		list = append(list, Trouble{Grade: grade, Delivery: true, Label: label, Text: fmt.Sprintf(format, args...), Advice: a})
	}
	since := func(last time.Time) (grade Grade, text string) {
		grade = Warn
		if over(last, r.At) {
			grade = Note
		}
		if !last.IsZero() {
			text = ", the last " + r.Ago(last)
		}
		return grade, text
	}
	wait := Advice{"look at the load of the NATS server and at the way to it; meanwhile events wait in nats.buffer", aboutDrops}
	switch {
	case !d.Connected: // that is what there is to say
	case time.Duration(d.Unconfirmed) > slow:
		add(Warn, "slow", wait, "NATS is connected, and has confirmed nothing for %s", Span(time.Duration(d.Unconfirmed)))
	case d.full() >= 50:
		add(Warn, "slow", wait, "NATS takes events more slowly than they come: the buffer is %.0f %% full", d.full())
	}
	dropped, skipped := r.lost()
	if len(dropped) > 0 {
		grade, last := since(d.droppedAt())
		add(grade, "dropped", Advice{"NATS was away or too slow for longer than nats.buffer lasts, or refused them", aboutDrops},
			"%s since the start%s", Sums(dropped), last)
	}
	if len(skipped) > 0 {
		var at time.Time
		for i := range r.Feeds {
			if feed := r.Feeds[i].Counters.SkippedAt; feed.After(at) {
				at = feed
			}
		}
		grade, last := since(at)
		add(grade, "skipped", Advice{"the upstream sent what could not be passed on: look at what each reason means", aboutDrops},
			"%s since the start%s", Sums(skipped), last)
	}
	if d.Refused > 0 {
		grade, last := since(d.RefusedAt)
		why := ": the server's permissions do not let feedmux publish there"
		if grade == Note {
			why = ""
		}
		add(grade, "forbidden", Advice{"give feedmux's user the permissions that it needs", aboutNATS},
			"%s since the start%s%s", Counted(d.Refused, "message"), last, why)
	}
	if d.NoticesDropped > 0 {
		grade := Warn
		if d.Connected && d.NoticesWaiting == 0 {
			grade = Note
		}
		add(grade, "notices", Advice{"keep NATS reachable: where too many notices wait, the oldest are dropped", aboutNATS}, "%s wait, %s were dropped",
			Count(d.NoticesWaiting), Count(d.NoticesDropped))
	}
	return list
}

// lost is what went nowhere, by reason: what delivery dropped, and what of the upstream was skipped before it came there.
func (r *Report) lost() (dropped, skipped map[string]uint64) {
	dropped, skipped = make(map[string]uint64), make(map[string]uint64)
	for feed, reasons := range r.Dropped() {
		for reason, n := range reasons {
			if n == 0 {
				continue
			}
			if r.Delivery.Dropped[feed][reason] > 0 {
				dropped[reason] += n
			} else {
				skipped[reason] += n
			}
		}
	}
	return dropped, skipped
}
