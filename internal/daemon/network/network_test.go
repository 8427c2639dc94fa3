package network

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"feedmux/internal/config"
)

func TestAPipeInThePlaceOfTheAuthoritiesIsNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	read := make(chan error)
	go func() {
		_, err := TLS(&config.Feed{TLS: config.TLS{CAFile: pipe}})
		read <- err
	}()
	select {
	case err := <-read:
		if err == nil || !strings.HasSuffix(err.Error(), pipe+" is not a regular file") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}
