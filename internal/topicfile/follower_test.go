package topicfile

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"feedmux/internal/lookout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// feed is what follows a file in a test. Its file is as old as the test wants.
type feed struct {
	t    *testing.T
	file string
	log  bytes.Buffer
	*Follower[string]

	mu    sync.Mutex
	now   []string
	takes int
	fails error
}

func follow(t *testing.T, topics ...string) *feed {
	f := &feed{t: t, file: filepath.Join(t.TempDir(), "topics.txt"), now: topics}
	f.Follower = New(Options[string]{
		File: f.file,
		Read: func(file string) ([]string, error) {
			text, err := os.ReadFile(file)
			return strings.Fields(string(text)), err
		},
		Name: func(t string) string { return t },
		Alone: func(look func()) {
			f.mu.Lock()
			defer f.mu.Unlock()
			look()
		},
		Now: func() []string { return f.now },
		Take: func(topics []string) error {
			if f.fails != nil {
				return f.fails
			}
			f.now = topics
			f.takes++
			return nil
		},
		Log:      slog.New(slog.NewTextHandler(&f.log, nil)),
		Watching: lookout.Options{Poll: 20 * time.Millisecond},
	})
	f.write(time.Minute, topics...)
	return f
}

func (f *feed) write(age time.Duration, topics ...string) {
	f.t.Helper()
	if err := os.WriteFile(f.file, []byte(strings.Join(topics, "\n")), 0o600); err != nil {
		f.t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(f.file, at, at); err != nil {
		f.t.Fatal(err)
	}
}

func (f *feed) want(what string, topics ...string) {
	f.t.Helper()
	if !slices.Equal(f.now, topics) {
		f.t.Errorf("%s: %q, want %q", what, f.now, topics)
	}
}

func TestAFileThatRestsIsTaken(t *testing.T) {
	f := follow(t, "a", "b", "c", "d")
	f.write(0, "a", "b", "c", "e")
	f.look()
	f.want("while it may still be written", "a", "b", "c", "d")
	f.write(2*time.Second, "a", "b", "c", "e")
	f.look()
	f.want("at rest", "a", "b", "c", "e")
	if f.Held() != "" || f.log.Len() > 0 {
		t.Errorf("held %q; logged %s", f.Held(), f.log.String())
	}
}

func TestAFileThatLosesOverHalfIsHeldAndSaidOnce(t *testing.T) {
	f := follow(t, "a", "b", "c", "d")
	f.write(time.Minute, "a", "b")
	f.look()
	f.want("half of it", "a", "b")
	f.write(time.Minute, "x", "y", "z")
	f.look()
	f.look()
	f.want("other topics", "a", "b")
	f.write(time.Minute)
	f.look()
	f.want("none", "a", "b")
	if !strings.Contains(f.Held(), "2 of its 2 topics") {
		t.Errorf("held: %q", f.Held())
	}
	if n := strings.Count(f.log.String(), "not taken"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, f.log.String())
	}
	f.now = nil // a reload took it
	f.Taken()
	if f.Held() != "" {
		t.Errorf("held after a reload: %q", f.Held())
	}
	f.look()
	if f.Held() != "" {
		t.Errorf("held at the look after a reload: %q", f.Held())
	}
}

func TestAReloadTakesWhatSomebodyWasToldOfAndNothingElse(t *testing.T) {
	f := follow(t, "a", "b", "c", "d")
	reload := func(what string, age time.Duration, want string, topics ...string) {
		t.Helper()
		f.write(age, topics...)
		next, err := f.Reload(topics, time.Now())
		if atRest := age > time.Second; err != nil && next != atRest {
			t.Errorf("%s: that the next one may take it: %v", what, next)
		}
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || f.Held() != err.Error()) {
			t.Errorf("%s: %v; held %q", what, err, f.Held())
		}
	}
	const half = "would lose 3 of its 4 topics"
	reload("what counts", 0, "", "a", "b", "c", "d")
	reload("less", time.Minute, "", "a", "b", "c")
	reload("just written", 0, "at rest for 1s", "a", "b", "c")
	reload("much less", time.Minute, half, "a")
	reload("something else", time.Minute, half, "b")
	reload("the same again", time.Minute, "", "b")
	reload("it, just written", 0, "", "b")
	reload("another, just written", 0, half, "c")
	reload("once more", 0, half, "c")
	if n := strings.Count(f.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors in the log:\n%s", n, f.log.String())
	}
	f.write(time.Minute, "c")
	f.look()
	reload("a look has told", time.Minute, "", "c")
	f.Taken()
	reload("that was taken", time.Minute, half, "c")
	f.fails = errors.New("no")
	f.write(time.Minute, "a", "b", "c")
	f.look()
	reload("it cannot be used, and is less now", time.Minute, half, "a")
}

// What a reload read may be older than what the file says.
func TestAFileThatIsWrittenWhileAReloadReadsItIsNotAtRest(t *testing.T) {
	f := follow(t, "a", "b", "c", "d")
	since := time.Now().Add(-time.Minute)
	f.write(10*time.Second, "a", "b", "c")
	if _, err := f.Reload([]string{"a", "b", "c"}, since); err == nil {
		t.Error("it was taken")
	}
}

func TestAFileThatCannotBeUsedChangesNothing(t *testing.T) {
	f := follow(t, "a", "b")
	if err := os.Remove(f.file); err != nil {
		t.Fatal(err)
	}
	f.look()
	f.want("gone", "a", "b")
	if f.Held() == "" {
		t.Error("that it is gone is not said")
	}
	f.write(time.Minute, "a", "b", "c")
	f.fails = errors.New("c is no topic")
	f.look()
	f.want("bad", "a", "b")
	if f.Held() != "c is no topic" {
		t.Errorf("held: %q", f.Held())
	}
	f.fails = nil
	f.write(2*time.Minute, "a", "b", "c")
	f.look()
	f.want("good again", "a", "b", "c")
}

func TestWatchSeesTheFileChange(t *testing.T) {
	f := follow(t, "a", "b")
	ctx, end := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { f.Watch(ctx) })
	defer watching.Wait()
	defer end()
	f.write(time.Minute, "a", "b", "c")
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		done := len(f.now) == 3
		f.mu.Unlock()
		if done {
			return
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the change was never taken")
		}
	}
}
