package secret

import (
	"math/rand/v2"
	"time"

	"feedmux/limiter"
)

const (
	firstPause = time.Second     // base of the backoff of a command that fails
	lastPause  = 5 * time.Minute // its maximum

	// goodPause is the least time between two runs of a command that works.
	goodPause = time.Minute
)

// plan says when a command is to be run.
type plan struct {
	early   time.Duration // how long before its expiry a value is to be replaced
	random  *rand.Rand
	backoff limiter.Backoff

	next    time.Time // of the next run; zero: not before somebody asks for it
	running bool
	again   bool      // somebody asked for a run while one was under way
	ran     time.Time // end of the last run that brought a value or an error
	expires time.Time // of the last good value; zero: unknown
	expired bool      // somebody was told that it has
	refused bool      // the upstream does not accept the last good value
}

// newPlan is to be run at once.
func newPlan(early time.Duration, random *rand.Rand, now time.Time) plan {
	return plan{early: early, random: random, backoff: limiter.Backoff{Base: firstPause, Max: lastPause}, next: now}
}

// due says whether it is to be run now.
func (p *plan) due(now time.Time) bool { return !p.running && !p.next.IsZero() && !now.Before(p.next) }

// failed tells that a run ended without a value.
func (p *plan) failed(now time.Time) {
	p.backoff.Failed(0)
	p.end(now, now.Add(p.backoff.Next(p.random)))
}

// worked tells that a run ended with a good value.
func (p *plan) worked(now time.Time) {
	p.backoff = limiter.Backoff{Base: firstPause, Max: lastPause}
	p.end(now, p.renewal(now))
}

func (p *plan) end(now, next time.Time) {
	p.running, p.ran, p.next = false, now, next
	if p.again {
		p.next = now
	}
}

// renewal is when the value is to be replaced that is good now. Where that should have been by now, because it does not last
// that long or the command gives the same one until it expires, it is after half of what is left.
func (p *plan) renewal(now time.Time) time.Time {
	soon := now.Add(goodPause)
	if p.refused {
		return soon
	}
	if p.expires.IsZero() {
		return time.Time{}
	}
	at := p.expires.Add(-p.early)
	if at.Before(now) {
		at = now.Add(p.expires.Sub(now) / 2)
	}
	return latest(at, soon)
}

// ask asks for a run at once.
func (p *plan) ask(now time.Time) {
	p.next, p.again = now, true
}

// refuse tells that the upstream does not accept the value. Until there is another one, the command is run again and again.
func (p *plan) refuse(now time.Time) {
	p.refused = true
	if at := latest(now, p.ran.Add(goodPause)); p.next.IsZero() || at.Before(p.next) {
		p.next = at
	}
}

// expiry says whether the value has expired and nobody was told; now somebody is.
func (p *plan) expiry(now time.Time) bool {
	if p.expired || p.expires.IsZero() || now.Before(p.expires) {
		return false
	}
	p.expired = true
	return true
}

// wait is for how long nothing is to be done. It is never long: where the clock is set, or the machine slept, the times of
// expiry come sooner than a timer would say.
func (p *plan) wait(now time.Time) time.Duration {
	wait := time.Minute
	if !p.running && !p.next.IsZero() {
		wait = min(wait, p.next.Sub(now))
	}
	if !p.expired && !p.expires.IsZero() {
		wait = min(wait, p.expires.Sub(now))
	}
	return wait
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
