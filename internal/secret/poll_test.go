package secret

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// polled runs Watch where nothing can be watched, in a bubble, and gives what counts its calls so far. An hour is enough
// for any number of polls.
func polled(t *testing.T, s *Secret) (calls func() int) {
	t.Helper()
	tries, n := 0, 0
	s.newWatcher = func() (*fsnotify.Watcher, error) {
		tries++
		return nil, errors.New("too many open files")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, func() { n++ })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if tries == 0 {
			t.Error("nothing asked for a watch")
		}
	})
	return func() int {
		synctest.Wait()
		return n
	}
}

func TestAPollSeesEveryKindOfChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "token")
		write(t, file, "0")
		s := New(Source{File: file}, Options{})
		calls := polled(t, s)
		if n := calls(); n != 0 {
			t.Fatalf("%d calls for what was there at the beginning", n)
		}
		for i, step := range []struct {
			name string
			make func()
			call bool
		}{
			{"written in place", func() { write(t, file, "1") }, true},
			{"replaced", func() { replace(t, file, "2") }, true},
			{"replaced by the same", func() { replace(t, file, "2") }, false},
			{"other white space", func() { write(t, file, "\n2\n") }, false},
			{"empty", func() { write(t, file, "") }, false},
			{"good again, and the same", func() { write(t, file, "2") }, false},
			{"empty", func() { write(t, file, " ") }, false},
			{"good again, and another", func() { write(t, file, "3") }, true},
			{"removed", func() { remove(t, file) }, false},
			{"a directory", func() { mkdir(t, file) }, false},
			{"made again", func() { remove(t, file); write(t, file, "4") }, true},
			{"removed with its directory", func() { remove(t, dir) }, false},
			{"made with its directory", func() { mkdir(t, dir); write(t, file, "5") }, true},
			{"there and back between two polls", func() { write(t, file, "6"); write(t, file, "5") }, false},
		} {
			before := calls()
			step.make()
			time.Sleep(s.poll)
			if called := calls() - before; called > 1 || (called == 1) != step.call {
				t.Errorf("step %d, %s: %d calls, want one: %v", i, step.name, called, step.call)
			}
		}
		wantValue(t, s, "5")
	})
}

func TestAPollSeesAFileThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "later")
		s := New(Source{File: filepath.Join(dir, "token")}, Options{})
		calls := polled(t, s)
		time.Sleep(time.Hour)
		if n := calls(); n != 0 {
			t.Fatalf("%d calls without a file", n)
		}
		mkdir(t, dir)
		write(t, s.source.File, "first")
		time.Sleep(s.poll)
		if n := calls(); n != 1 {
			t.Errorf("%d calls for the first value, want one", n)
		}
	})
}

func TestWhatChangedSinceItWasAskedForIsSeenAtTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		s := New(Source{File: file}, Options{})
		if _, err := s.Value(t.Context()); err == nil {
			t.Fatal("no error without a file")
		}
		write(t, file, "just come")
		calls := polled(t, s)
		if n := calls(); n != 1 {
			t.Errorf("%d calls, want one", n)
		}
	})
}

// TestAnotherReaderHidesNoChange: what a dial has read already is news to Watch nevertheless.
func TestAnotherReaderHidesNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		write(t, file, "a")
		s := New(Source{File: file}, Options{})
		calls := polled(t, s)
		calls() // has begun
		write(t, file, "b")
		wantValue(t, s, "b")
		write(t, file, "")
		time.Sleep(s.poll)
		if n := calls(); n != 1 {
			t.Errorf("%d calls for a value that was good for a moment and counts still, want one", n)
		}
	})
}

func TestAVariableIsNotPolled(t *testing.T) {
	for _, source := range []Source{{Env: "SECRET_OF_THIS_TEST"}, {}} {
		t.Setenv("SECRET_OF_THIS_TEST", "a")
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			began := time.Now()
			s := New(source, Options{Log: func(err error) { t.Error(err) }})
			go func() { time.Sleep(time.Minute); os.Setenv("SECRET_OF_THIS_TEST", "b") }()
			s.Watch(ctx, func() { t.Error("called") })
			if took := time.Since(began); took != time.Hour {
				t.Errorf("Watch ended after %v", took)
			}
		})
	}
}

func noWatcher() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
