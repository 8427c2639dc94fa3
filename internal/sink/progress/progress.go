// Package progress numbers the events of a feed whose upstream keeps them, and knows how many of them are done with.
//
// Such events pass through the sink in the order in which they were taken, so nothing is kept for each of them:
//
//	Took ─► (they wait) ─► Passed, into a window of what was handed to NATS ─► Confirmed, or Broke
//
// Where a connection breaks there may be a hole. Then the Run ends: nothing more of it passes, and Restart begins the
// next one with the first event that is not done with. What a Run that is over still does counts for nothing.
package progress

import (
	"sync"
	"sync/atomic"
)

const (
	maxAlone = 8       // connections in a row that break with one event alone: then that is why
	anyway   = 1 << 16 // so many under way are no limit
)

// Feed is the numbers of one feed. Any goroutine may call Progress. All other methods belong to who takes its events.
type Feed struct {
	taken uint64 // belongs to who takes the events

	mu   sync.Mutex
	run  *Run // the newest
	done uint64
	lost bool

	// One event may be what connections break over: it would be sent for ever, and nothing after it. So where one breaks
	// again and nothing got through, fewer may be under way, until that event is alone.
	breaks int    // since something was confirmed
	alone  int    // of those, with one event under way
	limit  uint64 // of events under way; 0: none
}

// Run is what is taken from one Restart to the next. One goroutine, the publisher, calls its methods.
type Run struct {
	feed    *Feed
	stopped atomic.Bool
	passed  uint64    // the number of the newest event that passed
	windows [2]uint64 // the same, of each window; 0: none
}

// New begins with the number one.
func New() *Feed {
	f := new(Feed)
	f.run = &Run{feed: f}
	return f
}

// Admit gives the Run of the next event, or nil if none may be taken now. poison: that event is not to be sent, because
// one connection after another broke over it alone.
func (f *Feed) Admit() (r *Run, poison bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost || f.limit > 0 && f.taken-f.done >= f.limit {
		return nil, false
	}
	return f.run, f.alone >= maxAlone && f.taken == f.done
}

// Took gives the event that was admitted its number.
func (f *Feed) Took() { f.taken++ }

// Progress is topic.Taker's.
func (f *Feed) Progress() (done uint64, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done, f.lost
}

// Restart is topic.Taker's. It waits for nobody: an event that the publisher has in hand just now was sent before.
func (f *Feed) Restart() (done uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run.stopped.Store(true)
	f.run = &Run{feed: f, passed: f.done}
	f.taken, f.lost = f.done, false
	return f.done
}

// Stopped says that no more events of the run are to be sent: they were forgotten, or will be.
func (r *Run) Stopped() bool { return r.stopped.Load() }

// Passed says that the run's next event went into a window: it was handed to NATS, or dropped for good. first: it is the
// run's first one there. Nothing may pass a run that is stopped, but the event that was in hand meanwhile.
func (r *Run) Passed(window int) (first bool) {
	r.passed++
	first = r.windows[window] == 0
	r.windows[window] = r.passed
	return first
}

// Confirmed says that NATS has all that went into a window, as it has all that went into the other one before. The window
// is empty then.
func (r *Run) Confirmed(window int) {
	n := r.windows[window]
	r.windows[window] = 0
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.run != r || n <= f.done {
		return
	}
	f.done = n
	f.breaks, f.alone = 0, 0
	if f.limit *= 2; f.limit >= anyway {
		f.limit = 0
	}
}

// Broke says that what is in the windows may not have got through.
func (r *Run) Broke() {
	r.windows = [2]uint64{}
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.run != r || f.lost {
		return
	}
	f.lost = true
	r.stopped.Store(true)
	underway := r.passed - f.done
	if underway == 1 {
		f.alone++
	}
	if f.breaks++; f.breaks > 1 {
		f.limit = max(1, underway/4)
	}
}
