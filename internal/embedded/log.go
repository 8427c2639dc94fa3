package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// serverLog is the embedded server's logger. Whoever connects may make the server complain, so its lines are rationed.
type serverLog struct {
	log    *slog.Logger
	ration *rate.Limiter

	mu    sync.Mutex
	fatal error
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log, ration: rate.NewLimiter(rate.Every(10*time.Second), 20)}
}

// Noticef gets some lines at the start and the end.
func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}

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

func (l *serverLog) write(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) && l.ration.Allow() {
		l.log.Log(ctx, level, "embedded NATS server: "+fmt.Sprintf(format, v...))
	}
}
