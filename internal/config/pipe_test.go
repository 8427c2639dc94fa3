package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pipe makes one in dir that nobody writes to.
func pipe(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	return name
}

// soon fails the test when do waits for something.
func soon(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { do(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}

func TestAPipeInThePlaceOfAFileIsAProblemAndNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	name := pipe(t, dir)
	const text = `
[nats]
url = "nats://h"
tls.ca_file = "pipe"
[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics_file = "pipe"
tls.ca_file = "pipe"
`
	soon(t, func() {
		_, err := Parse(filepath.Join(dir, "config.toml"), []byte(text), options())
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 3 || strings.Count(err.Error(), name+" is not a regular file") != 3 {
			t.Errorf("%v", err)
		}
		if _, err := ReadTopics(name); err == nil {
			t.Error("a file of topics was read from a pipe")
		}
		if _, err := LoadAgain(name, options()); err == nil || !strings.HasSuffix(err.Error(), name+" is not a regular file") {
			t.Errorf("a configuration, again: %v", err)
		}
	})
}

// A shell's <(…) is one.
func TestTheConfigurationItselfMayBeAPipe(t *testing.T) {
	name := pipe(t, t.TempDir())
	written := make(chan error)
	go func() {
		written <- os.WriteFile(name, []byte("[[feed]]\nname = 'a'\nprotocol = 'twitch-pubsub'\ntopics = ['x']\n"), 0)
	}()
	soon(t, func() {
		if c, err := Load(name, options()); err != nil || len(c.Feeds) != 1 {
			t.Error(err)
		}
	})
	if err := <-written; err != nil {
		t.Error(err)
	}
}
