package pool

import (
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Why readers skip a message or a part of one, whatever the protocol: the values of the metric label. docs/metrics.md says
// what each means.
var (
	missed = [...]string{
		"bad_subject", "before_hello", "binary", "further", "left_out", "malformed", "too_big", "trailing_bytes", "truncated",
		"unknown_length", "unknown_type", "unreadable",
	}
	// It came by another way, or nobody wants it any more.
	harmless = [...]string{"late", "repeated", "repeated_order", "unknown_instrument", "unknown_nonce", "unwanted_topic"}
)

// SkipReasons lists the reasons in Counters.Skipped.
func SkipReasons() []string { return slices.Concat(missed[:], harmless[:]) }

// Harmless says whether nobody misses what was skipped for a reason. One that is not known is not harmless.
func Harmless(reason string) bool { return slices.Contains(harmless[:], reason) }

// saySkipped logs what was skipped that somebody may miss, since it last did.
func (p *Pool) saySkipped() {
	total := make(map[string]uint64)
	for _, c := range p.conns {
		for reason, n := range c.Tally().Skipped {
			total[reason] += n
		}
	}
	var more []any
	for _, reason := range slices.Sorted(maps.Keys(total)) {
		if n := total[reason]; n > p.skipped[reason] && !Harmless(reason) {
			more = append(more, reason, n-p.skipped[reason])
		}
	}
	p.skipped = total
	if more != nil {
		p.counters.SkippedAt = time.Now()
		p.opts.Log.Warn("messages were skipped", "feed", p.opts.Conn.Feed, slog.Group("skipped", more...))
	}
}
