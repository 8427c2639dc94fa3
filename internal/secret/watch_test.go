package secret

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if command, ok := commands[os.Args[1]]; ok {
			command(os.Args[2:])
			syscall.Exit(0) // at once: os.Exit lets the race detector rest for a second
		}
	}
	goleak.VerifyTestMain(m)
}

// generous is how long a test waits for what comes within a fraction of a second.
const generous = 20 * time.Second

// watched runs Watch without polls, and returns once it watches: it has then called for the value "begun", which begin
// must bring about. Each call gives the value found.
func watched(t *testing.T, s *Secret, begin func(value string)) (calls <-chan string) {
	t.Helper()
	s.poll = time.Hour
	all := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	if _, err := s.Value(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin("begun")
	go func() {
		defer close(done)
		s.Watch(ctx, func() {
			value, err := s.Value(t.Context())
			if err != nil {
				t.Error(err)
			}
			all <- value
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	wantCall(t, all, "begun")
	return all
}

// wantCall waits for the call that finds this value, whatever was seen on the way.
func wantCall(t *testing.T, calls <-chan string, value string) {
	t.Helper()
	late := time.After(generous)
	for {
		select {
		case got := <-calls:
			if got == value {
				return
			}
		case <-late:
			t.Fatalf("no call for %q", value)
		}
	}
}

func TestEventsTellEveryKindOfChangeOfAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, elsewhere := filepath.Join(dir, "token"), filepath.Join(t.TempDir(), "elsewhere")
	write(t, file, "0")
	write(t, elsewhere, "behind a link")
	calls := watched(t, New(Source{File: file}, Options{}), func(value string) { write(t, file, value) })

	write(t, file, "in place")
	wantCall(t, calls, "in place")
	replace(t, file, "renamed over")
	wantCall(t, calls, "renamed over")
	replace(t, file, "renamed over again")
	wantCall(t, calls, "renamed over again")
	remove(t, file)
	write(t, file, "made again")
	wantCall(t, calls, "made again")
	write(t, file, "")
	write(t, file, "good after empty")
	wantCall(t, calls, "good after empty")
	point(t, file, elsewhere)
	wantCall(t, calls, "behind a link")
	write(t, elsewhere, "in place behind a link")
	wantCall(t, calls, "in place behind a link")
	replace(t, elsewhere, "renamed over behind a link")
	wantCall(t, calls, "renamed over behind a link")
	replace(t, file, "a file again")
	wantCall(t, calls, "a file again")
}

// TestEventsTellTheSwapsOfKubernetes: the file is a link through a link to a directory, and only that one is swapped.
func TestEventsTellTheSwapsOfKubernetes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	swap := func(value string) {
		mkdir(t, filepath.Join(dir, ".."+value))
		write(t, filepath.Join(dir, ".."+value, "token"), value)
		old, err := os.Readlink(filepath.Join(dir, "..data"))
		point(t, filepath.Join(dir, "..data"), ".."+value)
		if err == nil {
			remove(t, filepath.Join(dir, old))
		}
	}
	swap("0")
	point(t, filepath.Join(dir, "token"), filepath.Join("..data", "token"))
	calls := watched(t, New(Source{File: filepath.Join(dir, "token")}, Options{}), swap)
	for _, value := range []string{"first", "second", "third"} {
		swap(value)
		wantCall(t, calls, value)
	}
	write(t, filepath.Join(dir, "..third", "token"), "in place")
	wantCall(t, calls, "in place")
}

func TestEventsTellThatAParentLeadsElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	swap := func(value string) {
		if err := os.MkdirAll(filepath.Join(dir, "releases", value, "deep", "down"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "releases", value, "deep", "down", "token"), value)
		point(t, filepath.Join(dir, "current"), filepath.Join(dir, "releases", value))
	}
	swap("0")
	calls := watched(t, New(Source{File: filepath.Join(dir, "current", "deep", "down", "token")}, Options{}), swap)
	for _, value := range []string{"first", "second"} {
		swap(value)
		wantCall(t, calls, value)
	}
}

func TestTheEndOfTheDirectoryIsNoticed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dir")
	file := filepath.Join(dir, "token")
	mkdir(t, dir)
	write(t, file, "0")
	s := New(Source{File: file}, Options{})
	made := make(chan struct{}, 1000)
	s.newWatcher = func() (*fsnotify.Watcher, error) {
		made <- struct{}{}
		return fsnotify.NewWatcher()
	}
	calls := watched(t, s, func(value string) { write(t, file, value) })
	<-made

	remove(t, dir)
	select {
	case <-made: // for the place without a directory
	case <-time.After(generous):
		t.Fatal("the end of the directory went unnoticed")
	}
	if len(calls) != 0 {
		t.Error("a call without a file")
	}
}

func TestABurstIsOneCall(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, "0")
	s := New(Source{File: file}, Options{})
	s.rest = 500 * time.Millisecond
	calls := watched(t, s, func(value string) { write(t, file, value) })
	for attempt := range 20 {
		final := string(rune('A' + attempt))
		began := time.Now()
		last, slowest := began, time.Duration(0)
		for n := 0; time.Since(began) < 100*time.Millisecond; n++ { // time enough for many looks, were there any
			write(t, file, strconv.Itoa(n))
			replace(t, file, strconv.Itoa(n))
			slowest = max(slowest, time.Since(last))
			last = time.Now()
		}
		write(t, file, final)
		if slowest > s.rest/2 {
			wantCall(t, calls, final)
			continue // the machine made this no burst
		}
		select {
		case got := <-calls:
			if got != final || len(calls) != 0 {
				t.Errorf("a call for %q and %d more, want one for %q", got, len(calls), final)
			}
		case <-time.After(generous):
			t.Error("no call")
		}
		return
	}
	t.Skip("this machine is too busy for a burst")
}

// TestWithoutRestThePollsLook: somebody may write into a file without end, which here is a rest that never comes.
func TestWithoutRestThePollsLook(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, "0")
	s := New(Source{File: file}, Options{})
	wantValue(t, s, "0")
	write(t, file, "1")
	s.poll, s.rest = 20*time.Millisecond, time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	calls := 0
	s.Watch(ctx, func() {
		if calls++; calls == 3 {
			cancel()
			return
		}
		replace(t, file, string(rune('1'+calls)))
	})
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}
