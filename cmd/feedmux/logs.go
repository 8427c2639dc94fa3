package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/time/rate"

	"feedmux/internal/config"
	"feedmux/limiter"
)

// Nothing that an upstream sends may set the rate of our log: what is above these figures is counted, not written.
const (
	logRate  = rate.Limit(20) // lines a second
	logBurst = 200
)

// newLogger makes the daemon's log as configured.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if c.Format == "json" || c.Format == "auto" && os.Getenv("JOURNAL_STREAM") != "" {
		h = slog.NewJSONHandler(w, opts)
	}
	return slog.New(limiter.NewLogHandler(h, logRate, logBurst))
}
