package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCheckOfAWrongFileOfTopicsIsShort(t *testing.T) {
	path := write(t, "[[feed]]\nname = 'a'\nprotocol = 'twitch-pubsub'\ntopics_file = 'page.html'\n")
	var text strings.Builder
	for i := range 300 { // each is one topic
		text.WriteString(strings.Repeat("<p> ", 2+i) + "\n")
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "page.html"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := feedmux(t, "check", "--config", path)
	if code != exitConfig || out != "" || len(errs) > 8<<10 || !strings.HasSuffix(errs, "more problems, which are not shown\n300 problems\n") {
		t.Errorf("exit %d, %d bytes: %.300s", code, len(errs), errs)
	}
	if _, out, _ := feedmux(t, "check", "--json", "--config", path); len(out) > 16<<10 || !strings.Contains(out, "280 more problems") {
		t.Errorf("as JSON %d bytes: %.300s", len(out), out)
	}
}

func TestAReloadWaitsForNoPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "config.toml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	loaded := make(chan error)
	go func() {
		_, err := loadConfigAgain(pipe)
		loaded <- err
	}()
	select {
	case err := <-loaded:
		if err == nil || !strings.HasSuffix(err.Error(), pipe+" is not a regular file") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}
