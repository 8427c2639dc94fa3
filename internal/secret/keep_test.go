package secret

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// kept is a secret that a command gives, in a bubble, and what became of it.
type kept struct {
	*Secret
	t      *testing.T
	began  time.Time
	cancel context.CancelFunc // ends watch

	mu     sync.Mutex
	print  func() (string, error) // what the command does; it may take its time
	runs   []time.Duration        // when it was run
	calls  []string               // the values that changed was called for
	logged []string
}

var errNotNow = errors.New("not now")

func keep(t *testing.T, refreshBefore time.Duration, print func() (string, error)) *kept {
	k := &kept{t: t, began: time.Now(), print: print}
	k.Secret = New(Source{Command: []string{"helper", "swordfish"}}, Options{
		RefreshBefore: refreshBefore,
		Log:           func(err error) { k.note(&k.logged, err.Error()) },
		Seed:          1,
	})
	k.run = func(context.Context, []string) ([]byte, error) {
		text, err := k.begin()()
		return []byte(text), err
	}
	return k
}

// begin notes a run, and says what the command does now.
func (k *kept) begin() func() (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.runs = append(k.runs, time.Since(k.began))
	return k.print
}

func (k *kept) note(list *[]string, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	*list = append(*list, text)
}

// from now on the command does something else.
func (k *kept) from(print func() (string, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.print = print
}

// count is how often the command was run.
func (k *kept) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.runs)
}

// wantLogged fails unless that many lines were logged, each with this in it.
func (k *kept) wantLogged(n int, part string) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, line := range k.logged {
		if !strings.Contains(line, part) || !strings.Contains(line, "helper") || strings.Contains(line, "swordfish") {
			k.t.Errorf("logged %q, want %q of the helper, and no secret", line, part)
		}
	}
	if len(k.logged) != n {
		k.t.Errorf("logged %q, want %d lines", k.logged, n)
	}
}

// watch runs Watch until the test ends. It returns once that has nothing to do but wait.
func (k *kept) watch() {
	ctx, cancel := context.WithCancel(k.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Watch(ctx, func() {
			value, err := k.Value(ctx)
			if err != nil {
				k.t.Error(err)
			}
			k.note(&k.calls, value)
		})
	}()
	k.cancel = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	k.t.Cleanup(k.cancel)
	synctest.Wait()
}

// pass lets time pass.
func (k *kept) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want fails unless it was run at these times, and changed was called for these values.
func (k *kept) want(runs []time.Duration, calls ...string) {
	k.t.Helper()
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if fmt.Sprint(k.runs) != fmt.Sprint(runs) || fmt.Sprint(k.calls) != fmt.Sprint(calls) {
		k.t.Errorf("run at %v, called for %v; want %v and %v", k.runs, k.calls, runs, calls)
	}
}

// token is what a command prints that says when the token expires.
func token(value string, life time.Duration) string {
	return fmt.Sprintf(`{"token":%q,"expires_at":%q}`, value, time.Now().Add(life).Format(time.RFC3339))
}

// numbered gives another value each time.
func numbered(life time.Duration) func() (string, error) {
	n := 0
	return func() (string, error) {
		n++
		if life == 0 {
			return fmt.Sprint("token ", n), nil
		}
		return token(fmt.Sprint("token ", n), life), nil
	}
}

func always(value string) func() (string, error) { return func() (string, error) { return value, nil } }

func TestACommandWithoutExpiryIsRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, time.Minute, numbered(0))
		k.watch()
		k.pass(100 * time.Hour)
		wantValue(t, k.Secret, "token 1")
		k.want([]time.Duration{0})
	})
}

func TestACommandIsRunSomeTimeBeforeItsValueExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 5*time.Minute, numbered(time.Hour))
		wantValue(t, k.Secret, "token 1")
		k.watch()
		k.pass(2 * time.Hour)
		k.want([]time.Duration{0, 55 * time.Minute, 110 * time.Minute}, "token 2", "token 3")
		wantValue(t, k.Secret, "token 3")
		if at := k.Expires(); !at.Equal(k.began.Add(170 * time.Minute)) {
			t.Errorf("expires at %v", at)
		}
		k.wantLogged(0, "")
	})
}

func TestATokenThatLivesShortIsReplacedHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, time.Hour, numbered(10*time.Minute))
		k.watch()
		k.pass(12 * time.Minute)
		k.want([]time.Duration{0, 5 * time.Minute, 10 * time.Minute}, "token 2", "token 3")
	})
}

// TestACommandThatWorksIsRunOnceAMinuteAtMost: whatever the expiry of what it gives.
func TestACommandThatWorksIsRunOnceAMinuteAtMost(t *testing.T) {
	for _, life := range []time.Duration{-time.Hour, time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			k := keep(t, 0, numbered(life))
			k.watch()
			k.pass(150 * time.Second)
			k.want([]time.Duration{0, time.Minute, 2 * time.Minute}, "token 2", "token 3")
		})
	}
}

func TestAnExpiredValueIsUsedOnAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expires := token("swordfish", time.Hour)
		k := keep(t, 5*time.Minute, always(expires))
		k.watch()
		k.pass(59 * time.Minute)
		k.wantLogged(0, "")
		k.pass(3 * time.Hour)
		wantValue(t, k.Secret, "swordfish")
		k.wantLogged(1, "expired")
		k.from(always(token("better", time.Hour)))
		k.pass(time.Minute)
		wantValue(t, k.Secret, "better")
		k.pass(2 * time.Hour)
		k.wantLogged(2, "expired")
	})
}

func TestAFailingCommandIsRunAfterPausesThatGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, func() (string, error) { return "swordfish", errNotNow })
		k.watch()
		k.pass(24 * time.Hour)
		runs := k.runs[:k.count()]
		for i := 1; i < len(runs); i++ {
			pause, most := runs[i]-runs[i-1], lastPause
			if i < 9 {
				most = min(most, firstPause<<(i-1))
			}
			if pause > most {
				t.Errorf("pause %d is %v, want %v at most", i, pause, most)
			}
		}
		if n := len(runs); n < 24*12 || n > 24*60 {
			t.Errorf("%d runs in a day", n)
		}
		k.wantLogged(1, errNotNow.Error())
		before := k.count()
		if value, err := k.Value(t.Context()); value != "" || !errors.Is(err, errNotNow) {
			t.Errorf("%q, %v", value, err)
		}
		k.from(always("swordfish"))
		k.pass(lastPause)
		wantValue(t, k.Secret, "swordfish")
		if n := k.count() - before; n != 1 {
			t.Errorf("%d more runs, want one", n)
		}
		k.want(k.runs, "swordfish") // somebody was told that there is none
	})
}

func TestAFailedRenewalLeavesTheValueAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works := numbered(time.Hour)
		k := keep(t, 30*time.Minute, works)
		wantValue(t, k.Secret, "token 1")
		k.from(func() (string, error) { return "", errNotNow })
		k.watch()
		k.pass(50 * time.Minute)
		wantValue(t, k.Secret, "token 1")
		if state := k.State(); !state.Good || !errors.Is(state.Err, errNotNow) || !state.Since.Equal(k.began) {
			t.Errorf("%+v", state)
		}
		k.from(works)
		k.pass(lastPause)
		wantValue(t, k.Secret, "token 2")
		if err := k.State().Err; err != nil {
			t.Error(err)
		}
		k.want(k.runs, "token 2")
		k.wantLogged(1, errNotNow.Error())

		k.from(func() (string, error) { return "", errNotNow })
		before := k.count()
		k.Reload()
		k.pass(3 * firstPause)
		if n := k.count() - before; n < 3 {
			t.Errorf("%d runs, want short pauses again", n)
		}
	})
}

func TestARefusedValueIsAskedForEachMinuteUntilItIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, always("old"))
		k.watch()
		k.pass(10 * time.Second)
		k.Refused()
		k.Refused()
		if !k.State().Refused {
			t.Error("the state does not say that it was refused")
		}
		k.pass(150 * time.Second)
		k.want([]time.Duration{0, time.Minute, 2 * time.Minute})
		k.from(always("new"))
		k.pass(time.Hour)
		k.want([]time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute}, "new")
		k.from(always("newer"))
		k.Refused()
		k.want([]time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute, time.Since(k.began)}, "new", "newer")
	})
}

func TestAReloadRunsTheCommandAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		working := numbered(0)
		k := keep(t, 0, func() (string, error) { time.Sleep(10 * time.Second); return working() })
		k.watch()
		k.pass(5 * time.Second)
		k.Reload() // while it runs: what it does may be older than this
		k.pass(time.Hour)
		k.want([]time.Duration{0, 10 * time.Second}, "token 2")
		k.Reload()
		k.pass(time.Hour)
		k.want([]time.Duration{0, 10 * time.Second, time.Hour + 5*time.Second}, "token 2", "token 3")
	})
}
