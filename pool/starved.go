package pool

import (
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/ledger"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
)

// A slot is starved when nothing comes on it that should: some upstreams leave a connection open and send nothing. What
// should come is judged by its own past and by the others. It is told, and ends nothing: only people can say.
const (
	watchEvery = 10 * time.Second
	watchKept  = 120 // looks that are remembered: 20 minutes
	watchPast  = 12  // looks before a silence without which nothing is expected: 2 minutes
	watchLeast = 30  // events that must be missing
)

// watch is what came on a slot at each look, since its life or its topics changed.
type watch struct {
	life   int
	topics []*topic.Topic
	total  uint64 // events on the slot so far
	came   []uint64
}

// quiet is for how many looks nothing has come.
func (w *watch) quiet() (n int) {
	for n < len(w.came) && w.came[len(w.came)-1-n] == 0 {
		n++
	}
	return n
}

// expects is how many events the last n looks should have brought, by those before them.
func (w *watch) expects(n int) float64 {
	past := w.came[:max(0, len(w.came)-n)]
	if len(past) < watchPast {
		return 0
	}
	return float64(sum(past)) / float64(len(past)) * float64(n)
}

// pause is for how many looks nothing came at most, before the last n.
func (w *watch) pause(n int) (longest int) {
	run := 0
	for _, came := range w.came[:len(w.came)-n] {
		if run++; came > 0 {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

func sum(counts []uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// lookForStarved counts what came since the last look, and says which slots begin or end to be starved.
func (p *Pool) lookForStarved(now time.Time) {
	for i := range p.watches {
		w, s, total := &p.watches[i], &p.slots[i], p.conns[i].Tally().Events
		came := total - w.total
		w.total = total
		switch {
		case s.State != slots.Live || w.life != s.Life || !slices.Equal(w.topics, p.sent[i]):
			w.life, w.topics, w.came = s.Life, p.sent[i], nil
			p.fed(s, now)
			continue
		case came > 0:
			p.fed(s, now)
		}
		if w.came = append(w.came, came); len(w.came) > watchKept {
			w.came = slices.Delete(w.came, 0, 1)
		}
	}
	for i := range p.watches {
		s := &p.slots[i]
		if quiet := p.watches[i].quiet(); quiet > 0 && s.Starved.IsZero() && p.starves(i, quiet) {
			s.Starved = now.Add(-time.Duration(quiet) * watchEvery)
			p.opts.Log.Warn("slot is starved: nothing comes, while the others are as busy as ever",
				p.about(s.Slot, "cause", cause.Starved, "since", s.Starved)...)
			p.sayStarved(s, ledger.GapOpen, now)
		}
	}
}

// starves says whether a slot on which nothing came for some looks should have brought events meanwhile, while the
// others brought at least half of theirs.
func (p *Pool) starves(slot, quiet int) bool {
	w := &p.watches[slot]
	if w.expects(quiet) < watchLeast || quiet <= 2*w.pause(quiet) {
		return false
	}
	var expected, came float64
	for i := range p.watches {
		if other := &p.watches[i]; i != slot && p.slots[i].Starved.IsZero() && other.expects(quiet) > 0 {
			expected += other.expects(quiet)
			came += float64(sum(other.came[len(other.came)-quiet:]))
		}
	}
	return expected >= watchLeast && came >= expected/2
}

// fed says that a slot is not starved, or that nothing can be said of it.
func (p *Pool) fed(s *SlotStatus, now time.Time) {
	if s.Starved.IsZero() {
		return
	}
	p.opts.Log.Info("slot is not starved any more",
		p.about(s.Slot, "cause", cause.Starved, "lasted", now.Sub(s.Starved).Round(time.Second))...)
	p.sayStarved(s, ledger.GapClosed, now)
	s.Starved = time.Time{}
}

func (p *Pool) sayStarved(s *SlotStatus, phase ledger.GapPhase, now time.Time) {
	p.ledger.NotifyFeed(&ledger.FeedNotice{
		Feed: p.opts.Conn.Feed, Slot: s.Slot, Life: s.Life, State: s.State,
		Cause: cause.Starved, Phase: phase, Since: s.Starved.UTC(), At: now.UTC(),
	})
}
