package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"feedmux/internal/regular"
)

// commands are what this program does when it is called by its own tests, by the first argument.
var commands = map[string]func(args []string){
	"print": func(args []string) { fmt.Print(args[0]) },
	"fail": func(args []string) {
		fmt.Print(args[0])
		fmt.Fprint(os.Stderr, args[0])
		syscall.Exit(3)
	},
	"flood": func([]string) {
		line := []byte(strings.Repeat("swordfish", 1000))
		for range 10 << 20 / len(line) {
			os.Stdout.Write(line)
		}
	},
	"input": func([]string) {
		if text, err := io.ReadAll(os.Stdin); len(text) == 0 && err == nil {
			fmt.Print("nothing to read")
		}
	},
	"hang": func(args []string) { meet(args[0]); time.Sleep(time.Hour) },
	"bear": func(args []string) { // a child that keeps the output open; ends when it is told to
		self, err := os.Executable()
		if err != nil {
			panic(err)
		}
		child := exec.Command(self, "hang", args[0])
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
		if _, err := meet(args[0]).Read(make([]byte, 1)); err != nil {
			panic(err)
		}
		fmt.Print("swordfish")
	},
}

// meet connects to the test, which sees by that when this program begins, and when it ends.
func meet(address string) net.Conn {
	c, err := net.Dial("tcp", address)
	if err != nil {
		panic(err)
	}
	return c
}

// command is the arguments by which this program does that.
func command(t *testing.T, what string, args ...string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := commands[what]; !ok {
		t.Fatalf("no command %q", what)
	}
	return append([]string{self, what}, args...)
}

// meeting is where programs connect to, and gives the next one that does.
func meeting(t *testing.T) (address string, next func() net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), func() net.Conn {
		t.Helper()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// wantGone waits for the end of a program that is met.
func wantGone(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(generous))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the program goes on: %v", err)
	}
}

func TestWhatACommandPrintsIsTheSecret(t *testing.T) {
	t.Parallel()
	s := New(Source{Command: command(t, "print", " swordfish\n")}, Options{Log: func(err error) { t.Error(err) }})
	wantValue(t, s, "swordfish")
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	s = New(Source{Command: command(t, "print", fmt.Sprintf(`{"token":"swordfish","expires_at":%d}`, expires.Unix()))}, Options{})
	wantValue(t, s, "swordfish")
	if at := s.Expires(); !at.Equal(expires) {
		t.Errorf("expires at %v, want %v", at, expires)
	}
	long := strings.Repeat("s", regular.Small)
	wantValue(t, New(Source{Command: command(t, "print", long[:regular.Small/2]+long[:regular.Small/4])}, Options{}), long[:regular.Small*3/4])
	wantValue(t, New(Source{Command: command(t, "input")}, Options{}), "nothing to read")
}

func TestABadCommandIsAnErrorThatShowsNothingOfIt(t *testing.T) {
	t.Parallel()
	plain := filepath.Join(t.TempDir(), "plain")
	write(t, plain, "#!swordfish")
	for name, c := range map[string]struct {
		argv []string
		is   func(error) bool
	}{
		"fails after printing": {command(t, "fail", "swordfish"), func(err error) bool {
			exit := (*exec.ExitError)(nil)
			return errors.As(err, &exit) && exit.ExitCode() == 3
		}},
		"prints too much":     {command(t, "flood"), func(err error) bool { return errors.Is(err, errTooLong) }},
		"prints nothing":      {command(t, "print", "\n"), func(err error) bool { return errors.Is(err, ErrEmpty) }},
		"prints two lines":    {command(t, "print", "warning\nswordfish"), func(err error) bool { return errors.Is(err, errNoText) }},
		"prints half of JSON": {command(t, "print", `{"token":"swordfish"`), func(err error) bool { return errors.Is(err, errNoToken) }},
		"missing":             {[]string{plain + "not", "swordfish"}, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		"not in the path":     {[]string{"no-program-of-this-name", "swordfish"}, func(err error) bool { return errors.Is(err, exec.ErrNotFound) }},
		"not executable":      {[]string{plain, "swordfish"}, func(err error) bool { return errors.Is(err, fs.ErrPermission) }},
	} {
		t.Run(name, func(t *testing.T) {
			var logged []error
			s := New(Source{Command: c.argv}, Options{Log: func(err error) { logged = append(logged, err) }})
			value, err := s.Value(t.Context())
			if value != "" || err == nil || !c.is(err) {
				t.Fatalf("%q, %v", value, err)
			}
			if !strings.Contains(err.Error(), c.argv[0]) || strings.Contains(err.Error(), "swordfish") {
				t.Error(err)
			}
			state := s.State()
			if state.Good || state.Err == nil || strings.Contains(fmt.Sprint(state), "swordfish") || len(logged) != 1 {
				t.Errorf("%+v, logged %v", state, logged)
			}
		})
	}
}

func TestACommandThatTakesTooLongIsKilled(t *testing.T) {
	t.Parallel()
	address, _ := meeting(t)
	if _, err := run(t.Context(), command(t, "hang", address), 10*time.Millisecond); !errors.Is(err, errTooSlow) {
		t.Errorf("%v, want that it was too slow", err)
	}
}

func TestACommandEndsWithItsChildrenWhenNobodyWantsItAnyMore(t *testing.T) {
	t.Parallel()
	address, next := meeting(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := run(ctx, command(t, "bear", address), time.Hour)
		done <- err
	}()
	both := []net.Conn{next(), next()}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was given up", err)
	}
	for _, c := range both {
		wantGone(t, c)
	}
}

func TestAChildThatKeepsTheOutputOpenIsAnErrorAndIsEnded(t *testing.T) {
	t.Parallel()
	address, next := meeting(t)
	done := make(chan error)
	go func() {
		_, err := run(t.Context(), command(t, "bear", address), time.Hour)
		done <- err
	}()
	both := []net.Conn{next(), next()}
	for _, c := range both {
		c.Write([]byte("!")) // the child does not read it
	}
	if err := <-done; !errors.Is(err, errHeldOpen) {
		t.Errorf("%v, want that the output was held open", err)
	}
	for _, c := range both {
		wantGone(t, c)
	}
}

// TestWatchEndsWithTheCommand: it is waited for, and that it was given up is no error of the command.
func TestWatchEndsWithTheCommand(t *testing.T) {
	t.Parallel()
	address, next := meeting(t)
	s := New(Source{Command: command(t, "hang", address)}, Options{Log: func(err error) { t.Error(err) }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, func() { t.Error("a call without a value") })
	}()
	c := next()
	cancel()
	<-done
	wantGone(t, c)
	if state := s.State(); state.Err != nil {
		t.Error(state.Err)
	}
}

func TestACheckRunsNoCommand(t *testing.T) {
	t.Parallel()
	ran := filepath.Join(t.TempDir(), "ran")
	if err := (Source{Command: []string{"touch", ran}}).Check(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
	if err := (Source{Command: []string{ran}}).Check(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), ran) {
		t.Errorf("%v, want that there is no program", err)
	}
	if err := (Source{File: ran}).Check(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want that there is no file", err)
	}
	if err := (Source{}).Check(); err != nil {
		t.Error(err)
	}
}

func TestSourcesInWordsShowNoArguments(t *testing.T) {
	sources := []Source{{}, {File: "/f"}, {Env: "V"}, {Command: []string{"/c", "swordfish"}}, {Command: []string{"/c"}}}
	words := []string{"nothing", "file /f", "variable V", "command /c", "command /c"}
	for i, a := range sources {
		if a.String() != words[i] {
			t.Errorf("%q, want %q", a, words[i])
		}
		if a.IsZero() != (i == 0) {
			t.Errorf("%s: zero is %v", a, a.IsZero())
		}
		for j, b := range sources {
			b.Command = slices.Clone(b.Command)
			if a.Equal(b) != (i == j) {
				t.Errorf("sources %d and %d: equal is %v", i, j, a.Equal(b))
			}
		}
	}
}
