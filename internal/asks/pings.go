package asks

import "time"

// missedPongs is how many answers in a row may be missing while data flows, before a life counts as dead.
const missedPongs = 3

// Pings is what is known of the pings of one life.
type Pings struct {
	Next   time.Time // when the next one is due
	Sent   time.Time // when the newest one was written
	Due    time.Time // when its answer is due; zero: it was looked at
	ponged bool      // it was answered
	missed int       // answers missing in a row
}

func (p *Pings) Wanted(now time.Time) bool { return !now.Before(p.Next) }

func (p *Pings) Written(now time.Time, timeout time.Duration) {
	p.Sent, p.Due, p.ponged = now, now.Add(timeout), false
}

// Answered notes an answer and says whether it is the first to the newest ping.
func (p *Pings) Answered() bool {
	if p.ponged || p.Sent.IsZero() {
		return false
	}
	p.ponged, p.missed = true, 0
	return true
}

// Dead says whether the life is dead: nothing at all arrived in the time that an answer may take, or too many answers
// in a row are missing though data flows. lastRead is when anything last arrived.
func (p *Pings) Dead(now, lastRead time.Time) bool {
	if p.Due.IsZero() || now.Before(p.Due) {
		return false
	}
	p.Due = time.Time{}
	if p.ponged {
		return false
	}
	p.missed++
	return !lastRead.After(p.Sent) || p.missed >= missedPongs
}
