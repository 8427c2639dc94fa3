package limiter

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxKinds bounds the kinds of records that are known at once, and so the log as a whole: limit times so many.
	maxKinds = 64
	// forgetEvery is how often kinds are looked for that nothing was heard of for a while.
	forgetEvery = time.Minute
)

// NewLogHandler bounds how many records reach next, so that nothing an upstream sends may set the rate of the log.
//
// Each kind of record has a budget of its own: what has the same level, message and attribute "feed". So a flood hides
// nothing but its like: neither an error, nor what another feed has to say. Records above limit and burst are dropped
// and counted, and the next one of their kind that passes has their count as the attribute "suppressed", inside the
// group that its logger has open, if any. Where no more of a kind comes, the next one of any kind, a minute later or
// more, has it as "suppressed_others".
//
// While sixty-two kinds are in use at once, as with messages that are made up as they go, those that found no budget of
// their own share one for errors or one for all else.
//
// The handlers that WithAttrs and WithGroup make share the budgets.
func NewLogHandler(next slog.Handler, limit rate.Limit, burst int) slog.Handler {
	return &logHandler{next: next, budgets: &logBudgets{limit: limit, burst: burst, of: make(map[logKind]*logBudget)}}
}

type logHandler struct {
	next    slog.Handler
	feed    string // of WithAttrs
	grouped bool   // attributes are in a group: none of them is the feed
	budgets *logBudgets
}

// logKind is what records that share a budget have in common.
type logKind struct {
	level         slog.Level
	message, feed string
}

type logBudgets struct {
	limit rate.Limit
	burst int

	mu        sync.Mutex
	of        map[logKind]*logBudget // at most maxKinds
	looked    time.Time              // for kinds to forget
	forgotten uint64                 // records that were suppressed, of kinds that were forgotten since
}

type logBudget struct {
	limiter    *rate.Limiter
	suppressed uint64 // since the last record that passed
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	kind := logKind{r.Level, r.Message, h.feed}
	if !h.grouped {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "feed" {
				kind.feed = a.Value.String()
			}
			return a.Key != "feed"
		})
	}
	passes, same, others := h.budgets.pass(kind, time.Now())
	if !passes {
		return nil
	}
	if same > 0 || others > 0 {
		r = r.Clone() // the record's attributes may be shared with other handlers
	}
	if same > 0 {
		r.AddAttrs(slog.Uint64("suppressed", same))
	}
	if others > 0 {
		r.AddAttrs(slog.Uint64("suppressed_others", others))
	}
	return h.next.Handle(ctx, r)
}

// pass says whether a record passes, and if so, how many did not that nobody was told of: of its own budget, and of
// those that are forgotten.
func (b *logBudgets) pass(kind logKind, now time.Time) (passes bool, same, others uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	budget := b.budgetLocked(kind, now)
	if !budget.limiter.AllowN(now, 1) {
		budget.suppressed++
		return false, 0, 0
	}
	same, budget.suppressed = budget.suppressed, 0
	others, b.forgotten = b.forgotten, 0
	return true, same, others
}

func (b *logBudgets) budgetLocked(kind logKind, now time.Time) *logBudget {
	const room = maxKinds - 2 // the shared ones
	full := len(b.of) >= room && b.of[kind] == nil
	if full || now.Sub(b.looked) >= forgetEvery {
		b.forgetLocked(now, kind)
		full = full && len(b.of) >= room
	}
	if full {
		shared := logKind{level: slog.LevelInfo} // no record is without a message
		if kind.level >= slog.LevelError {
			shared.level = slog.LevelError
		}
		kind = shared
	}
	budget := b.of[kind]
	if budget == nil {
		budget = &logBudget{limiter: rate.NewLimiter(b.limit, b.burst)}
		b.of[kind] = budget
	}
	return budget
}

// forgetLocked forgets the kinds that a new budget would serve as well, but for the one that is spoken of.
func (b *logBudgets) forgetLocked(now time.Time, but logKind) {
	b.looked = now
	for kind, budget := range b.of {
		if kind != but && budget.limiter.TokensAt(now) >= float64(b.burst) {
			b.forgotten += budget.suppressed
			delete(b.of, kind)
		}
	}
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.next = h.next.WithAttrs(attrs)
	for _, a := range attrs {
		if a.Key == "feed" && !h.grouped {
			with.feed = a.Value.String()
		}
	}
	return &with
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.next = h.next.WithGroup(name)
	with.grouped = h.grouped || name != ""
	return &with
}
