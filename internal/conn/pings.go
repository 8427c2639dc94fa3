package conn

import "time"

// missedPongs is how many answers in a row may be missing while data flows, before a life counts as dead.
const missedPongs = 3

// pings is what a conn knows of the pings of one life.
type pings struct {
	next   time.Time // when the next one is due
	sent   time.Time // when the newest one was written
	due    time.Time // when its answer is due; zero: it was looked at
	ponged bool      // it was answered
	missed int       // answers missing in a row
}

func (p *pings) wanted(now time.Time) bool { return !now.Before(p.next) }

func (p *pings) written(now time.Time, timeout time.Duration) {
	p.sent, p.due, p.ponged = now, now.Add(timeout), false
}

// answered notes an answer and says whether it is the first to the newest ping.
func (p *pings) answered() bool {
	if p.ponged || p.sent.IsZero() {
		return false
	}
	p.ponged, p.missed = true, 0
	return true
}

// dead says whether the life is dead: nothing at all arrived in the time that an answer may take, or too many answers
// in a row are missing though data flows. lastRead is when anything last arrived.
func (p *pings) dead(now, lastRead time.Time) bool {
	if p.due.IsZero() || now.Before(p.due) {
		return false
	}
	p.due = time.Time{}
	if p.ponged {
		return false
	}
	p.missed++
	return !lastRead.After(p.sent) || p.missed >= missedPongs
}
