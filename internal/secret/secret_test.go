package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"feedmux/internal/regular"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace puts a new file in the place of name, as editors and most programs do.
func replace(t *testing.T, name, text string) {
	t.Helper()
	write(t, name+".new", text)
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// point makes link lead to target, at one stroke where there was another link.
func point(t *testing.T, link, target string) {
	t.Helper()
	if err := errors.Join(os.Symlink(target, link+".new"), os.Rename(link+".new", link)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, s *Secret, want string) {
	t.Helper()
	if value, err := s.Value(t.Context()); value != want || err != nil {
		t.Errorf("Value is %q (%v), want %q", value, err, want)
	}
}

func TestAValueIsReadAnewWithoutTheWhiteSpaceAroundIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	s := New(Source{File: file}, Options{})
	write(t, file, " \t one two\r\n\n")
	wantValue(t, s, "one two")
	write(t, file, "three")
	wantValue(t, s, "three")
}

func TestAVariableIsASourceToo(t *testing.T) {
	s := New(Source{Env: "SECRET_OF_THIS_TEST"}, Options{})
	if value, err := s.Value(t.Context()); value != "" || err == nil || !strings.Contains(err.Error(), "SECRET_OF_THIS_TEST") {
		t.Errorf("unset: %q, %v", value, err)
	}
	t.Setenv("SECRET_OF_THIS_TEST", "")
	if value, err := s.Value(t.Context()); value != "" || !errors.Is(err, ErrEmpty) {
		t.Errorf("empty: %q, %v", value, err)
	}
	t.Setenv("SECRET_OF_THIS_TEST", " s3 ")
	wantValue(t, s, "s3")
}

func TestWithoutASourceThereIsNoSecretAndNoError(t *testing.T) {
	wantValue(t, New(Source{}, Options{Log: func(err error) { t.Error(err) }}), "")
}

// bad are the ways in which a file holds no secret: each is made where there is none, and its error recognised.
var bad = map[string]struct {
	make func(t *testing.T, file string)
	is   func(err error) bool
}{
	"missing": {
		func(*testing.T, string) {},
		func(err error) bool { return errors.Is(err, fs.ErrNotExist) },
	},
	"empty": {
		func(t *testing.T, file string) { write(t, file, "") },
		func(err error) bool { return errors.Is(err, ErrEmpty) },
	},
	"white space": {
		func(t *testing.T, file string) { write(t, file, " \n\t\n") },
		func(err error) bool { return errors.Is(err, ErrEmpty) },
	},
	"too long": {
		func(t *testing.T, file string) { write(t, file, strings.Repeat("secret", regular.Small)) },
		func(err error) bool { return strings.HasSuffix(err.Error(), "is longer than 64 KiB") },
	},
	"a directory": {
		mkdir,
		func(err error) bool { return strings.HasSuffix(err.Error(), "is not a regular file") },
	},
	"a pipe": {
		func(t *testing.T, file string) {
			if err := syscall.Mkfifo(file, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		func(err error) bool { return strings.HasSuffix(err.Error(), "is not a regular file") },
	},
	"a link to itself": {
		func(t *testing.T, file string) { point(t, file, file) },
		func(err error) bool { return errors.Is(err, syscall.ELOOP) },
	},
	"not for us": {
		func(t *testing.T, file string) {
			if os.Geteuid() == 0 {
				t.Skip("root may read everything")
			}
			write(t, file, "secret")
			if err := os.Chmod(file, 0); err != nil {
				t.Fatal(err)
			}
		},
		func(err error) bool { return errors.Is(err, fs.ErrPermission) },
	},
}

func TestABadSourceIsAnErrorThatNamesTheFileAndNoSecret(t *testing.T) {
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "token")
			c.make(t, file)
			value, err := New(Source{File: file}, Options{}).Value(t.Context())
			if value != "" || err == nil || !c.is(err) {
				t.Fatalf("%q, %v", value, err)
			}
			if !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "secretsecret") {
				t.Error(err)
			}
		})
	}
}

func TestTheLastGoodValueCountsWhileTheSourceIsBad(t *testing.T) {
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "token")
			var logged []error
			s := New(Source{File: file}, Options{Log: func(err error) { logged = append(logged, err) }})
			write(t, file, "good")
			wantValue(t, s, "good")
			remove(t, file)
			c.make(t, file)
			wantValue(t, s, "good")
			if len(logged) != 1 || !c.is(logged[0]) {
				t.Errorf("logged %v", logged)
			}
			remove(t, file)
			write(t, file, "better")
			wantValue(t, s, "better")
		})
	}
}

func TestTheLongestSecretIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	long := strings.Repeat("s", regular.Small)
	write(t, file, long)
	wantValue(t, New(Source{File: file}, Options{}), long)
}

func TestEachErrorIsLoggedOnceUntilTheSourceIsGoodAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	var logged []string
	s := New(Source{File: file}, Options{Log: func(err error) { logged = append(logged, err.Error()) }})
	spell := func() {
		for range 3 {
			s.Value(t.Context())
			write(t, file, "")
			s.Value(t.Context())
			remove(t, file)
		}
	}
	spell()
	if len(logged) != 2 {
		t.Fatalf("logged %q, want one line for the missing file and one for the empty", logged)
	}
	write(t, file, "good")
	wantValue(t, s, "good")
	remove(t, file)
	spell()
	if len(logged) != 4 {
		t.Errorf("logged %q, want the same two again", logged)
	}
}

func TestValueMayBeAskedByMany(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, "a")
	s := New(Source{File: file}, Options{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if value, err := s.Value(t.Context()); err != nil || (value != "a" && value != "b") {
					t.Errorf("%q, %v", value, err)
					return
				}
			}
		})
	}
	replace(t, file, "b")
	all.Wait()
	wantValue(t, s, "b")
}
