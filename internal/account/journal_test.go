package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/limiter"
	"feedmux/shard"
)

// memory is a journal that a test can look at.
type memory struct {
	saving atomic.Int32
	mu     sync.Mutex
	saved  []byte // JSON
}

func (m *memory) Load() (attempts []Attempt, err error) {
	if m.saved == nil {
		return nil, nil
	}
	return attempts, json.Unmarshal(m.saved, &attempts)
}

func (m *memory) Save(attempts []Attempt) {
	if m.saving.Add(1) > 1 {
		panic("two save at once")
	}
	defer m.saving.Add(-1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved, _ = json.Marshal(attempts)
}

// now is what a restart would find.
func (m *memory) now() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saved
}

// diary is what an upstream notes that counts dials strictly, whoever runs.
type diary struct {
	w  limiter.Window
	mu sync.Mutex

	run      int
	attempts []*Attempt
}

// begin notes a dial of a run, unless that has crashed meanwhile.
func (d *diary) begin(t *testing.T, run int) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if run != d.run {
		return func() {}
	}
	counted := 0
	for _, a := range d.attempts {
		if a.End.IsZero() || time.Since(a.End) < d.w.Per {
			counted++
		}
	}
	if counted >= d.w.N {
		t.Errorf("%v: run %d dials while %d count", d.w, run, counted)
	}
	a := &Attempt{Begin: time.Now()}
	d.attempts = append(d.attempts, a)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if a.End.IsZero() {
			a.End = time.Now()
		}
	}
}

// crash ends what is under way, and begins the next run with what the journal has.
func (d *diary) crash(old *memory) *memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run++
	for _, a := range d.attempts {
		if a.End.IsZero() {
			a.End = time.Now()
		}
	}
	return &memory{saved: old.now()}
}

func TestNeverMoreDialsThanTheBudgetInAnyWindowOverRestarts(t *testing.T) {
	for _, tt := range []struct {
		w        limiter.Window
		inFlight int
	}{
		{limiter.Window{N: 1, Per: 2 * time.Second}, 1},
		{limiter.Window{N: 3, Per: time.Second}, 2},
		{limiter.Window{N: 10, Per: time.Second}, 10},
	} {
		t.Run(fmt.Sprintf("%v in flight %d", tt.w, tt.inFlight), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const runs, slots = 30, 8
				d, journal := &diary{w: tt.w}, &memory{}
				r := rand.New(rand.NewPCG(1, 1))
				upTo := func(d time.Duration, r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(d))) }
				for run := range runs {
					o := wide(slots)
					o.Dials, o.InFlight, o.Journal, o.Backoff = tt.w, tt.inFlight, journal, limiter.Backoff{}
					s := join(t, New(o), "one", slots)
					ctx, cancel := context.WithCancel(t.Context())
					var all sync.WaitGroup
					for slot := range shard.Slot(slots) {
						r := rand.New(rand.NewPCG(uint64(run), uint64(slot)))
						all.Go(func() {
							for ctx.Err() == nil {
								patience, cancel := context.WithTimeout(ctx, 1+upTo(10*tt.w.Per, r))
								seat, err := s.Turn(patience, Request{Slot: slot, Topics: r.IntN(3)})
								cancel()
								if err != nil {
									continue
								}
								end := d.begin(t, run)
								if r.IntN(3) > 0 {
									time.Sleep(upTo(tt.w.Per, r))
								}
								end()
								if r.IntN(2) == 0 {
									seat.Dialled()
									seat.Live()
									time.Sleep(upTo(tt.w.Per, r))
								}
								seat.Leave(End{PeerGone: true, Failed: r.IntN(2) == 0})
							}
						})
					}
					time.Sleep(upTo(20*tt.w.Per, r))
					next := d.crash(journal)
					if len(next.saved) > 200*2*tt.w.N {
						t.Errorf("the journal has %d bytes", len(next.saved))
					}
					journal = next
					cancel()
					if r.IntN(2) == 0 {
						all.Wait() // else the next run begins at once
					} else {
						defer all.Wait()
					}
				}
				if len(d.attempts) < runs*tt.w.N*2 {
					t.Errorf("only %d dials in %d runs", len(d.attempts), runs)
				}
			})
		})
	}
}

// fixed is a journal that holds these attempts.
type fixed struct {
	attempts []Attempt
	err      error
	saved    [][]Attempt
}

func (f *fixed) Load() ([]Attempt, error) { return f.attempts, f.err }
func (f *fixed) Save(a []Attempt)         { f.saved = append(f.saved, a) }

func TestWhatTheJournalSaysIsCounted(t *testing.T) {
	at := func(begin, end time.Duration) Attempt {
		return Attempt{Begin: time.Now().Add(begin).Round(0), End: time.Now().Add(end).Round(0)}
	}
	for name, tt := range map[string]struct {
		load func() []Attempt
		err  error
		want [2]time.Duration // when the next two may begin, of two in ten seconds
	}{
		"nothing":              {func() []Attempt { return nil }, nil, [2]time.Duration{0, 0}},
		"what nobody can read": {func() []Attempt { return nil }, errors.New("broken"), [2]time.Duration{10 * time.Second, 10 * time.Second}},
		"one under way": {func() []Attempt {
			return []Attempt{{Begin: time.Now().Add(-time.Hour)}}
		}, nil, [2]time.Duration{0, 10 * time.Second}},
		"one that ended": {func() []Attempt {
			return []Attempt{at(-time.Minute, -7*time.Second)}
		}, nil, [2]time.Duration{0, 3 * time.Second}},
		"one of long ago": {func() []Attempt {
			return []Attempt{at(-time.Minute, -10*time.Second)}
		}, nil, [2]time.Duration{0, 0}},
		"some from the future": {func() []Attempt {
			return []Attempt{at(time.Hour, 2*time.Hour), at(-time.Hour, time.Hour)}
		}, nil, [2]time.Duration{10 * time.Second, 10 * time.Second}},
		"more than the budget, of an earlier configuration": {func() []Attempt {
			return []Attempt{at(-9*time.Second, -4*time.Second), at(-9*time.Second, -8*time.Second), at(-9*time.Second, -6*time.Second)}
		}, nil, [2]time.Duration{4 * time.Second, 6 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &fixed{attempts: tt.load(), err: tt.err}
				o := wide(5)
				o.Dials, o.Journal = limiter.Window{N: 2, Per: 10 * time.Second}, j
				a := New(o)
				for _, a := range a.log.attempts {
					if a.Begin.After(time.Now()) || a.End.After(time.Now()) {
						t.Errorf("of the future: %v", a)
					}
				}
				s := join(t, a, "one", 5)
				begin := time.Now()
				for slot, want := range tt.want {
					seat := turn(t, s, Request{Slot: shard.Slot(slot)})
					seat.Live()
					wantTook(t, fmt.Sprintf("dial %d", slot), begin, want)
				}
			})
		})
	}
}

func TestADialIsSavedBeforeItBeginsAndWhenItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &fixed{}
		o := wide(5)
		o.Dials, o.Journal = limiter.Window{N: 5, Per: 10 * time.Second}, j
		s := join(t, New(o), "one", 5)
		wantSaved := func(saves, attempts int, ended bool) {
			t.Helper()
			if len(j.saved) != saves {
				t.Fatalf("saved %d times, want %d", len(j.saved), saves)
			}
			last := j.saved[saves-1]
			if len(last) != attempts || last[attempts-1].End.IsZero() == ended {
				t.Fatalf("save %d is %v", saves, last)
			}
		}
		first := turn(t, s, Request{})
		wantSaved(1, 1, false)
		time.Sleep(5 * time.Second)
		first.Live()
		first.Dialled()
		first.Dialled()
		wantSaved(2, 1, true)
		first.Leave(End{})
		wantSaved(2, 1, true)
		time.Sleep(5 * time.Second)
		second := turn(t, s, Request{Slot: 1})
		wantSaved(3, 2, false)
		second.Leave(End{Failed: true})
		wantSaved(4, 2, true)
		time.Sleep(10 * time.Second)
		turn(t, s, Request{Slot: 2})
		wantSaved(5, 1, false) // the others count no more
	})
}
