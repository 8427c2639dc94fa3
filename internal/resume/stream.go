package resume

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/resume/brought"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Options say whose stream it is and where it goes. They do not change.
type Options struct {
	Feed     string
	Protocol protocol.Resumer
	Taker    topic.Taker
	Client   *http.Client // its Transport is used, and nothing else

	// Start is the position for the very first start; nil: now.
	Start     []byte
	Positions Store

	// Branch makes the form of a topic whose subject is made of an event's values, and sees to it that the Taker can take
	// it. It is called once for many events, under a lock: it does not wait, and keeps nothing of values.
	Branch topic.Branch

	PollAfter time.Duration // without a live connection for so long, it asks again and again; 0: 30 s
	Seed      uint64        // of the jitter
	Log       *slog.Logger
	Tally     Tally
}

// Store keeps the position where it outlives the process. Its errors hold no secret.
type Store interface {
	Load() (position []byte, err error) // fs.ErrNotExist: there is none
	Save(position []byte) error         // keeps nothing of position
}

// Tally counts; *tally.Counter does.
type Tally interface {
	Add(n int, last time.Time) // events that were handed over, and when the newest was received
	Skip(reason string)        // an event that was not
}

// Why events are skipped: the values of a metric's label.
const (
	skipUnwanted   = "unwanted_topic"
	skipBadSubject = "bad_subject"
	skipRepeated   = "repeated"   // it came before, by the other way
	skipUnreadable = "unreadable" // it was fetched, and could not be read
	skipLeftOut    = "left_out"   // there was no room for it, and the upstream does not keep it
)

// State is what a Stream knows of the life and of the time before it.
type State struct {
	Life     int  // the newest
	CaughtUp bool // what the upstream kept was brought, and the life's own events go straight on since then

	// Filled says what became of the events that have a position, from the time in which no life was caught up. It is known
	// once CaughtUp is true, and becomes none if the upstream's history turns out to be another one.
	Filled topic.Filled

	// Behind is since when the life, which had caught up, has not any more: what is to be fetched does not come, and what the
	// life brings waits for it. Zero: it is not. Cause and Err say why.
	Behind time.Time
	Cause  cause.Cause
	Err    error // holds no secret

	Denied    bool   // the upstream does not accept the credential: nothing is asked for until Renewed or Live
	Unvouched bool   // the same, because no life was live with the credential that there is now, and one must be
	Position  []byte // that was saved last; nil: none
}

// Gap is a time in which events may have been lost: behind us, or because an upstream had not kept what there was no room
// for, or was rebuilt.
type Gap struct {
	From, To time.Time // From zero: it began before we did
	Cause    cause.Cause
	Filled   topic.Filled
}

// Stream brings one feed's events to its Taker. Its methods may be called by any goroutine, but those that say otherwise.
type Stream struct {
	opts    Options
	client  http.Client
	log     *slog.Logger
	wake    chan struct{} // room for one: run looks at everything each time
	changed chan struct{} // room for one

	mu     sync.Mutex // held for a few events at most; never while something may wait
	routes routes
	seen   *brought.Seen
	trail  brought.Trail
	event  topic.Event // that is handed over: in memory that is there
	taken  uint64      // events, as the Taker counts them

	// Where we are.
	cursor   []byte // the highest position that was brought, or need not be; nil: none is known
	owed     bool   // something at or below the cursor is to be fetched
	after    []byte // with owed: it comes after this
	late     []byte // behind the cursor, and left out: what comes after this is owed once events are held again; nil: nothing
	top      []byte // the highest position of those that were left out since leaving began; nil: none was
	rewinds  int    // times that the cursor was lowered: what was asked for before is not about us any more
	saved    []byte // what the Store has; nil: nothing
	anchored bool   // the first save was tried: events may be handed over
	unsaved  bool   // saved is of another history

	// What is to be fetched. A page that was asked for while demand had a number, and was the last, meets that demand.
	demand, met int
	leaving     bool // live events are left out: they will be fetched
	held        []held
	heldBytes   int
	maxHeld     int
	suspect     []byte // a live event came after this, and is not where it should be: is this still the history that we know?
	suspectAt   []byte // up to here the history was looked at

	life      int
	slot      shard.Slot
	open      bool
	live      bool
	caughtUp  bool
	above     bool // the life's history goes on from where we were: an event above the cursor came
	denied    bool
	refused   bool // nobody was told yet that an answer said so
	renewals  int
	token     string    // that the life was dialled with
	vouched   string    // that of the newest life that was live; "": none was
	unvouched bool      // there is another one now, though a life must vouch for it
	downSince time.Time // when the last live life ended, or when we began
	unmet     time.Time // since when something is to be fetched in a live life, while the Taker has room; zero: nothing is
	behind    time.Time // the same, once that is too long

	// What came of the time in between.
	known   bool      // a position was known when it began
	failed  bool      // the upstream did not give all of it
	had     time.Time // failed: of the newest event of which all before it came
	rebuilt bool      // the history is another one
	sent    time.Time // of the newest event that was fetched
	sure    time.Time // when an event was last received that goes on where we were; zero: none was yet
	filled  topic.Filled
	lost    Gap       // what NATS may not have, until it was fetched once more; From zero: nothing
	spoilt  bool      // not all of that came
	left    time.Time // when the first event was left out that has not been fetched yet
	gaps    []Gap

	// Owned by run.
	rand    *rand.Rand
	tries   tries // guarded by mu
	most    int   // events to ask for at a time
	pollAt  time.Time
	saveAt  time.Time
	unkept  bool   // the newest save failed
	fetch   *fetch // that is under way
	page    *fetch // whose events are being handed over
	reading protocol.Page
	pageAt  int
}

// New makes a Stream and reads the stored position. Run does the rest.
func New(o Options) *Stream {
	if o.PollAfter == 0 {
		o.PollAfter = 30 * time.Second
	}
	s := &Stream{
		opts: o,
		client: http.Client{
			Transport:     o.Client.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		log:     o.Log.With("feed", o.Feed),
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		routes:  routes{branch: o.Branch},
		seen:    brought.NewSeen(),
		trail:   brought.Trail{Order: o.Protocol},
		rand:    rand.New(rand.NewPCG(o.Seed, 0)),
		tries:   newTries(),
		most:    pageEvents,
		maxHeld: maxHeld,
	}
	s.routes.want(nil)
	s.taken, _ = o.Taker.Progress() // of a new Taker: none
	position, err := o.Positions.Load()
	if err == nil && position != nil && !o.Protocol.IsPosition(position) {
		err = errors.New("what is stored is no position")
	}
	switch {
	case err == nil && position != nil:
		s.saved, s.anchored = slices.Clone(position), true
	case err == nil || errors.Is(err, fs.ErrNotExist):
		position = o.Start
	default:
		s.log.Error("the position of the stream is lost: it goes on from now, and what came while we were away is not fetched", "error", err)
		position = nil
	}
	if position != nil {
		s.begin(position)
	}
	s.downSince = time.Now()
	return s
}

// begin sets the cursor for the first time.
func (s *Stream) begin(position []byte) {
	s.cursor = slices.Clone(position)
	s.trail.Begin(position)
	s.known = true
}

// Want says which topics are wanted, whole. It never waits.
func (s *Stream) Want(topics []*topic.Topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes.want(topics)
	s.kick()
}

// Opened says that a new life begins, dialled with a token, before its first frame is read. Its events are held back until
// what came before them was fetched, which begins once it is live. The life before has ended.
func (s *Stream) Opened(life int, slot shard.Slot, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life, s.slot, s.open, s.live, s.caughtUp, s.above = life, slot, true, false, false, false
	s.token, s.unmet, s.behind = token, time.Time{}, time.Time{}
	s.demand++
	s.kick()
}

// Live says that the life's first application frame came: from now on the upstream sends it everything, so what is fetched
// from now on closes the gap. It vouches for the life's token, and is a reason not to wait for failures of before.
func (s *Stream) Live() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open && !s.live {
		s.live, s.denied, s.vouched, s.unvouched = true, false, s.token, false
		s.tries.hurry(time.Now())
		s.demand++
		s.kick()
	}
}

// Ended says that the life is over. What it brought is handed over all the same.
func (s *Stream) Ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live {
		s.downSince = time.Now()
	}
	s.anewLocked()
	s.open, s.live, s.behind, s.unmet = false, false, time.Time{}, time.Time{}
	s.tell()
	s.kick()
}

// anewLocked begins a new time in between.
func (s *Stream) anewLocked() {
	if s.caughtUp {
		s.known, s.failed, s.rebuilt, s.sent = s.cursor != nil, false, false, time.Time{}
	}
	s.caughtUp = false
}

// Denied says that the credential is known to be dead: nothing is asked for with it any more.
func (s *Stream) Denied() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = true
	s.tell()
}

// Refused says, once, that the upstream refused the credential in an answer.
func (s *Stream) Refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := s.refused && s.denied
	s.refused = false
	return refused
}

// Renewed says that the credential changed.
func (s *Stream) Renewed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewals++
	s.denied, s.unvouched, s.tries.refusals = false, false, 0
	s.tell()
	s.kick()
}

// State is what is known now.
func (s *Stream) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{
		Life: s.life, CaughtUp: s.caughtUp, Denied: s.denied, Unvouched: s.unvouched, Position: slices.Clone(s.saved),
	}
	if s.caughtUp {
		st.Filled = s.filled
	}
	if st.Behind = s.behind; !s.behind.IsZero() {
		st.Cause, st.Err = s.whyLocked()
	}
	return st
}

// Changed says that State or Gaps may have something new. It has one receiver.
func (s *Stream) Changed() <-chan struct{} { return s.changed }

// maxGaps is how many gaps wait to be asked for. Past it the two newest become one.
const maxGaps = 16

// Gaps gives the gaps that no call gave before.
func (s *Stream) Gaps() []Gap {
	s.mu.Lock()
	defer s.mu.Unlock()
	gaps := s.gaps
	s.gaps = nil
	return gaps
}

func (s *Stream) addGapLocked(g Gap) {
	if n := len(s.gaps); n == maxGaps {
		last := &s.gaps[n-1]
		last.To = g.To
		if !g.Filled.All {
			last.Filled, last.Cause = g.Filled, g.Cause
		}
	} else {
		s.gaps = append(s.gaps, g)
	}
	s.tell()
}

// sayLocked logs something about the newest life, or about what came before it.
func (s *Stream) sayLocked(level slog.Level, text string, args ...any) {
	s.log.With("slot", int(s.slot), "life", s.life).Log(context.Background(), level, text, args...)
}

// tell raises Changed.
func (s *Stream) tell() { raise(s.changed) }

// kick lets run look at everything.
func (s *Stream) kick() { raise(s.wake) }

func raise(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is raised already
	}
}
