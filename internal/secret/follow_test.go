package secret

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
)

func TestManyWhoWantTheFirstValueRunTheCommandOnce(t *testing.T) {
	for _, watched := range []bool{false, true} {
		for _, works := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				k := keep(t, 0, func() (string, error) {
					time.Sleep(10 * time.Second)
					if !works {
						return "", errNotNow
					}
					return "swordfish", nil
				})
				if watched {
					k.watch()
				}
				var all sync.WaitGroup
				var good atomic.Int32
				for range 100 {
					all.Go(func() {
						if value, err := k.Value(t.Context()); value == "swordfish" && err == nil {
							good.Add(1)
						} else if works || !errors.Is(err, errNotNow) {
							t.Errorf("%q, %v", value, err)
						}
					})
				}
				all.Wait()
				if works && good.Load() != 100 || time.Since(k.began) != 10*time.Second {
					t.Errorf("%d got it, after %v", good.Load(), time.Since(k.began))
				}
				k.want([]time.Duration{0})
			})
		}
	}
}

func TestWhoWaitsForTheFirstValueWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, func() (string, error) { time.Sleep(20 * time.Second); return "swordfish", nil })
		k.watch()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		value, err := k.Value(ctx)
		if value != "" || !errors.Is(err, context.DeadlineExceeded) || time.Since(k.began) != 15*time.Second {
			t.Errorf("%q, %v, after %v", value, err, time.Since(k.began))
		}
		k.pass(5 * time.Second)
		wantValue(t, k.Secret, "swordfish")
		k.want([]time.Duration{0})
	})
}

// TestWhileWatchRunsItAloneRunsTheCommand: so that nobody's haste cuts a run short.
func TestWhileWatchRunsItAloneRunsTheCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, func() (string, error) { time.Sleep(20 * time.Second); return "", errNotNow })
		k.watch()
		k.pass(20 * time.Second)
		k.from(func() (string, error) { time.Sleep(20 * time.Second); return "swordfish", nil })
		k.Reload()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		if value, err := k.Value(ctx); value != "" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", value, err)
		}
		k.pass(5 * time.Second)
		wantValue(t, k.Secret, "swordfish")
	})
}

// TestWhoWaitsForACommandIsGivenWhatTheNextSourceHas at once.
func TestWhoWaitsForACommandIsGivenWhatTheNextSourceHas(t *testing.T) {
	t.Setenv("SECRET_OF_THIS_TEST", "of the variable")
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, func() (string, error) { time.Sleep(time.Hour); return "too late", nil })
		k.watch()
		time.AfterFunc(time.Second, func() { k.Use(Source{Env: "SECRET_OF_THIS_TEST"}, 0) })
		wantValue(t, k.Secret, "of the variable")
		if took := time.Since(k.began); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestTheOldValueKeepsItsExpiryUntilTheNextSourceGivesOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, numbered(time.Hour))
		k.watch()
		k.from(func() (string, error) { return "", errNotNow })
		k.Use(Source{Command: []string{"another"}}, 0)
		k.pass(time.Second)
		if at := k.Expires(); !at.Equal(k.began.Add(time.Hour)) {
			t.Errorf("expires at %v", at)
		}
		k.from(always("for ever"))
		k.pass(lastPause)
		if at := k.Expires(); !at.IsZero() {
			t.Errorf("expires at %v", at)
		}
	})
}

// TestWhoRunsTheCommandAndLeavesLetsTheNextOneRunIt: and that it was given up is no error of the command.
func TestWhoRunsTheCommandAndLeavesLetsTheNextOneRunIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, nil)
		k.run = func(ctx context.Context, _ []string) ([]byte, error) {
			k.begin()
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(20 * time.Second):
				return []byte("swordfish"), nil
			}
		}
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			if value, err := k.Value(ctx); value != "" || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q, %v", value, err)
			}
		}()
		synctest.Wait()
		wantValue(t, k.Secret, "swordfish")
		k.want([]time.Duration{0, 15 * time.Second})
		k.wantLogged(0, "")
	})
}

// TestWhenWatchEndsWhoWaitsRunsTheCommand: nobody is left waiting for it.
func TestWhenWatchEndsWhoWaitsRunsTheCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, always("swordfish"))
		k.run = func(ctx context.Context, _ []string) ([]byte, error) {
			if k.begin(); k.count() == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []byte("swordfish"), nil
		}
		k.watch()
		time.AfterFunc(time.Second, k.cancel)
		wantValue(t, k.Secret, "swordfish")
		k.want([]time.Duration{0, time.Second})
	})
}

func TestWatchFollowsEverySource(t *testing.T) {
	t.Setenv("SECRET_OF_THIS_TEST", "of the variable")
	synctest.Test(t, func(t *testing.T) {
		one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
		write(t, one, "of a file")
		k := keep(t, 0, always("of a command"))
		k.poll = time.Second
		k.newWatcher = noWatcher
		k.watch()
		k.pass(time.Hour)
		var want []string
		follow := func(s Source, value string) {
			t.Helper()
			k.Use(s, time.Minute)
			synctest.Wait()
			want = append(want, value)
			k.want([]time.Duration{0}, want...)
		}
		follow(Source{File: one}, "of a file")
		write(t, one, "of the file")
		k.pass(time.Second)
		want = append(want, "of the file")
		k.want([]time.Duration{0}, want...)

		k.Use(Source{File: two}, 0) // there is none yet: the last good value counts
		k.pass(time.Minute)
		wantValue(t, k.Secret, "of the file")
		write(t, one, "of a file that nobody watches")
		write(t, two, "of another file")
		k.pass(time.Second)
		want = append(want, "of another file")
		k.want([]time.Duration{0}, want...)

		follow(Source{Env: "SECRET_OF_THIS_TEST"}, "of the variable")
		k.from(always("of a command"))
		k.Use(Source{Command: []string{"another"}}, 0)
		k.pass(time.Hour)
		k.want([]time.Duration{0, time.Since(k.began) - time.Hour}, append(want, "of a command")...)
		if from := k.State().From; from != "command another" {
			t.Errorf("from %q", from)
		}
		k.Use(Source{}, 0)
		wantValue(t, k.Secret, "")
	})
}

// TestAnotherSourceEndsTheCommandOfTheOneBefore: what that one still brings is not taken.
func TestAnotherSourceEndsTheCommandOfTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 0, nil)
		ended := false
		k.run = func(ctx context.Context, argv []string) ([]byte, error) {
			if argv[0] == "next" {
				return []byte("the next"), nil
			}
			<-ctx.Done()
			ended = true
			return []byte("too late"), nil
		}
		k.watch()
		k.pass(time.Second)
		k.Use(Source{Command: []string{"next"}}, 0)
		wantValue(t, k.Secret, "the next")
		k.pass(time.Hour)
		if !ended {
			t.Error("the first command goes on")
		}
		k.want(nil)
		k.wantLogged(0, "")
	})
}

func TestTheSameSourceIsUsedOnWithAnotherTimeOfRefreshing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, 5*time.Minute, numbered(time.Hour))
		k.watch()
		k.pass(time.Minute)
		k.Use(Source{Command: []string{"helper", "swordfish"}}, 20*time.Minute)
		k.pass(49 * time.Minute)
		k.want([]time.Duration{0, 40 * time.Minute}, "token 2")
	})
}

// TestAllOfItMayBeCalledAtOnce: while Watch follows, and the end is the source that was used last.
func TestAllOfItMayBeCalledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, time.Minute, numbered(time.Hour))
		k.watch()
		var all sync.WaitGroup
		for n := range 4 {
			all.Go(func() {
				for i := range 50 {
					k.Use(Source{Command: []string{"helper", fmt.Sprint(n, i)}}, time.Minute)
					k.Reload()
					if value, err := k.Value(t.Context()); value == "" || err != nil {
						t.Errorf("%q, %v", value, err)
					}
					k.Refused()
					if state := k.State(); !state.Good || state.From != "command helper" {
						t.Errorf("%+v", state)
					}
					time.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		k.from(always("the last"))
		k.Use(Source{Command: []string{"last"}}, time.Minute)
		k.pass(0)
		wantValue(t, k.Secret, "the last")
		if n := k.count(); n < 2 {
			t.Errorf("%d runs", n)
		}
	})
}
