package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAFileIsReadUpToItsLimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	for size, want := range map[int]string{0: "", Small: "", Small + 1: name + " is longer than 64 KiB"} {
		text := strings.Repeat("x", size)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Read(name, Small)
		if want == "" && (err != nil || string(got) != text) || want != "" && (err == nil || err.Error() != want || got != nil) {
			t.Errorf("%d bytes: %d bytes, %v", size, len(got), err)
		}
	}
	if err := TooLong("x", 2<<20); err.Error() != "x is longer than 2 MiB" {
		t.Error(err)
	}
}

func TestWhatIsNoRegularFileIsAnErrorAndNeverWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{pipe, dir, os.DevNull} {
		if _, err := Read(name, Small); err == nil || err.Error() != name+" is not a regular file" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "none"), Small); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestACredentialThatIsNotThereSaysSo(t *testing.T) {
	_, err := Read(Credential+"topics", Small)
	if !errors.Is(err, ErrNotHandedOver) ||
		err.Error() != "credential topics: systemd did not hand it over ($CREDENTIALS_DIRECTORY is not set)" {
		t.Error(err)
	}
}
