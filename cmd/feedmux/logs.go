package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/time/rate"

	"feedmux/internal/config"
	"feedmux/limiter"
)

// Nothing that an upstream sends may set the rate of our log: what is above these figures is counted, not written. They
// are for each kind of line of each feed; ten slots that change their state together are below them.
const (
	logRate  = rate.Limit(1) // lines a second
	logBurst = 30
)

// newLogger makes the daemon's log as configured, and the level that it may be changed to while it is in use.
//
// Each line has its time, under journald too: there it says when something happened, and the journal's own stamp when
// it was written.
func newLogger(w io.Writer, c config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(logLevel(c))
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	journaled := isJournal(w, os.Getenv("JOURNAL_STREAM"))
	out := &priorityWriter{to: w}
	if journaled {
		w = out
	}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if c.Format == "json" || c.Format == "auto" && journaled {
		h = slog.NewJSONHandler(w, opts)
	}
	if journaled {
		h = &journal{h, out}
	}
	return slog.New(limiter.NewLogHandler(h, logRate, logBurst)), level
}

// readable lets a duration stand in JSON as it does in text, 795ms, instead of as a bare number of nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// logLevel is the level that a configuration asks for.
func logLevel(c config.Log) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// isJournal says whether w is the stream to journald that stream names as DEVICE:INODE. The variable alone is not
// enough: children inherit it, and may write elsewhere.
func isJournal(w io.Writer, stream string) bool {
	f, ok := w.(*os.File)
	if !ok || stream == "" {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && fmt.Sprintf("%d:%d", s.Dev, s.Ino) == stream
}

// journal begins each line with its priority, which journald takes off again.
type journal struct {
	slog.Handler
	out *priorityWriter
}

func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	j.out.mu.Lock()
	defer j.out.mu.Unlock()
	j.out.level = r.Level
	return j.Handler.Handle(ctx, r)
}

func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journal{j.Handler.WithAttrs(attrs), j.out}
}

func (j *journal) WithGroup(name string) slog.Handler {
	return &journal{j.Handler.WithGroup(name), j.out}
}

// priorityWriter writes lines with the priority of their level. Each Write is one line: slog sees to that.
type priorityWriter struct {
	to io.Writer

	mu    sync.Mutex // held while a record is written
	level slog.Level
}

func (p *priorityWriter) Write(line []byte) (int, error) {
	n, err := p.to.Write(slices.Concat([]byte(priority(p.level)), line)) // in one piece: others may write there, too
	return max(0, n-len(priority(p.level))), err
}

// priority is a level as syslog counts.
func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "<3>"
	case level >= slog.LevelWarn:
		return "<4>"
	case level >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}
