package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"feedmux/internal/config"
)

// journalFile is a file that JOURNAL_STREAM names, and a function that reads what was written to it.
func journalFile(t *testing.T) (*os.File, func() string) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", s.Dev, s.Ino))
	return f, func() string {
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestUnderJournaldEachLineHasItsPriority(t *testing.T) {
	for _, format := range []string{"auto", "json", "text"} {
		f, written := journalFile(t)
		log, _ := newLogger(f, config.Log{Level: "debug", Format: format})
		log.Debug("one\nand more")
		log.With("feed", "a").Info("two")
		log.WithGroup("g").Warn("three", "slot", 1)
		log.Error("four")
		lines := strings.Split(strings.TrimSuffix(written(), "\n"), "\n")
		if len(lines) != 4 {
			t.Fatalf("%s: %d lines, want 4: %q", format, len(lines), lines)
		}
		for i, want := range []string{"<7>", "<6>", "<4>", "<3>"} {
			line, found := strings.CutPrefix(lines[i], want)
			if !found {
				t.Errorf("%s: %q does not begin with %s", format, lines[i], want)
			}
			if isJSON := json.Valid([]byte(line)); isJSON != (format != "text") {
				t.Errorf("%s: %q", format, line)
			}
			if !strings.Contains(line, "time") {
				t.Errorf("%s: %q has no time", format, line)
			}
		}
	}
}

func TestElsewhereLinesAreTextWithoutPriority(t *testing.T) {
	journalFile(t) // in the environment, and not what is written to
	other, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var out bytes.Buffer
	log, _ := newLogger(io.MultiWriter(other, &out), config.Log{Level: "info", Format: "auto"})
	log.Info("on", "feed", "a")
	log.Debug("not said")
	if line := out.String(); !strings.HasPrefix(line, "time=") || !strings.HasSuffix(line, "level=INFO msg=on feed=a\n") {
		t.Errorf("the log has %q", line)
	}
	if stream := os.Getenv("JOURNAL_STREAM"); isJournal(other, stream) || isJournal(&out, stream) || isJournal(other, "") {
		t.Error("taken for the journal")
	}
	out.Reset()
	log, _ = newLogger(&out, config.Log{Level: "info", Format: "json"})
	log.Info("on")
	if !json.Valid(out.Bytes()) {
		t.Errorf("the log has %q", &out)
	}
}

func TestDurationsReadTheSameInEveryFormat(t *testing.T) {
	for format, want := range map[string][]string{
		"text": {" retry_in=795ms ", " all.for=1h0m0s ", " after=1m30s\n"},
		"json": {`"retry_in":"795ms"`, `"all":{"for":"1h0m0s"}`, `"after":"1m30s"}`},
	} {
		var out bytes.Buffer
		log, _ := newLogger(&out, config.Log{Level: "info", Format: format})
		log.With("retry_in", 795*time.Millisecond).
			Info("on", slog.Group("all", "for", time.Hour), slog.Duration("after", 90*time.Second))
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s has no %s: %s", format, w, &out)
			}
		}
	}
}

func TestTheLevelOfTheLogMayChange(t *testing.T) {
	var out bytes.Buffer
	log, level := newLogger(&out, config.Log{Level: "warn", Format: "text"})
	derived := log.With("feed", "a")
	derived.Info("before")
	level.Set(logLevel(config.Log{Level: "debug"}))
	derived.Debug("after")
	level.Set(logLevel(config.Log{Level: "error"}))
	derived.Warn("at last")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=DEBUG msg=after feed=a") {
		t.Errorf("the log has %q", got)
	}
}

func TestNoFeedCanFloodTheLog(t *testing.T) {
	var out bytes.Buffer
	log, _ := newLogger(&out, config.Log{Level: "debug", Format: "json"})
	for i := range 100_000 {
		log.Log(t.Context(), slog.Level(4*(i%4)-4), "slot is waiting", "feed", "noisy", "slot", i%10)
	}
	log.Warn("slot is waiting", "feed", "other", "slot", 0)
	lines := strings.Count(out.String(), "\n")
	if least := 4*logBurst + 1; lines < least || lines > least+40 { // a machine may take some seconds for it
		t.Errorf("%d lines, want %d and hardly more", lines, least)
	}
	if !strings.Contains(out.String(), `"feed":"other"`) {
		t.Error("the other feed's line is missing")
	}
}
