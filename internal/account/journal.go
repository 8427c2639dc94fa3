package account

import (
	"slices"
	"sync"
	"time"

	"feedmux/limiter"
)

// Attempt is one dial in the eyes of the budget.
type Attempt struct {
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end,omitzero"` // zero: under way
}

// Journal keeps attempts over restarts.
type Journal interface {
	// Load is called once, by New. If it fails, nobody knows what was dialled, and the whole window counts as just
	// spent. It is the journal's to tell people why.
	Load() ([]Attempt, error)
	// Save is called with those attempts that still count, before each dial begins and after it ended, in the order in
	// which that happened and never twice at once. It may take its time, for which that dial waits. It may keep the slice.
	Save([]Attempt)
}

// dialLog is what the journal should know. Its attempts are guarded by Account.mu.
type dialLog struct {
	journal  Journal // may be nil
	per      time.Duration
	attempts []*Attempt // in the order of their begin; some may not count any more
	saving   sync.Mutex // held while the journal saves; taken before Account.mu
}

// open reads the journal and gives the ends of the attempts in it that still count, none later than now. The ends carry a
// monotonic reading, so that a later step of the wall clock does not move them.
func (l *dialLog) open(j Journal, w limiter.Window) (ended []time.Time) {
	if l.journal, l.per = j, w.Per; j == nil {
		return nil
	}
	now := time.Now()
	attempts, err := j.Load()
	if err != nil {
		attempts = slices.Repeat([]Attempt{{Begin: now}}, w.N)
	}
	for _, t := range attempts {
		ago := now.Sub(t.End)
		if t.End.IsZero() || ago < 0 { // cut short, or the clock was set back
			ago = 0
		}
		if ago >= l.per {
			continue
		}
		t.End = now.Add(-ago)
		if t.Begin.After(t.End) {
			t.Begin = t.End
		}
		l.attempts = append(l.attempts, &t)
		ended = append(ended, t.End)
	}
	return ended
}

// begin notes an attempt.
func (l *dialLog) begin() *Attempt {
	t := &Attempt{Begin: time.Now()}
	if l.journal != nil {
		l.attempts = append(l.attempts, t)
	}
	return t
}

// prune forgets what does not count any more.
func (l *dialLog) prune() {
	l.attempts = slices.DeleteFunc(l.attempts, func(t *Attempt) bool {
		return !t.End.IsZero() && time.Since(t.End) >= l.per
	})
}

// save tells the journal what counts now. Only for those who do not hold mu.
func (a *Account) save() {
	l := &a.log
	if l.journal == nil {
		return
	}
	l.saving.Lock()
	defer l.saving.Unlock()
	a.mu.Lock()
	l.prune()
	list := make([]Attempt, len(l.attempts))
	for i, t := range l.attempts {
		list[i] = *t
	}
	a.mu.Unlock()
	l.journal.Save(list)
}
