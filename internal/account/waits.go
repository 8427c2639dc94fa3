package account

import "time"

// Wait is what keeps a share's slots from dialling, for people.
type Wait string

const (
	WaitPause    Wait = "the upstream asked for a pause"
	WaitYield    Wait = "another program uses the same credential"
	WaitCrowded  Wait = "the upstream has no room for more connections"
	WaitBackoff  Wait = "backoff, since no connection is live"
	WaitProbe    Wait = "another connection is tried first"
	WaitPlace    Wait = "no place is free in the account"
	WaitBudget   Wait = "the dial budget"
	WaitInFlight Wait = "a dial that is under way"
)

// Waits says what keeps the share's slots from dialling now, and until when; "": nothing that is known here. A zero time means
// that nobody knows until when.
func (s *Share) Waits() (why Wait, until time.Time) {
	a, now := s.account, time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if until = a.openAtLocked(); until.After(now) {
		switch {
		case until.Equal(a.resumeAt):
			return WaitPause, until
		case until.Equal(a.yieldAt):
			return WaitYield, until
		case until.Equal(a.roomAt):
			return WaitCrowded, until
		}
		return WaitBackoff, until
	}
	waiting, eligible := false, false
	for _, w := range a.waiting {
		if w.share == s && !w.HandOver { // hand-overs have a connection
			ok, _ := w.eligibleLocked()
			waiting, eligible = true, eligible || ok
		}
	}
	switch {
	case !waiting:
		return "", time.Time{}
	case a.live == 0 && a.fresh > 0:
		return WaitProbe, time.Time{}
	case !eligible:
		return WaitPlace, time.Time{}
	case a.budgetAt.After(now):
		return WaitBudget, a.budgetAt
	}
	return WaitInFlight, time.Time{}
}
