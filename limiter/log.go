package limiter

import (
	"context"
	"log/slog"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// NewLogHandler bounds how many records reach next, so that nothing an upstream sends may set the rate of the log.
// Records above limit and burst are dropped and counted, and the next one that passes has their count as the attribute
// "suppressed", inside the group that its logger has open, if any.
//
// Errors have a budget of their own, of the same size, and so have a count of their own: a flood of warnings hides no
// error, and a flood of errors is bounded too. The bound in total is twice limit. The handlers that WithAttrs and
// WithGroup make share the budgets.
func NewLogHandler(next slog.Handler, limit rate.Limit, burst int) slog.Handler {
	return &logHandler{
		next:   next,
		errors: &logBudget{limiter: rate.NewLimiter(limit, burst)},
		others: &logBudget{limiter: rate.NewLimiter(limit, burst)},
	}
}

type logHandler struct {
	next           slog.Handler
	errors, others *logBudget
}

type logBudget struct {
	limiter    *rate.Limiter
	suppressed atomic.Uint64 // since the last record that passed
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	budget := h.others
	if r.Level >= slog.LevelError {
		budget = h.errors
	}
	if !budget.limiter.Allow() {
		budget.suppressed.Add(1)
		return nil
	}
	if n := budget.suppressed.Swap(0); n > 0 {
		r = r.Clone() // the record's attributes may be shared with other handlers
		r.AddAttrs(slog.Uint64("suppressed", n))
	}
	return h.next.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{next: h.next.WithAttrs(attrs), errors: h.errors, others: h.others}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{next: h.next.WithGroup(name), errors: h.errors, others: h.others}
}
