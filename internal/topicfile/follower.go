package topicfile

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"feedmux/internal/lookout"
)

// Rest is how long a file must be as it is before it counts.
const Rest = time.Second

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

// Taken says that somebody else has made what counts of the file what it says now. It is called as Take is.
func (f *Follower[T]) Taken() { f.hold("") }

// Watch takes the file each time that it has changed, until ctx ends. It is called once.
func (f *Follower[T]) Watch(ctx context.Context) {
	lookout.Watch(ctx, f.o.File, f.o.Watching, func() {
		if ctx.Err() == nil {
			f.o.Alone(f.look)
		}
	})
}

func (f *Follower[T]) look() {
	if info, err := os.Stat(f.o.File); err == nil {
		if age := time.Since(info.ModTime()); age >= 0 && age < f.o.Watching.Rest {
			return // somebody may be writing; the next look is not far
		}
	}
	topics, err := f.o.Read(f.o.File)
	if err == nil {
		err = f.tooFew(topics)
	}
	if err == nil {
		err = f.o.Take(topics)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if before := f.hold(text); text != "" && text != before {
		f.o.Log.Error("the topics file is not taken: what it said before goes on counting", "file", f.o.File, "error", err)
	}
}

// hold says why the file is not taken; "": it is. It returns what was said before.
func (f *Follower[T]) hold(text string) (before string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.held = f.held, text
	return before
}

// tooFew says that the topics are not to be believed.
func (f *Follower[T]) tooFew(topics []T) error {
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
