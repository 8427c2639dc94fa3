package walk

import (
	"fmt"
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/pool"
)

// checkIDs looks for gaps that are announced twice or half. What NATS may have got before it broke comes again; so does
// what a crash let the next run find unannounced, be it that both of two files tell of it that are not written at once.
func (h *history) checkIDs(t *topicHistory) (wrong []string) {
	first := make(map[string]gapNotice)
	for _, g := range t.gaps {
		key := g.ID + string(g.Phase)
		if before, again := first[key]; again && !h.ailed(before.at, g.at) && !h.crashed(before.at.Add(-keepEvery), g.at) {
			wrong = append(wrong, fmt.Sprintf("gap %s is %s at %s and at %s", g.ID, g.Phase, clock(before.at), clock(g.at)))
		}
		first[key] = g
	}
	for _, g := range t.gaps {
		_, closed := first[g.ID+string(pool.GapClosed)]
		if g.Phase == pool.GapOpen && !closed && !h.crashed(g.at, g.at.Add(keepEvery)) && !slices.ContainsFunc(h.deaths, func(d time.Time) bool {
			return !d.Before(g.at) && h.diedWithIt(d)
		}) {
			wrong = append(wrong, fmt.Sprintf("gap %s of %s is never closed", g.ID, clock(g.From)))
		}
	}
	return wrong
}

// ailed says whether NATS was not well at some time between.
func (h *history) ailed(from, to time.Time) bool {
	return slices.ContainsFunc(h.ailing, func(s span) bool {
		return !s.from.After(to) && (s.to.IsZero() || !s.to.Before(from))
	})
}

// crashedFirst says whether the first run to end from a time on crashed.
func (h *history) crashedFirst(from time.Time) bool {
	for _, d := range h.deaths {
		if !d.Before(from) {
			return slices.Contains(h.crashes, d)
		}
	}
	return false
}

func (h *history) crashed(from, to time.Time) bool {
	return slices.ContainsFunc(h.crashes, func(c time.Time) bool { return !c.Before(from) && !c.After(to) })
}

// checkBounds looks for gaps that are too long.
func (h *history) checkBounds(t *topicHistory) (wrong []string) {
	for _, g := range t.gaps {
		if g.Phase != pool.GapClosed {
			continue
		}
		if g.To.Before(g.From) || g.To.After(g.at) {
			wrong = append(wrong, fmt.Sprintf("gap %s from %s to %s, announced at %s", g.ID, clock(g.From), clock(g.To), clock(g.at)))
		}
		var text string
		switch {
		case g.Cause == cause.NATSBroke:
			text = h.checkBroken(g)
		case g.At == pool.AtDelivery:
		case g.Cause == cause.Restart && h.crashedFirst(g.From):
			if !h.crashed(g.From, g.From.Add(2*keepEvery)) && !h.outlived(g.From) {
				text = "reaches back further than to the last sign of life"
			}
		case !h.ailed(g.From, g.at) && !h.crashed(g.From, g.at): // not merged with others
			text = h.checkSilence(t, g)
		}
		if text != "" {
			wrong = append(wrong, fmt.Sprintf("gap %s (%s) from %s to %s %s", g.ID, g.Cause, clock(g.From), clock(g.To), text))
		}
	}
	return wrong
}

// outlived says whether NATS was not well from about that time until the run crashed, but for moments: then the gap begins
// where NATS has confirmed what came.
func (h *history) outlived(from time.Time) bool {
	return slices.ContainsFunc(h.crashes, func(c time.Time) bool {
		if c.Before(from) {
			return false
		}
		ill := c.Add(-2 * keepEvery) // since when, as far as is known
		for i := len(h.ailing) - 1; i >= 0; i-- {
			if s := h.ailing[i]; s.from.Before(ill) && (s.to.IsZero() || s.to.After(ill.Add(-mended-unconfirmed))) {
				ill = s.from
			}
		}
		return !from.Before(ill.Add(-unconfirmed))
	})
}

// checkBroken says whether a gap of a broken connection to NATS reaches back further than it may.
func (h *history) checkBroken(g gapNotice) string {
	if slices.ContainsFunc(h.ailing, func(s span) bool {
		return !g.From.Before(s.from.Add(-unconfirmed)) && (s.to.IsZero() || !g.From.After(s.to))
	}) {
		return ""
	}
	return "begins when NATS was well, and had confirmed what came"
}

// checkSilence says whether a frame came on a socket that listened to the topic, in the middle of its gap.
func (h *history) checkSilence(t *topicHistory, g gapNotice) string {
	got := t.gotNumbers()
	for _, l := range t.listens {
		if h.unheard[l.conn] || slices.ContainsFunc(t.listens, func(o listen) bool { // of a hand-over that came to nothing
			served := o.to
			if o.silently {
				served = o.to.Add(noticed)
			}
			if l.from.Before(o.from) && !o.from.After(g.From) && o.from.Before(l.to) {
				return true // what it went on to bring says nothing of the one that had followed
			}
			return o.from.Before(l.from) && l.from.Before(served) && !served.Before(g.From) && !o.to.After(g.To)
		}) {
			continue
		}
		frames := h.frames[l.conn]
		if h.hushed {
			frames = nil
			for _, e := range t.sent {
				if e.conn == l.conn && got[e.n] {
					frames = append(frames, e.at)
				}
			}
		}
		for _, at := range frames {
			if l.has(at) && at.After(g.From) && at.Before(g.To.Add(-lingers)) {
				return fmt.Sprintf("covers %s, when a frame came on connection %d", clock(at), l.conn)
			}
		}
	}
	return ""
}
