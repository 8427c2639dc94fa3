package expiry

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/config"
)

// startExpiry runs one whose token dies each day at six in a zone east of here; the bubble begins at midnight UTC, which is
// half past five there.
func startExpiry(t *testing.T, since time.Time) (e *Expiry, log *lines) {
	t.Helper()
	zone := time.FixedZone("Asia/Kolkata", 5*3600+1800)
	dies := func(after time.Time) time.Time {
		y, m, d := after.In(zone).Date()
		for ; ; d++ {
			if at := time.Date(y, m, d, 6, 0, 0, 0, zone); at.After(after) {
				return at
			}
		}
	}
	log = new(lines)
	e = New("kite", since, 30*time.Minute, dies, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return e, log
}

// warnings waits until that much time has passed since the last call, and counts what was logged in it.
func warnings(log *lines, wait time.Duration) (n int, text string) {
	time.Sleep(wait)
	synctest.Wait()
	text = log.take()
	return strings.Count(text, "\n"), text
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// take empties it.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := string(l.text)
	l.text = nil
	return text
}

func TestATokenThatDiesIsWarnedOfOnceHalfAnHourBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // half past six
		start := time.Now()
		e, log := startExpiry(t, start)
		if n, text := warnings(log, 23*time.Hour-time.Second); n != 0 {
			t.Errorf("too early: %s", text)
		}
		const want = "the access token dies at 06:00 Asia/Kolkata, in 30m0s: connections that are open go on, new ones need a new token"
		if n, text := warnings(log, time.Second); n != 1 || !strings.Contains(text, want) || !strings.Contains(text, "feed=kite") {
			t.Errorf("half an hour before: %s", text)
		}
		if n, text := warnings(log, 72*time.Hour); n != 0 {
			t.Errorf("a token dies once: %s", text)
		}
		if at, due := e.Times(); !at.Equal(start.Add(23*time.Hour+30*time.Minute)) || !due.Equal(start.Add(23*time.Hour)) {
			t.Errorf("it died at %s, and another one was due at %s", at, due)
		}

		e.Renewed() // half past five
		if n, text := warnings(log, 0); n != 1 {
			t.Errorf("a new one that dies within half an hour: %s", text)
		}
		warnings(log, 2*time.Hour)
		e.Renewed() // half past seven
		if n, text := warnings(log, 21*time.Hour); n != 0 {
			t.Errorf("a new one: %s", text)
		}
		if n, text := warnings(log, time.Hour); n != 1 {
			t.Errorf("a new one, a day later: %s", text)
		}
	})
}

func TestATokenThatIsReplacedInTimeIsNotWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		e, log := startExpiry(t, time.Now().Add(-20*time.Hour)) // half past ten, the day before
		if n, text := warnings(log, 0); n != 1 || !strings.Contains(text, "died at 06:00 Asia/Kolkata") {
			t.Errorf("one that is dead already: %s", text)
		}
		e.Renewed()
		if n, text := warnings(log, 20*time.Hour); n != 0 {
			t.Errorf("after it was replaced: %s", text)
		}
	})
}

func TestATokenIsAsOldAsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	f := &config.Feed{Auth: config.Secret{File: file}}
	begin := time.Now()
	if at := MadeAt(f); at.Before(begin) || at.After(time.Now()) {
		t.Errorf("without a file: %s", at)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, written := range []time.Time{begin.Add(-time.Hour), begin.Add(time.Hour)} {
		if err := os.Chtimes(file, written, written); err != nil {
			t.Fatal(err)
		}
		if at, future := MadeAt(f), written.After(begin); at.Equal(written) == future {
			t.Errorf("written at %s: %s", written, at)
		}
	}
}

func TestATokenThatRenewsItselfIsDueOnceThatIsLate(t *testing.T) {
	got := time.Now()
	for _, c := range []struct{ lasts, before, due time.Duration }{
		{time.Hour, 5 * time.Minute, 56 * time.Minute},
		{20 * time.Minute, 5 * time.Minute, 16 * time.Minute},
		{20 * time.Minute, 30 * time.Minute, 11 * time.Minute}, // it is renewed after half of its time
		{time.Hour, 20 * time.Second, time.Hour},
		{time.Minute, 5 * time.Minute, time.Minute},
		{-time.Hour, 5 * time.Minute, -time.Hour}, // it came dead
	} {
		if due := Due(got, got.Add(c.lasts), c.before).Sub(got); due != c.due {
			t.Errorf("lasts %s, renewed %s before: due after %s, want %s", c.lasts, c.before, due, c.due)
		}
	}
}
