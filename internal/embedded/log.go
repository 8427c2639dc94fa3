package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog is the embedded server's logger.
type serverLog struct {
	log      *slog.Logger
	readable []string // what guests may subscribe to

	mu    sync.Mutex
	fatal error
}

// Noticef gets some lines at the start and the end.
func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, says, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, says, format, v) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}

// Errorf is told what a guest did that it may not, as a rule to read or publish a subject: that is an error of theirs.
// Its lines have a text of their own, so that those of guests, however many, hide no others.
func (l *serverLog) Errorf(format string, v ...any) {
	l.write(slog.LevelWarn, "the embedded NATS server complains", format, v, "guests_may_only_read", strings.Join(l.readable, " "))
}

// Fatalf is told why the server cannot start. A server with its own logger goes on, half started.
func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	for _, value := range v {
		if cause, ok := value.(error); ok {
			err = cause // says the same, and can be asked what it is
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = err
}

func (l *serverLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

const says = "the embedded NATS server says"

func (l *serverLog) write(level slog.Level, what, format string, v []any, more ...any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, what, append([]any{"text", fmt.Sprintf(format, v...)}, more...)...)
	}
}
