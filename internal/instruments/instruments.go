package instruments

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"feedmux/internal/lookout"
	"feedmux/internal/regular"
	"feedmux/shard"
)

// maxFile bounds what is read: six times the longest list that is known.
const maxFile = 64 << 20

// settled is how old a file must be for its time stamp to tell whether it changed since: stamps are coarse. One that was
// written to more lately is perhaps still being written.
const settled = 2 * time.Second

// believed is how old a file must be for that it lacks what is wanted: whoever writes it may have stopped for a moment.
const believed = time.Minute

// Resolve reads the file, and says what a feed wants by it. last is what names stood for before; it is not changed.
type Resolve func(file io.Reader, last map[string]uint32) (Reading, error)

// Reading is what a file means for a feed.
type Reading struct {
	Wanted []shard.Wanted
	Tokens map[string]uint32 // what each of the wanted names stands for, without those that the file does not have
	Rows   int               // of the whole file
}

// Store keeps a value beyond the end of the process. Load fails with fs.ErrNotExist where nothing was saved.
type Store interface {
	Load(v any) error
	Save(v any) error
}

// Options say what to follow. Everything without a note is required.
type Options struct {
	File    string
	Resolve Resolve

	// Without says what a feed wants while the file cannot be used, and never could since the start.
	Without func(last map[string]uint32, why error) Reading

	Store    Store // nil: nothing is remembered
	Log      *slog.Logger
	Watching lookout.Options // tests have shorter times
}

// Instruments is what the file said last. Its methods may be called from any goroutine, Watch by one at a time.
type Instruments struct {
	o Options

	// Owned by New, and then by Watch.
	last  map[string]uint32 // what names stood for before this process, or before the file lost them
	saved map[string]uint32 // what the store has; nil: nobody knows
	stamp fs.FileInfo       // of the file that was read last; nil: it may have changed since
	told  string            // the error that was logged since the last good reading

	again  chan struct{} // one slot: look at once
	others atomic.Bool   // other topics are wanted of the file
	take   atomic.Bool   // the file is to be taken though it lacks much of what it had

	mu  sync.Mutex
	now Reading
}

// New reads the file. One that cannot be used is no reason not to start: the rest of what runs is worth more, and the file may
// be good in a moment.
func New(o Options) *Instruments {
	i := &Instruments{o: o, again: make(chan struct{}, 1)}
	if o.Store != nil {
		switch err := o.Store.Load(&i.saved); {
		case err == nil:
		case !errors.Is(err, fs.ErrNotExist):
			o.Log.Warn("what instruments stood for before is not known: those that changed are not announced", "error", err)
		}
	}
	i.last = maps.Clone(i.saved)
	if i.last == nil {
		i.last = make(map[string]uint32)
	}
	now, age, err := i.read()
	if err == nil {
		err = i.believable(i.last, now, age)
	}
	if err != nil {
		i.told = err.Error()
		o.Log.Warn("the instruments file is not good: names stand for what they stood for in the run before", "error", err)
		now = o.Without(i.last, err)
	}
	i.now = now
	return i
}

// Wanted is what the feed wants by the last good reading. The caller does not change it.
func (i *Instruments) Wanted() []shard.Wanted {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now.Wanted
}

// Watch calls changed, and waits for it, each time that something else is wanted, until ctx ends. It remembers what is
// wanted from its beginning on.
func (i *Instruments) Watch(ctx context.Context, changed func()) {
	i.remember()
	watching := i.o.Watching
	watching.Again = i.again
	lookout.Watch(ctx, i.o.File, watching, func() {
		if ctx.Err() == nil && (i.others.Swap(false) && i.resolve() || i.look()) {
			changed()
		}
	})
}

// Others says that Resolve and Without find other topics in the file from now on: Watch looks at once. It never waits.
func (i *Instruments) Others() {
	i.others.Store(true)
	select {
	case i.again <- struct{}{}:
	default: // it will look
	}
}

// Take says that the file is right as it is, whatever it lacks of what it had: Watch looks at once. It never waits.
func (i *Instruments) Take() {
	i.take.Store(true)
	i.Others()
}

// resolve finds out what the topics stand for that are wanted now, and says whether that is something else. The file may not
// be good just now: then names stand for what they stood for.
func (i *Instruments) resolve() bool {
	before := i.now // nobody else changes it
	now, err := i.readAfter(before)
	if err != nil {
		stood := maps.Clone(i.last)
		maps.Copy(stood, before.Tokens)
		now = i.o.Without(stood, err)
		now.Rows = before.Rows
		i.stamp = nil // those that the file alone knows are still to be found
	}
	i.use(now)
	return !slices.Equal(before.Wanted, now.Wanted)
}

// use lets a reading count.
func (i *Instruments) use(now Reading) {
	i.told = ""
	for name, token := range i.now.Tokens {
		if now.Tokens[name] == 0 {
			i.last[name] = token // should it come back as another one
		}
	}
	i.mu.Lock()
	i.now = now
	i.mu.Unlock()
	i.remember()
}

// look reads the file, if it is not the one that was read last, and says whether something else is wanted now.
func (i *Instruments) look() bool {
	before := i.now // nobody else changes it
	if info, err := os.Stat(i.o.File); err == nil {
		if i.stamp != nil && os.SameFile(info, i.stamp) && info.Size() == i.stamp.Size() && info.ModTime().Equal(i.stamp.ModTime()) {
			return false
		}
		if info.Mode().IsRegular() && ageOf(info) < settled {
			return false // the next look will be at more
		}
	}
	now, err := i.readAfter(before)
	if err != nil {
		if text := err.Error(); text != i.told {
			i.told = text
			i.o.Log.Warn("the instruments file is not good: going on with what it said before", "error", err)
		}
		return false
	}
	i.use(now)
	if slices.Equal(before.Wanted, now.Wanted) {
		return false
	}
	i.o.Log.Info("the instruments file has changed", "rows", now.Rows, "unknown", len(now.Wanted)-len(now.Tokens))
	return true
}

// readAfter reads the whole file as it is, after another reading. An error means that it is not to be believed.
func (i *Instruments) readAfter(before Reading) (Reading, error) {
	taken := i.take.Swap(false) // as it is now, and not as it may be later
	now, age, err := i.read()
	if err != nil || taken {
		return now, err
	}
	if now.Rows < before.Rows/2 {
		return now, fmt.Errorf("%s has %d rows where it had %d: a reload takes it", i.o.File, now.Rows, before.Rows)
	}
	return now, i.believable(before.Tokens, now, age)
}

// believable says what speaks against a reading of a file of that age: that wanted names are gone which were there before. It
// is then read again.
func (i *Instruments) believable(before map[string]uint32, now Reading, age time.Duration) error {
	if age >= believed {
		return nil
	}
	gone, example := 0, shard.Topic("")
	for _, w := range now.Wanted {
		if name := string(w.Topic); now.Tokens[name] == 0 && before[name] != 0 {
			gone, example = gone+1, w.Topic
		}
	}
	if gone == 0 {
		return nil
	}
	i.stamp = nil
	return fmt.Errorf("%s lacks %d of the topics that it had, such as %s: it counts once it is %v old", i.o.File, gone, example, believed)
}

// ageOf is how long ago a file was changed. One from the future is old: its time stamp tells nothing.
func ageOf(info fs.FileInfo) time.Duration {
	if age := time.Since(info.ModTime()); age >= 0 {
		return age
	}
	return believed
}

// read reads the whole file as it is.
func (i *Instruments) read() (reading Reading, age time.Duration, err error) {
	i.stamp = nil
	info, err := Read(i.o.File, func(file io.Reader) (err error) {
		reading, err = i.o.Resolve(file, i.last)
		return err
	})
	if info != nil {
		if age = ageOf(info); time.Since(info.ModTime()) > settled {
			i.stamp = info
		}
	}
	return reading, age, err
}

// Read has a regular file read by use. info is what the file was like before; nil: it could not be opened.
func Read(name string, use func(io.Reader) error) (info fs.FileInfo, err error) {
	file, info, err := regular.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > maxFile {
		return info, regular.TooLong(name, maxFile)
	}
	limited := &io.LimitedReader{R: file, N: maxFile + 1} // it may grow
	if err = use(limited); limited.N <= 0 {
		err = fmt.Errorf("it is longer than %d MiB", maxFile>>20)
	}
	if err != nil {
		return info, fmt.Errorf("%s: %w", name, err)
	}
	return info, nil
}

// remember saves what all wanted names stand for; those that the file lost, what they stood for last.
func (i *Instruments) remember() {
	if i.o.Store == nil {
		return
	}
	tokens := make(map[string]uint32, len(i.now.Wanted))
	maps.Copy(tokens, i.now.Tokens)
	for _, w := range i.now.Wanted {
		name := string(w.Topic)
		if was := i.last[name]; tokens[name] == 0 && was != 0 {
			tokens[name] = was
		}
	}
	if i.saved != nil && maps.Equal(tokens, i.saved) {
		return
	}
	if err := i.o.Store.Save(tokens); err != nil {
		i.o.Log.Warn("what instruments stand for cannot be kept: those that change over a restart are not announced", "error", err)
		return
	}
	i.saved = tokens
}
