package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheSocketIsForItsOwnerAndGroupAndIsRemovedAtTheEnd(t *testing.T) {
	dir := shortDir(t)
	s, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "control.sock"))
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}

	served := serve(t, &fake{})
	served.stop()
	if _, err := os.Stat(served.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Serve: %v", err)
	}
}

func TestTheSocketOfADeadDaemonIsReplaced(t *testing.T) {
	dir := shortDir(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, Name), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	s, err := Listen(dir)
	if err != nil {
		t.Fatalf("with a socket that nobody serves: %v", err)
	}
	defer s.Close()

	if _, err := Listen(dir); err == nil || !strings.Contains(err.Error(), "is in use: another feedmux answers there") {
		t.Errorf("with one that is in use: %v", err)
	}
	if _, err := os.Stat(s.Path()); err != nil {
		t.Errorf("the one in use is gone: %v", err)
	}
}

func TestASocketThatSomebodyRemovedIsMadeAgain(t *testing.T) {
	s := serve(t, &fake{})
	for range 3 {
		if err := os.Remove(s.path); err != nil {
			t.Fatal(err)
		}
		for asked := time.Now(); ; time.Sleep(time.Millisecond) {
			if _, err := s.client().Topics(t.Context(), "twitch"); err == nil {
				break
			} else if time.Since(asked) > 20*time.Second {
				t.Fatal(err)
			}
		}
	}
	if info, err := os.Stat(s.path); err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("%v, %v", info, err)
	}
	if n := strings.Count(s.log.String(), "was made again"); n != 3 {
		t.Errorf("it was said %d times", n)
	}
	s.stop()
	if _, err := os.Stat(s.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

func TestADaemonThatStandsStillIsSaidTo(t *testing.T) {
	s := serve(t, &fake{came: make(chan struct{}, 1), delay: make(chan struct{})})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.client().Topics(ctx, "twitch")
	if err == nil || !strings.Contains(err.Error(), "feedmux is there, and does not answer") {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, Name)
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(dir); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file in its place: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if _, err := Listen(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its folder: %v", err)
	}
}

func TestAPathThatIsTooLongIsSaidToBe(t *testing.T) {
	dir := filepath.Join(shortDir(t), strings.Repeat("d", maxPath))
	_, err := Listen(dir)
	want := fmt.Sprintf("is %d bytes long, and a socket's path may have %d: set RUNTIME_DIRECTORY", len(dir)+len("/control.sock"), maxPath)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}
