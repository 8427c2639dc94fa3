package secret

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"feedmux/internal/lookout"
)

// Options are how a secret is looked after.
type Options struct {
	// RefreshBefore is how long before the value of a command expires it is run for the next one.
	RefreshBefore time.Duration

	// Log is called with an error in getting the secret, or with the news that it has expired: once for each error until the
	// source was good again, and once for each expiry. It is called by the goroutine that found it, which is that of a
	// caller of Value, or of Watch. nil: nobody wants to know.
	Log func(err error)

	Seed uint64 // of the jitter
}

// Secret is what its source gave last. Its methods may be called from any goroutine.
type Secret struct {
	log func(err error)

	// Tests change these.
	poll, rest time.Duration
	newWatcher func() (*fsnotify.Watcher, error)
	run        func(ctx context.Context, argv []string) ([]byte, error)

	mu     sync.Mutex // held while a file is read too: an older reading never replaces a newer one
	source Source
	uses   int       // how many other sources there were before
	good   string    // the last good value; "" before the first
	since  time.Time // when it was first got
	err    error     // why the last reading brought no value
	told   []string  // the errors logged since the source was last good; few: one source, and so many ways to fail
	plan   plan      // of a command

	watched bool               // Watch runs
	asked   bool               // Value has answered
	seen    string             // the value that the caller of Watch knows of
	leave   context.CancelFunc // ends what Watch does for source; nil: Watch does not run
	moved   chan struct{}      // closed, and replaced, when something of a command, or what is above, has changed
}

// New reads and runs nothing yet.
func New(s Source, o Options) *Secret {
	return &Secret{
		log:        o.Log,
		poll:       lookout.Poll,
		rest:       lookout.Rest,
		newWatcher: fsnotify.NewWatcher,
		run:        func(ctx context.Context, argv []string) ([]byte, error) { return run(ctx, argv, runTime) },
		source:     s,
		plan:       newPlan(o.RefreshBefore, rand.New(rand.NewPCG(o.Seed, 0)), time.Now()),
		moved:      make(chan struct{}),
	}
}

// Value is the secret, without the white space around it. A file or a variable is read anew; of a command it is the last
// good value. While the source gives none, it is the last good value too, and only Options.Log hears of the error; where
// there was none yet, it is "" and the error. Without a source it is "" and no error.
//
// Only for the first value of a command does it wait, until ctx ends at most: for Watch, which runs the command; or, while
// Watch does not run, for the command itself, which ends with ctx then.
func (s *Secret) Value(ctx context.Context) (string, error) {
	for {
		value, wait, news, err := s.answer()
		s.tell(news)
		if wait == nil {
			return value, err
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("waiting for a secret: %w", context.Cause(ctx))
		}
		if !s.get(ctx, false) {
			select {
			case <-wait:
			case <-ctx.Done():
			}
		}
	}
}

// answer is what Value gives now; or what it must wait for, if wait is not nil. news is for the log.
func (s *Secret) answer() (value string, wait <-chan struct{}, news, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.source.IsZero():
		return "", nil, nil, nil
	case !s.source.isCommand():
		news = s.readLocked()
	case s.good == "" && (s.plan.running || s.plan.due(time.Now())):
		return "", s.moved, nil, nil
	}
	s.asked = true
	if !s.watched {
		s.seen = s.good
	}
	if s.good != "" {
		return s.good, nil, news, nil
	}
	return "", nil, news, s.err
}

// readLocked reads the file or the variable. What it returns is for the log.
func (s *Secret) readLocked() (news error) {
	value, err := s.source.read()
	news = s.takeLocked(value, time.Time{}, err)
	s.asked = true
	return news
}

// takeLocked takes what a reading brought. What it returns is for the log.
func (s *Secret) takeLocked(value string, expires time.Time, err error) (news error) {
	if s.err = err; err != nil {
		if slices.Contains(s.told, err.Error()) {
			return nil
		}
		s.told = append(s.told, err.Error())
		return err
	}
	s.told = nil
	if value != s.good {
		s.good, s.since = value, time.Now()
		s.plan.refused = false
	}
	if !expires.Equal(s.plan.expires) {
		s.plan.expires, s.plan.expired = expires, false
	}
	if !s.asked && s.seen == "" {
		s.seen = value // the first: nobody was told that there is none
	}
	return nil
}

// tell logs an error; nil is none.
func (s *Secret) tell(err error) {
	if err != nil && s.log != nil {
		s.log(err)
	}
}

// movedLocked lets those look again who wait.
func (s *Secret) movedLocked() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// Use takes another source, or another time of refreshing, from now on. Until the new source gives a value, the last good
// one counts. Watch must run: it reads the new source at once.
func (s *Secret) Use(source Source, refreshBefore time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.movedLocked()
	now, p := time.Now(), &s.plan
	p.early = refreshBefore
	if source.Equal(s.source) {
		if s.err == nil && !p.ran.IsZero() && !p.due(now) {
			p.next = p.renewal(now)
		}
		return
	}
	source.Command = slices.Clone(source.Command)
	s.source, s.err, s.told = source, nil, nil
	s.uses++
	old := *p
	*p = newPlan(refreshBefore, old.random, now)
	p.expires, p.expired, p.refused = old.expires, old.expired, old.refused // the value stays for now
	if s.leave != nil {
		s.leave()
	}
}

// Reload has a command run at once. What it gives is Watch's to tell. A file is looked at anyway.
func (s *Secret) Reload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan.ask(time.Now())
	s.movedLocked()
}

// Refused says that the upstream does not accept the last good value. A command is run for another one: at once, unless it
// was within a minute, and then each minute until it gives another one. It is to be said once of each value.
func (s *Secret) Refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good != "" {
		s.plan.refuse(time.Now())
		s.movedLocked()
	}
}

// Expires is when the last good value expires, or has; zero: nobody knows.
func (s *Secret) Expires() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan.expires
}

// State is what people may know of a secret.
type State struct {
	From    string    // where it comes from, in words; of a command, the program alone
	Good    bool      // there is a value, be it an older one
	Since   time.Time // when that value was first got; zero without one
	Expires time.Time // when that value expires, or has; zero: nobody knows
	Refused bool      // the upstream did not accept that value, as Refused said
	Err     error     // why the last reading brought no value; nil: it did, or there was none. It holds no secret
}

// State is what is known now. It reads nothing.
func (s *Secret) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{s.source.String(), s.good != "", s.since, s.plan.expires, s.plan.refused, s.err}
}
