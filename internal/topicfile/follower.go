package topicfile

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"feedmux/internal/lookout"
)

// Rest is how long a file must be as it is before it counts.
const Rest = time.Second

// again is for how long a file that looks as it did is not read again: a long one costs seconds. It is then, since what it is
// judged beside may have changed.
const again = time.Minute

// Options say what to follow. T is a topic. Everything without a note is required.
type Options[T any] struct {
	File string
	Read func(file string) ([]T, error)
	Name func(T) string // which topic it is

	// Alone calls look while nobody else changes what counts, or not at all if that is over.
	Alone func(look func())

	// Now is what counts of the file. Take makes it something else; an error means that it stays as it is. Both are called
	// by a look alone.
	Now  func() []T
	Take func([]T) error

	Log      *slog.Logger
	Watching lookout.Options // tests have shorter times
}

// Follower follows one file.
type Follower[T any] struct {
	o Options[T]

	// Whoever is alone may use them.
	holds bool // the file is held, and somebody was told
	told  []T  // what it said then

	// Owned by look.
	seen fs.FileInfo // what the file was like before it was read last; nil: it was not there
	read time.Time   // when that was

	mu   sync.Mutex
	held string // why the file is not taken, for people; it is in the log
}

// New follows nothing before Watch.
func New[T any](o Options[T]) *Follower[T] {
	if o.Watching.Rest == 0 {
		o.Watching.Rest = Rest
	}
	return &Follower[T]{o: o}
}

// Held says in a sentence that the file is not taken as it is, and why; "": it is. Any goroutine may ask.
func (f *Follower[T]) Held() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}

// Reload says why a reload must not take topics, which it read from the file after since, and whether the next one may; nil:
// it may, and says Taken once it has. A file that is not at rest may be half written, and is looked at again. One that would lose
// too much is held, unless it is held as it is already: then whoever reloads knows it. It is called as Take is.
func (f *Follower[T]) Reload(topics []T, since time.Time) (next bool, why error) {
	if f.same(topics, f.o.Now()) || f.holds && f.same(topics, f.told) {
		return true, nil
	}
	young, err := f.young(since), f.TooFew(topics)
	f.holds, f.told = err != nil && !young, topics
	level := slog.LevelError
	if err == nil && young {
		level = slog.LevelWarn
		err = fmt.Errorf("%s was written a moment ago: it counts once it has been at rest for %v", f.o.File, f.o.Watching.Rest)
	}
	f.leave(err, level)
	return f.holds, err
}

// Taken says that somebody else has made what counts of the file what it says now. It is called as Take is.
func (f *Follower[T]) Taken() {
	f.holds, f.told = false, nil
	f.hold("")
}

// Watch takes the file each time that it has changed, until ctx ends. It is called once.
func (f *Follower[T]) Watch(ctx context.Context) {
	lookout.Watch(ctx, f.o.File, f.o.Watching, func() {
		if ctx.Err() == nil {
			f.o.Alone(f.look)
		}
	})
}

func (f *Follower[T]) look() {
	if f.young(time.Now()) {
		return // somebody may be writing; the next look is not far
	}
	info, _ := os.Stat(f.o.File) // without it, reading says why
	if f.unchanged(info) && time.Since(f.read) < again {
		return
	}
	f.seen, f.read = info, time.Now()
	topics, err := f.o.Read(f.o.File)
	f.holds = false
	if err == nil {
		err = f.TooFew(topics)
		f.holds, f.told = err != nil, topics
	}
	if err == nil {
		err = f.o.Take(topics)
	}
	f.leave(err, slog.LevelError)
}

// unchanged says whether the file looks as it did when it was read last.
func (f *Follower[T]) unchanged(info fs.FileInfo) bool {
	return info != nil && f.seen != nil && os.SameFile(info, f.seen) && info.Size() == f.seen.Size() &&
		info.ModTime().Equal(f.seen.ModTime())
}

// young says whether the file was written less than the time of rest before since, or after it.
func (f *Follower[T]) young(since time.Time) bool {
	info, err := os.Stat(f.o.File)
	return err == nil && since.Sub(info.ModTime()) < f.o.Watching.Rest && !info.ModTime().After(time.Now())
}

// leave says that the file is not taken because of err, in the log too if that is new. nil: it is taken.
func (f *Follower[T]) leave(err error, level slog.Level) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if before := f.hold(text); text != "" && text != before {
		f.o.Log.Log(context.Background(), level, "the topics file is not taken: what it said before goes on counting", "file", f.o.File, "error", err)
	}
}

func (f *Follower[T]) same(a, b []T) bool {
	return slices.EqualFunc(a, b, func(a, b T) bool { return f.o.Name(a) == f.o.Name(b) })
}

// hold says why the file is not taken; "": it is. It returns what was said before.
func (f *Follower[T]) hold(text string) (before string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.held = f.held, text
	return before
}

// TooFew says that topics are not to be believed beside what counts. It is called as Take is.
func (f *Follower[T]) TooFew(topics []T) error {
	there := make(map[string]bool, len(topics))
	for _, t := range topics {
		there[f.o.Name(t)] = true
	}
	now := f.o.Now()
	lost := 0
	for _, t := range now {
		if !there[f.o.Name(t)] {
			lost++
		}
	}
	if 2*lost > len(now) {
		return fmt.Errorf("%s would lose %d of its %d topics: it is held until a reload takes it", f.o.File, lost, len(now))
	}
	return nil
}
