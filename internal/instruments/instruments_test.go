package instruments

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"feedmux/internal/lookout"
	"feedmux/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// generous is how long a test waits for what comes within a fraction of a second.
const generous = 20 * time.Second

// stands is a topic's option in these tests.
type stands struct{ token, was uint32 }

// resolve reads lines of "name token" for the topics a and b. A line without a token is an error.
func resolve(file io.Reader, last map[string]uint32) (Reading, error) {
	r := Reading{Tokens: map[string]uint32{}}
	all := map[string]uint32{}
	for lines := bufio.NewScanner(file); lines.Scan(); r.Rows++ {
		var name string
		var token uint32
		if _, err := fmt.Sscan(lines.Text(), &name, &token); err != nil {
			return r, errors.New("half a line")
		}
		all[name] = token
	}
	for _, name := range []string{"a", "b"} {
		s := stands{token: all[name]}
		if s.token != 0 {
			r.Tokens[name] = s.token
			if was := last[name]; was != s.token {
				s.was = was
			}
		}
		r.Wanted = append(r.Wanted, shard.Wanted{Topic: shard.Topic(name), Options: s})
	}
	return r, nil
}

// shelf is a Store.
type shelf struct {
	text  []byte
	err   error
	saves int
}

func (s *shelf) Load(v any) error {
	if s.text == nil {
		return cmp.Or(s.err, fs.ErrNotExist)
	}
	return json.Unmarshal(s.text, v)
}

func (s *shelf) Save(v any) (err error) {
	s.saves++
	s.text, err = json.Marshal(v)
	return err
}

func (s *shelf) tokens(t *testing.T) (tokens map[string]uint32) {
	t.Helper()
	if err := json.Unmarshal(s.text, &tokens); err != nil {
		t.Fatal(err)
	}
	return tokens
}

// follow reads a file with this text.
func follow(t *testing.T, store Store, text string) (i *Instruments, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	file := filepath.Join(t.TempDir(), "instruments.csv")
	write(t, file, text)
	i = New(Options{File: file, Resolve: resolve, Without: without, Store: store, Log: slog.New(slog.NewTextHandler(log, nil))})
	return i, log
}

// without lets a and b stand for what they stood for.
func without(last map[string]uint32, _ error) Reading {
	r := Reading{Tokens: map[string]uint32{}}
	for _, name := range []string{"a", "b"} {
		if last[name] != 0 {
			r.Tokens[name] = last[name]
		}
		r.Wanted = append(r.Wanted, shard.Wanted{Topic: shard.Topic(name), Options: stands{token: last[name]}})
	}
	return r
}

// write makes a file that has been as it is for long, but not for as long as the one that the test wrote before.
func write(t *testing.T, file, text string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		old = info.ModTime().Add(time.Second)
	}
	writeAt(t, file, text, old)
}

// writeAt makes a file that was written at a time.
func writeAt(t *testing.T, file, text string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

// standing is what the wanted topics stand for.
func standing(i *Instruments) (list []stands) {
	for _, w := range i.Wanted() {
		list = append(list, w.Options.(stands))
	}
	return list
}

func want(t *testing.T, i *Instruments, list ...stands) {
	t.Helper()
	if got := standing(i); !slices.Equal(got, list) {
		t.Errorf("the topics stand for %v, want %v", got, list)
	}
}

func TestAChangedFileChangesWhatIsWanted(t *testing.T) {
	i, log := follow(t, nil, "a 1\nc 3\n")
	want(t, i, stands{1, 0}, stands{})
	if i.look() {
		t.Error("a change without one")
	}
	write(t, i.o.File, "a 1\nc 4\nd 5\n")
	if i.look() {
		t.Error("a change of what nobody wants")
	}
	write(t, i.o.File, "a 1\nb 2\nc 3\n")
	if !i.look() || !strings.Contains(log.String(), "rows=3 unknown=0") {
		t.Errorf("a change was not seen; log: %s", log)
	}
	want(t, i, stands{1, 0}, stands{2, 0})
}

func TestAFileThatIsHalfWrittenChangesNothing(t *testing.T) {
	long := "a 1\nb 2\nc 3\nd 4\ne 5\nf 6\n"
	for text, why := range map[string]string{
		"a 7\nb":    "half a line",
		"a 7\nb 8":  "2 rows where it had 6",
		"":          "0 rows where it had 6",
		"\x00dir":   "is not a regular file",
		"\x00empty": "no such file",
	} {
		store := &shelf{}
		i, log := follow(t, store, long)
		switch text {
		case "\x00dir", "\x00empty":
			if err := os.Remove(i.o.File); err != nil {
				t.Fatal(err)
			}
			if text == "\x00dir" {
				if err := os.Mkdir(i.o.File, 0o700); err != nil {
					t.Fatal(err)
				}
			}
		default:
			write(t, i.o.File, text)
		}
		for range 3 {
			if i.look() {
				t.Errorf("%q: is a change", text)
			}
		}
		want(t, i, stands{1, 0}, stands{2, 0})
		if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, why) {
			t.Errorf("%q: the log is %s", text, said)
		}
		if store.saves != 0 {
			t.Errorf("%q: was remembered", text)
		}
	}
	i, log := follow(t, nil, long)
	write(t, i.o.File, "a 7\nb 8\nc 9\n") // half of the rows: somebody tidied up
	if !i.look() || strings.Contains(log.String(), "WARN") {
		t.Errorf("not taken: %s", log)
	}
}

func TestAGoodReadingMakesTheNextErrorNewsAgain(t *testing.T) {
	i, log := follow(t, nil, "a 1\n")
	for range 2 {
		write(t, i.o.File, "a")
		i.look()
		i.look()
		write(t, i.o.File, "a 1\n")
		i.look()
	}
	if n := strings.Count(log.String(), "half a line"); n != 2 {
		t.Errorf("the error was logged %d times, want 2: %s", n, log)
	}
}

func TestWhatNamesStoodForOutlivesTheProcess(t *testing.T) {
	store := &shelf{}
	i, _ := follow(t, store, "a 1\nb 2\n")
	i.remember()
	i.remember()
	if got := store.tokens(t); store.saves != 1 || !maps.Equal(got, map[string]uint32{"a": 1, "b": 2}) {
		t.Errorf("%v was saved, %d times", got, store.saves)
	}

	i, _ = follow(t, store, "a 10\nc 3\n")
	want(t, i, stands{10, 1}, stands{})
	i.remember()
	if got := store.tokens(t); !maps.Equal(got, map[string]uint32{"a": 10, "b": 2}) {
		t.Errorf("%v was saved", got)
	}
	write(t, i.o.File, "a 10\nb 20\n")
	if !i.look() {
		t.Error("no change")
	}
	want(t, i, stands{10, 1}, stands{20, 2}) // a's options stay: it did not change while we ran

	i, _ = follow(t, store, "a 10\nb 20\n")
	want(t, i, stands{10, 0}, stands{20, 0}) // it was told
}

func TestOtherTopicsAreFoundAtOnceOrOnceTheFileIsGood(t *testing.T) {
	t.Parallel()
	names := []string{"a"}
	only := func(r Reading) Reading {
		r.Wanted = slices.DeleteFunc(r.Wanted, func(w shard.Wanted) bool { return !slices.Contains(names, string(w.Topic)) })
		maps.DeleteFunc(r.Tokens, func(name string, _ uint32) bool { return !slices.Contains(names, name) })
		return r
	}
	file := filepath.Join(t.TempDir(), "instruments.csv")
	write(t, file, "a 1\nb 2\n")
	i := New(Options{
		File: file, Log: slog.New(slog.DiscardHandler),
		Resolve: func(file io.Reader, last map[string]uint32) (Reading, error) {
			r, err := resolve(file, last)
			return only(r), err
		},
		Without: func(last map[string]uint32, err error) Reading { return only(without(last, err)) },
	})
	want(t, i, stands{token: 1})
	names = []string{"a", "b"}
	i.Others()
	if !i.others.Swap(false) || !i.resolve() {
		t.Fatal("nothing changed")
	}
	want(t, i, stands{token: 1}, stands{token: 2})

	names = []string{"a"}
	i.resolve()
	writeAt(t, file, "a 1\nb", time.Now()) // half of it
	names = []string{"a", "b"}
	i.resolve()
	want(t, i, stands{token: 1}, stands{token: 2}) // as when it was wanted last
	write(t, file, "a 1\nb 3\n")
	if !i.look() {
		t.Error("the good file is no news")
	}
	want(t, i, stands{token: 1}, stands{token: 3, was: 2})
}

func TestAListThatIsMuchShorterIsTakenOnceSomebodySaysSo(t *testing.T) {
	t.Parallel()
	i, log := follow(t, nil, "a 1\nb 2\nc 3\nd 4\ne 5\nf 6\n")
	write(t, i.o.File, "a 7\nb 8\n")
	if i.look() || !strings.Contains(log.String(), "a reload takes it") {
		t.Fatalf("it was taken by itself, or nothing was said: %s", log)
	}
	i.Take()
	if !i.others.Swap(false) || !i.resolve() {
		t.Fatal("it was not taken")
	}
	want(t, i, stands{token: 7}, stands{token: 8})
	write(t, i.o.File, "")
	if i.look() {
		t.Error("the next one was taken by itself, too")
	}

	write(t, i.o.File, "a seven\n")
	i.Take()
	if i.others.Swap(false); i.resolve() {
		t.Fatal("a broken one was taken")
	}
	write(t, i.o.File, "")
	if i.look() {
		t.Error("what was said of the broken one counts for the next")
	}
}

func TestANameThatGoesAndComesBackAsAnotherIsKnown(t *testing.T) {
	i, _ := follow(t, nil, "a 1\nb 2\n")
	for _, text := range []string{"a 1\n", "a 1\nb 3\n"} {
		write(t, i.o.File, text)
		if !i.look() {
			t.Errorf("%q: no change", text)
		}
	}
	want(t, i, stands{1, 0}, stands{3, 2})
}

func TestAStoreThatCannotBeReadIsSaidAndNoReasonNotToStart(t *testing.T) {
	i, log := follow(t, &shelf{err: errors.New("damaged")}, "a 1\n")
	want(t, i, stands{1, 0}, stands{})
	if !strings.Contains(log.String(), "damaged") {
		t.Errorf("the log is %s", log)
	}
	if _, log := follow(t, &shelf{}, "a 1\n"); log.Len() > 0 {
		t.Errorf("the first start says %s", log)
	}
}

func TestAFileThatDidNotChangeIsNotReadAgain(t *testing.T) {
	i, _ := follow(t, nil, "a 1\n")
	reads := 0
	i.o.Resolve = func(file io.Reader, last map[string]uint32) (Reading, error) {
		reads++
		return resolve(file, last)
	}
	for _, text := range []string{"a 2\n", "a"} { // a bad one too
		write(t, i.o.File, text)
		reads = 0
		i.look()
		i.look()
		if reads != 1 {
			t.Errorf("%q was read %d times, want once", text, reads)
		}
	}
	writeAt(t, i.o.File, "a 3\n", time.Now().Add(time.Hour))
	reads = 0
	i.look()
	i.look()
	if reads != 2 {
		t.Errorf("a file from the future was read %d times, want 2: its time stamp tells nothing", reads)
	}
	want(t, i, stands{3, 0}, stands{})
}

// Whoever writes a file may do so bit by bit: whatever it says meanwhile is no list.
func TestAFileThatWasWrittenToJustNowIsLeftForLater(t *testing.T) {
	i, log := follow(t, nil, "a 1\nb 2\n")
	for _, text := range []string{"a 3\n", "a 3\nb", "a 3\nb 4\n"} {
		writeAt(t, i.o.File, text, time.Now())
		if i.look() || log.Len() > 0 {
			t.Errorf("%q was read: %s", text, log)
		}
	}
	want(t, i, stands{1, 0}, stands{2, 0})
	write(t, i.o.File, "a 3\nb 4\n")
	if !i.look() {
		t.Error("it was never read")
	}
	want(t, i, stands{3, 0}, stands{4, 0})
}

// A list that ends too early and at a line's end looks like a whole one. It is a slow writer's, or there is no more to come.
func TestThatNamesAreGoneIsBelievedOnceTheFileIsAMinuteOld(t *testing.T) {
	store := &shelf{}
	i, log := follow(t, store, "a 1\nb 2\nc 3\n")
	i.remember()
	young := time.Now().Add(-believed / 2)
	writeAt(t, i.o.File, "a 5\nc 3\n", young)
	for range 3 {
		if i.look() {
			t.Error("a change")
		}
	}
	want(t, i, stands{1, 0}, stands{2, 0})
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "lacks 1 of the topics that it had, such as b") {
		t.Errorf("the log is %s", said)
	}

	again := New(i.o) // nor at a start
	want(t, again, stands{1, 0}, stands{2, 0})
	if n := strings.Count(log.String(), "such as b"); n != 2 {
		t.Errorf("the log is %s", log)
	}

	writeAt(t, i.o.File, "a 5\nc 3\n", time.Now().Add(-believed))
	if !i.look() || !again.look() {
		t.Error("no change")
	}
	want(t, i, stands{5, 0}, stands{})
	want(t, again, stands{5, 1}, stands{})
}

// One feed's file is no reason for the others to stand still.
func TestAFileThatCannotBeUsedAtTheStartLeavesNamesAsTheyWere(t *testing.T) {
	for name, text := range map[string]string{"no file": "", "half a line": "a"} {
		var log bytes.Buffer
		store := &shelf{text: []byte(`{"a":7}`)}
		file := filepath.Join(t.TempDir(), "none.csv")
		if text != "" {
			write(t, file, text)
		}
		i := New(Options{File: file, Resolve: resolve, Without: without, Store: store, Log: slog.New(slog.NewTextHandler(&log, nil))})
		want(t, i, stands{7, 0}, stands{})
		i.look()
		if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, file) {
			t.Errorf("%s: the log is %s", name, said)
		}
		i.remember()
		if got := store.tokens(t); !maps.Equal(got, map[string]uint32{"a": 7}) {
			t.Errorf("%s: %v was saved", name, got)
		}
		write(t, file, "a 8\nb 2\n")
		if !i.look() {
			t.Errorf("%s: it was never read", name)
		}
		want(t, i, stands{8, 7}, stands{2, 0})
	}
}

func TestWatchTellsOfEachChangeAndRemembersFromTheBeginning(t *testing.T) {
	store := &shelf{}
	i, _ := follow(t, store, "a 1\nb 2\n")
	i.o.Watching = lookout.Options{Poll: 20 * time.Millisecond, Rest: time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	write(t, i.o.File, "a 1\nb 3\n")
	changes := 0
	i.Watch(ctx, func() {
		if changes++; changes == 2 {
			cancel()
			return
		}
		want(t, i, stands{1, 0}, stands{3, 0})
		writeAt(t, i.o.File+".new", "a 4\nb 3\n", time.Now().Add(-time.Minute))
		if err := os.Rename(i.o.File+".new", i.o.File); err != nil {
			t.Error(err)
		}
	})
	want(t, i, stands{4, 0}, stands{3, 0})
	if got := store.tokens(t); changes != 2 || store.saves != 3 || !maps.Equal(got, map[string]uint32{"a": 4, "b": 3}) {
		t.Errorf("%d changes; %v was saved, %d times", changes, got, store.saves)
	}
}
