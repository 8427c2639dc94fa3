package lookout

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// generous is how long a test waits for what comes within a fraction of a second.
const generous = 20 * time.Second

func TestEveryChangeIsLookedAtOnceThereIsRest(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "0")
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	last := ""
	Watch(ctx, file, Options{Poll: time.Hour}, func() {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		switch last = string(text); last {
		case "0":
			write(t, file, "1")
		case "1":
			write(t, file+".new", "2")
			if err := os.Rename(file+".new", file); err != nil {
				t.Error(err)
			}
		case "2":
			cancel()
		}
	})
	if last != "2" {
		t.Errorf("the last look found %q", last)
	}
}

func TestALookThatIsAskedForIsMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "0")
	again := make(chan struct{}, 1)
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	looks := 0
	Watch(ctx, file, Options{Poll: time.Hour, Again: again}, func() {
		looks++
		if looks == 3 {
			cancel()
			return
		}
		again <- struct{}{}
	})
	if looks != 3 {
		t.Errorf("%d looks, want 3", looks)
	}
}

func TestADirectoryThatComesLaterIsWatched(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dir")
	file := filepath.Join(dir, "token")
	out := lookout{newWatcher: fsnotify.NewWatcher}
	defer out.close()
	for range 2 {
		out.renew(file)
		before := out.watcher
		if out.renew(file); out.watcher != before {
			t.Error("another watcher though nothing changed")
		}
		mkdir(t, dir)
		out.renew(file)
		write(t, file, "a")
		events, _ := out.channels()
		select {
		case event, open := <-events:
			if !out.concerned(event, open) {
				t.Errorf("not concerned by %v", event)
			}
		case <-time.After(generous):
			t.Fatal("no event")
		}
		remove(t, dir)
	}
}

func TestWhereNothingCanBeWatchedItIsTriedAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	fails := true
	out := lookout{newWatcher: func() (*fsnotify.Watcher, error) {
		if fails {
			return nil, errors.New("too many open files")
		}
		return fsnotify.NewWatcher()
	}}
	defer out.close()
	out.renew(file)
	if events, errors := out.channels(); events != nil || errors != nil {
		t.Error("channels without a watcher")
	}
	fails = false
	if out.renew(file); out.watcher == nil {
		t.Error("not tried again")
	}
}

func TestOtherFilesInTheDirectoryDoNotConcernUs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := lookout{newWatcher: fsnotify.NewWatcher}
	defer out.close()
	out.renew(filepath.Join(dir, "token"))
	other := fsnotify.Event{Name: filepath.Join(dir, "other"), Op: fsnotify.Write}
	if out.concerned(other, true) || out.watcher == nil {
		t.Error("concerned by another file")
	}
	if !out.concerned(fsnotify.Event{}, false) || out.watcher != nil {
		t.Error("the end of all events went unnoticed")
	}
	out.renew(filepath.Join(dir, "token"))
	if !out.concerned(fsnotify.Event{Name: dir, Op: fsnotify.Remove}, true) || out.watcher != nil {
		t.Error("a watch was kept though its directory may be another now")
	}
}

func TestPlacesAreTheLinksOnTheWayAndTheFile(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	mkdir(t, in("a"))
	mkdir(t, in("a/real"))
	point(t, in("up"), "a/link")
	point(t, in("a/link"), in("a/real"))
	point(t, in("a/real/token"), "../other")
	point(t, in("loop"), "loop")
	for file, want := range map[string][]string{
		"plain":      {"plain"},
		"up/token":   {"up", "a/link", "a/real/token", "a/other"},
		"a/none/one": {"a/none/one"},
	} {
		var got []string
		for _, p := range placesOf(in(file)) {
			name, err := filepath.Rel(dir, p.name)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, name)
			if (p.dir == nil) != (file == "a/none/one") {
				t.Errorf("%s: the directory is %v", p.name, p.dir)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	if n := len(placesOf(in("loop"))); n != maxLinks {
		t.Errorf("a loop has %d places, want %d", n, maxLinks)
	}
}

func mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func point(t *testing.T, link, target string) {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}
