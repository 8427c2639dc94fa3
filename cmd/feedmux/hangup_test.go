package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"feedmux/internal/control/local"
)

// TestAHangUpWhileItStartsOrEndsDoesNotKillIt: nobody reads what it logs at first, so that it is held at the first line of its log
// while it starts.
func TestAHangUpWhileItStartsOrEndsDoesNotKillIt(t *testing.T) {
	log, full := fullPipe(t)
	state, err := os.MkdirTemp("", "fm") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, "[nats.embedded]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n"+
		twitchFeed("a", "127.0.0.1:1", `"raid.1"`, ""))
	c := exec.Command(self, "run", "--config", config)
	c.Env = append(os.Environ(), roleVariable+"=feedmux", "STATE_DIRECTORY="+state, "RUNTIME_DIRECTORY=", "JOURNAL_STREAM=")
	c.Stderr = full
	stdin, err := c.StdinPipe() // it ends with us
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	full.Close()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() { c.Process.Kill() })

	eventually(t, "its socket, which it makes before it logs", func() bool {
		_, err := os.Stat(filepath.Join(state, local.Name))
		return err == nil
	})
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	reloaded := false
	var text strings.Builder
	for lines := bufio.NewScanner(log); !reloaded && lines.Scan(); { // to its end, if the signal ended it
		if line := strings.TrimLeft(lines.Text(), "\x00"); line != "" {
			text.WriteString(line + "\n")
		}
		reloaded = strings.Contains(lines.Text(), "msg=reloaded by=SIGHUP")
	}
	if !reloaded {
		t.Fatalf("a hang-up while it starts: no reload, and it ended: %v\n%s", <-ended, text.String())
	}

	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // as many as fit in
		c.Process.Signal(syscall.SIGHUP) // fails once it has ended
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("hang-ups while it ends: %v", err)
			}
			return
		default:
		}
	}
}

// fullPipe has room for nothing more until it is read.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	if err := w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	filling := []byte(strings.Repeat("\x00", 1023) + "\n")
	for err == nil {
		_, err = w.Write(filling)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return r, w
}
