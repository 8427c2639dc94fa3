package pool

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"feedmux/internal/ledger"
	"feedmux/internal/slots"
)

// What upstreams say, and how odd their events are, sets the rate of neither notices nor log: who made the log bounds each
// kind of its lines, and counts what it leaves out.
const (
	wordsEvery = time.Second // of a slot, after the first few
	wordsBurst = 5
	oddEvery   = time.Minute
)

// words bounds the notices of an upstream's words on one slot.
type words struct {
	limit    *rate.Limiter // nil before the first
	withheld int           // since the last that were told
}

// onWords tells what the upstream says to people.
func (p *Pool) onWords(n slots.WordsNews) {
	level := slog.LevelInfo
	if n.Kind == "error" { // nobody else's word for it is known
		level = slog.LevelWarn
	}
	p.opts.Log.Log(context.Background(), level, "the upstream says", "feed", p.opts.Conn.Feed, "slot", int(n.Slot),
		"life", n.Life, "kind", n.Kind, "text", n.Text)
	w := &p.words[n.Slot]
	if w.limit == nil {
		w.limit = rate.NewLimiter(rate.Every(wordsEvery), wordsBurst)
	}
	if !w.limit.AllowN(n.At, 1) {
		w.withheld++
		return
	}
	p.ledger.NotifyFeed(&ledger.UpstreamNotice{
		Feed: p.opts.Conn.Feed, Slot: n.Slot, Life: n.Life, Kind: n.Kind, Text: n.Text, Withheld: w.withheld, At: n.At.UTC(),
	})
	w.withheld = 0
}

// sayOdd logs how many events contradicted themselves since it last did, if any.
func (p *Pool) sayOdd() {
	total, example := make(map[string]uint64), make(map[string]string)
	for _, c := range p.conns {
		for kind, odd := range c.Tally().Odd {
			total[kind] += odd.Count
			example[kind] = odd.Example
		}
	}
	more, examples := make(map[string]uint64), make(map[string]string)
	for kind, n := range total {
		if n > p.odd[kind] {
			more[kind], examples[kind] = n-p.odd[kind], example[kind]
		}
	}
	p.odd = total
	if len(more) > 0 {
		p.opts.Log.Warn("events contradict themselves", "feed", p.opts.Conn.Feed, "more", more, "for_example", examples)
	}
}
