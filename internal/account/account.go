package account

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"feedmux/limiter"
	"feedmux/shard"
)

// What an upstream may ask for in Retry-After: less than a second helps nobody, and more than a quarter of an hour would
// let a mistake of its keep topics dark for days.
const (
	leastPause = time.Second
	mostPause  = 15 * time.Minute
)

// Options are what an account is made of.
type Options struct {
	Name        string          // what people call it
	Connections int             // sockets open, being opened, or held, of all feeds together
	Dials       limiter.Window  // how many dials may count at any moment
	InFlight    int             // how many may be under way
	Hold        time.Duration   // how long a place stays taken after a close that the peer did not answer
	Backoff     limiter.Backoff // between probes, while no life of the account is live: of shares that have no other
	Seed        uint64          // of the chance in it
	Journal     Journal         // keeps dial times over restarts; nil: they are not kept
}

// Account is what an upstream counts together. All methods of it, its shares and seats may be called by any goroutine.
type Account struct {
	name  string
	limit int
	hold  time.Duration
	log   dialLog

	mu       sync.Mutex
	shares   []*Share
	dials    *limiter.Budget
	waiting  []*waiter
	timer    *time.Timer // when to look again for somebody who may have a turn; nil before the first
	budgetAt time.Time   // the budget let no dial begin before, when it was last asked
	resumeAt time.Time   // no dial before: the upstream asked for it
	yieldAt  time.Time   // no dial before: somebody else uses the credential
	roomAt   time.Time   // no dial before: the upstream has no room for us
	crowded  int         // dials in a row that it refused because of too many connections

	// The gate: while no life is live, only one dials.
	live    int // seats whose life is live
	fresh   int // seats whose life is not live yet
	backoff limiter.Backoff
	rand    *rand.Rand
	probeAt time.Time // no dial before, while no life is live
	probes  int       // turns given while no life was live
	failed  int       // lives that ended with a failure before they were live, while no other was
}

// New makes an account that nobody has joined. It reads the journal.
func New(o Options) *Account {
	a := &Account{
		name:    o.Name,
		limit:   o.Connections,
		hold:    o.Hold,
		dials:   limiter.NewBudget(o.Dials, o.InFlight),
		backoff: o.Backoff,
		rand:    rand.New(rand.NewPCG(o.Seed, 0)),
	}
	a.dials.Recall(a.log.open(o.Journal, o.Dials))
	return a
}

// Name is what people call the account.
func (a *Account) Name() string { return a.name }

// Limit is how many sockets there may be at most.
func (a *Account) Limit() int { return a.limit }

// Connections is how many sockets the upstream may count now: those being opened and those whose place is held included.
func (a *Account) Connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := 0
	for _, s := range a.shares {
		taken += s.taken
	}
	return taken
}

// NextProbe is the time before which nobody dials, while no life is live and somebody waits: for the shared backoff, or
// for the end of a pause. Otherwise it is zero.
func (a *Account) NextProbe() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.openAtLocked(); a.live == 0 && len(a.waiting) > 0 && at.After(time.Now()) {
		return at
	}
	return time.Time{}
}

// Join gives a feed its share of the places. It fails if the shares together exceed the account's connections.
func (a *Account) Join(feed string, connections int) (*Share, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	others := 0
	for _, s := range a.shares {
		others += s.limit
	}
	if connections < 1 || connections > a.limit-others {
		return nil, fmt.Errorf("giving feed %s a share of account %s: %d connections of %d, of which %d are given away",
			feed, a.name, connections, a.limit, others)
	}
	s := &Share{
		account: a, index: len(a.shares), limit: connections, backoff: a.backoff,
		handing: make(map[shard.Slot]bool), probed: make(map[shard.Slot]int),
	}
	a.shares = append(a.shares, s)
	return s, nil
}

// Share is what one feed may have of an account.
type Share struct {
	account *Account
	index   int // among the account's shares
	limit   int

	// Guarded by account.mu.
	taken   int                 // places
	held    int                 // of these, without a socket that we know of
	handing map[shard.Slot]bool // slots that have two places for a hand-over
	probed  map[shard.Slot]int  // each slot's newest probe, counted in the account from one
	backoff limiter.Backoff     // how long the account waits after a probe of this share; without the failures, which are the account's
}

// Account is whose share it is.
func (s *Share) Account() *Account { return s.account }

// Limit is how many sockets the feed may have at most.
func (s *Share) Limit() int { return s.limit }

// SetBackoff says how long the account waits after probes of this share that fail from now on. A wait that is under way goes
// on, and the failures so far still count.
func (s *Share) SetBackoff(b limiter.Backoff) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	s.backoff.Change(b)
}

// Probing says whether no life of the account is live, so that one dials at a time.
func (s *Share) Probing() bool {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.live == 0
}

// FailedProbes is how many dials of the account, since it was made, failed or came to a life that never was live, while
// no other was. It only grows.
func (s *Share) FailedProbes() int {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// Pause lets no dial of the account begin for d, which an upstream asked for in Retry-After: between a second and a
// quarter of an hour. It speaks to all who share the account, since the upstream does. It returns when nothing that was
// asked for, now or before, is in the way any more.
func (s *Share) Pause(d time.Duration) (until time.Time) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resumeAt = later(a.resumeAt, time.Now().Add(min(max(d, leastPause), mostPause)))
	return a.resumeAt // the timer that is set may be early now; it looks again
}

// yieldFor is how long the field is left to somebody else.
const yieldFor = mostPause

// Yield leaves the field to somebody else who uses the same credential, where the upstream allows one connection for each: a
// dial of ours would end theirs. Nobody of the account dials for 15 minutes, unless somebody calls Insist.
func (s *Share) Yield() {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.yieldAt = time.Now().Add(yieldFor)
}

// Insist ends what Yield began, since people say so or the credential is another one. It says whether there was anything to
// end; what else keeps the account from dialling stays.
func (s *Share) Insist() bool {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.yieldAt.After(time.Now()) {
		return false
	}
	a.yieldAt = time.Time{}
	a.grantLocked()
	return true
}

// firstCrowded is the pause after the second refusal in a row because of too many connections: it doubles, to mostPause.
const firstCrowded = time.Minute

// Crowded tells that the upstream refused a dial because there are too many connections, though by our count there are not.
// It may still count one that is gone, and forget it after Options.Hold; else somebody else has one, and nobody of the
// account dials for a long while, unless one of our own makes room. Connections that are open are left alone.
func (s *Share) Crowded() {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	pause := a.hold
	if a.crowded > 0 {
		pause = max(pause, min(firstCrowded<<min(a.crowded-1, 10), mostPause))
	}
	a.crowded++
	a.roomAt = later(a.roomAt, time.Now().Add(pause))
}

// roomLocked notes that the upstream had room for a socket of ours that is over. Its place is free at that time.
func (a *Account) roomLocked(at time.Time) {
	a.crowded = 0
	if at.Before(a.roomAt) {
		a.roomAt = at
	}
}

// Hold is how long a place stays taken after a close that the peer did not answer.
func (s *Share) Hold() time.Duration { return s.account.hold }

// OpenAt is the time before which nobody of the account may dial: because of the backoff while no life is live, or of a
// pause. It may be in the past.
func (s *Share) OpenAt() time.Time {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.openAtLocked()
}

// openAtLocked is the time before which nobody may dial, whatever there is of places and budget.
func (a *Account) openAtLocked() time.Time {
	at := later(later(a.resumeAt, a.yieldAt), a.roomAt)
	if a.live > 0 {
		return at
	}
	return later(at, a.probeAt)
}

func later(t, u time.Time) time.Time {
	if t.After(u) {
		return t
	}
	return u
}
