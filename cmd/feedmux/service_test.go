package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTheServiceManagerIsTold runs the daemon as systemd does, with a socket to notify.
func TestTheServiceManagerIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "60000")
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	path := write(t, `
[nats.embedded]
listen = "127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "a"
protocol = "twitch-pubsub"
url = "ws://127.0.0.1:1"
topics = ["raid.1"]
`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"run", "--config", path}, &out, &errs) }()

	next := func() string {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatalf("waited in vain for a word: %v\n%s", err, errs.String())
		}
		return string(b[:n])
	}
	// It is ready though its upstream is not there, and its loops are alive ever after.
	for i, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := next(); got != want {
			t.Fatalf("word %d was %q, want %q", i+1, got, want)
		}
	}
	// A hang-up is a reload; unanswered it would end the process, and this test with it.
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for range 3 { // time passes, in words of the watchdog
		next()
	}
	cancel()
	for word := next(); word != "STOPPING=1"; word = next() {
		if word != "WATCHDOG=1" {
			t.Errorf("at the end it said %q", word)
		}
	}
	if code := <-ended; code != 0 {
		t.Errorf("exit %d", code)
	}
	if log := errs.String(); !strings.Contains(log, "msg=ended") || strings.Contains(log, "level=ERROR") ||
		!strings.Contains(log, "msg=reloaded by=SIGHUP") {
		t.Errorf("log:\n%s", log)
	}
}
