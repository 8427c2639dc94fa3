package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenMakesADirectoryForItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	d := open(t, dir)
	if d.Path() != dir {
		t.Errorf("Path is %q, want %q", d.Path(), dir)
	}
	save(t, d, "one", 1)
	for name, want := range map[string]os.FileMode{"": 0o700, "one": 0o600, lockName: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
}

func TestADirectoryThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := Open(dir); err == nil || errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func wantLocked(t *testing.T, dir string, pid int) {
	t.Helper()
	d, err := Open(dir)
	if err == nil {
		d.Close()
	}
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("error %v, want ErrLocked", err)
	}
	if text := err.Error(); !strings.Contains(text, dir) || !strings.Contains(text, fmt.Sprintf("(process %d)", pid)) {
		t.Errorf("%q does not name the directory and process %d", text, pid)
	}
}

func TestOneOpenAtATimeInAProcess(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		wantLocked(t, dir, os.Getpid())
		save(t, d, "after", "being asked for")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheLockEndsWithAProcessThatIsKilled(t *testing.T) {
	dir := t.TempDir()
	cmd, lines := child(t, "hold", dir)
	if got := line(t, lines); got != "locked" {
		t.Fatal(got)
	}
	wantLocked(t, dir, cmd.Process.Pid)
	kill(t, cmd)
	open(t, dir)
	wantLocked(t, dir, os.Getpid())
}

func TestAHolderThatCannotBeReadIsNotNamed(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	for _, text := range []string{"", "gibberish", strings.Repeat("1", 100)} {
		if err := os.WriteFile(filepath.Join(dir, lockName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); !errors.Is(err, ErrLocked) || strings.Contains(err.Error(), "process") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOpenRemovesWhatACrashLeftAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	save(t, d, "whole", record(1))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"+saving), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"whole" + saving, "other" + saving, "Not Ours" + saving, "whole" + bad, "other.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"N":2,"Fi`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d = open(t, dir)
	if got, want := files(t, dir), "Not Ours.saving folder.saving other.tmp state.lock whole whole.bad"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	var v value
	if err := d.Load("whole", &v); err != nil || v != record(1) {
		t.Errorf("value %d (%v), want 1", v.N, err)
	}
}

func TestAClosedDirIsNotUsed(t *testing.T) {
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	save(t, d, "one", 1)
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	n := 0
	if err := d.Load("one", &n); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Load: %v", err)
	}
	if err := d.Save("one", 2); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Save: %v", err)
	}
}

func TestNamesArePlain(t *testing.T) {
	d := open(t, t.TempDir())
	for _, name := range []string{"a", "dials.json", "topics-a_b.json", "0", strings.Repeat("a", 100)} {
		if err := d.Save(name, 1); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "../a", "a/b", "/a", `a\b`, "a b", "A", "ä", "a\x00", "a\n", ".hidden", "a:b", strings.Repeat("a", 101),
		lockName, "a.saving", "a.bad",
	} {
		n := 0
		if err := d.Save(name, 1); err == nil {
			t.Errorf("Save takes %q", name)
		}
		if err := d.Load(name, &n); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("Load takes %q: %v", name, err)
		}
	}
}
