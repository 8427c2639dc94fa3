package walk

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"feedmux/internal/cause"
	"feedmux/limiter"
	"feedmux/pool"
)

// history is what the observer may look at: what the network and the upstream saw on their side, what the NATS server saw
// on its own, and what was wanted when. Nothing in it is from inside the daemon but when topics lost their place and came
// back.
type history struct {
	limit int // sockets
	dials limiter.Window
	end   time.Time

	sockets []socket
	topics  map[string]*topicHistory
	frames  map[int][]time.Time // by connection, sorted: the moments at which the client is known to have been sent a frame
	hushed  bool                // asks are answered late or never: only an event says for certain that a topic is confirmed
	unheard map[int]bool        // connections that may not hear the client, so that they may send what was given up
	behind  map[int]bool        // connections that got events late or none, though they listened
	ailing  []span              // NATS was cut off, refused dials or was paused
	deaths  []time.Time         // ends of runs, crashes included
	crashes []time.Time
}

// socket is one dial as the upstream counts it. A zero time: not yet.
type socket struct {
	begin, dialled time.Time
	free           time.Time // its place: the peer saw the end, or the hold passed
}

// span is from one time to before another; a zero to: for ever.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool {
	return !t.Before(s.from) && (s.to.IsZero() || t.Before(s.to))
}

// topicHistory is what concerns one topic.
type topicHistory struct {
	wanted   []span
	absences []time.Time // when it lost its place, or was not wanted any more: dark from then on is no gap
	returns  []time.Time // when it was first confirmed after that
	listens  []listen    // in the order of from
	sent     []sentEvent // in the order of writing
	got      []gotEvent  // in the order of arrival
	gaps     []gapNotice // in the order of arrival
}

// listen is a time in which the upstream sent a topic's events on a socket that our side read.
type listen struct {
	span
	conn     int
	answered bool      // the client knows, by the answer or by an event
	since    time.Time // the client knows
	silently bool      // it ended without a word: nothing more reached the client
}

type sentEvent struct {
	n    uint64
	conn int
	at   time.Time
	long bool // longer than what the daemon takes
}

type gotEvent struct {
	n  uint64 // 0: nobody sent such an event
	at time.Time
}

type gapNotice struct {
	pool.GapNotice
	at time.Time // when it came
}

// What bounds of times a promise allows for.
const (
	unconfirmed = 2500 * time.Millisecond          // events that NATS may not have confirmed yet: so far back may a delivery gap reach
	mended      = 3 * time.Second                  // until the client has connected again
	lingers     = 600 * time.Millisecond           // from when a new life of a hand-over is ready until it serves
	handOver    = 50 * time.Second                 // from its beginning until what was held back follows
	noticed     = pingInterval*11/10 + pingTimeout // until a silent connection is known to be dead
)

// check gives everything that is wrong in a history.
func (h *history) check() (wrong []string) {
	wrong = append(wrong, h.checkCap()...)
	wrong = append(wrong, h.checkDials()...)
	for _, name := range sortedKeys(h.topics) {
		t := h.topics[name]
		for _, check := range []func(*topicHistory) []string{
			h.checkOrder, h.checkLost, h.checkDropped, h.checkDark, h.checkIDs, h.checkBounds,
		} {
			for _, text := range check(t) {
				wrong = append(wrong, name+": "+text)
			}
		}
	}
	return wrong
}

// checkCap looks for a moment at which more places are taken than there are.
func (h *history) checkCap() (wrong []string) {
	for i, s := range h.sockets {
		taken := 1
		for j, o := range h.sockets {
			if j != i && (o.begin.Before(s.begin) || o.begin.Equal(s.begin) && j < i) && (o.free.IsZero() || o.free.After(s.begin)) {
				taken++
			}
		}
		if taken > h.limit {
			wrong = append(wrong, fmt.Sprintf("dial %d takes place %d of %d at %s", i, taken, h.limit, clock(s.begin)))
		}
	}
	return wrong
}

// checkDials looks for a dial that began while the budget was used up.
func (h *history) checkDials() (wrong []string) {
	for i, s := range h.sockets {
		counted := 1
		for _, o := range h.sockets[:i] {
			if o.dialled.IsZero() || o.dialled.Add(h.dials.Per).After(s.begin) {
				counted++
			}
		}
		if counted > h.dials.N {
			wrong = append(wrong, fmt.Sprintf("dial %d at %s is number %d in its window of %v", i, clock(s.begin), counted, h.dials))
		}
	}
	return wrong
}

func (h *history) checkOrder(t *topicHistory) (wrong []string) {
	newest := uint64(0)
	seen := make(map[uint64]bool)
	for _, e := range t.got {
		switch {
		case e.n == 0:
			wrong = append(wrong, fmt.Sprintf("an event at %s that nobody sent", clock(e.at)))
		case seen[e.n]:
			wrong = append(wrong, fmt.Sprintf("event %d comes again at %s", e.n, clock(e.at)))
		case e.n < newest:
			wrong = append(wrong, fmt.Sprintf("event %d comes after %d at %s", e.n, newest, clock(e.at)))
		}
		newest = max(newest, e.n)
		seen[e.n] = true
	}
	return wrong
}

// checkLost looks for events that were sent to a socket that listened, and are neither at NATS nor in a gap.
func (h *history) checkLost(t *topicHistory) (wrong []string) {
	told := make(map[uint64]bool)
	got := t.gotNumbers()
	for _, e := range t.sent {
		if !got[e.n] && !told[e.n] && !e.long && h.owed(t, e) && !t.inGap(e.at, "") && !h.diedWithIt(e.at) && !h.heldBack(t, e) && !h.broughtLate(t, e) && !h.tooLate(t, e) {
			told[e.n] = true
			wrong = append(wrong, fmt.Sprintf("event %d, sent to %d at %s, is lost and in no gap", e.n, e.conn, clock(e.at)))
		}
	}
	return wrong
}

func (t *topicHistory) gotNumbers() map[uint64]bool {
	got := make(map[uint64]bool, len(t.got))
	for _, e := range t.got {
		got[e.n] = true
	}
	return got
}

// owed says whether the socket that an event was sent to listened, while the topic was wanted and had its place. What
// falls together with a beginning or an end of that may have come before or after it.
func (h *history) owed(t *topicHistory, e sentEvent) bool {
	within := func(s span) bool { return s.has(e.at) && s.from.Before(e.at) }
	return slices.ContainsFunc(t.wanted, within) &&
		slices.ContainsFunc(t.listens, func(l listen) bool {
			return l.conn == e.conn && within(l.span) && !h.inVain(t, l.span) &&
				!slices.ContainsFunc(t.absences, func(at time.Time) bool {
					return !at.Before(l.from) && at.Before(e.at.Add(handOver)) // what is held back is forgotten
				})
		})
}

// inVain says whether a listen came of an ask that was on its way when the topic lost its place, and was never more than
// that: the topic did not come back before the listen was over, nor did another run want it, that knew nothing of its loss.
func (h *history) inVain(t *topicHistory, s span) bool {
	var lost time.Time
	for _, at := range t.absences {
		if at.Before(s.from) {
			lost = at
		}
	}
	back := func(at time.Time) bool { return !at.Before(lost) && (s.to.IsZero() || !at.After(s.to)) }
	return !lost.IsZero() && !slices.ContainsFunc(t.returns, back) && !slices.ContainsFunc(h.deaths, back)
}

// inGap says whether a time lies in an announced gap, of any cause but except.
func (t *topicHistory) inGap(at time.Time, except cause.Cause) bool {
	return slices.ContainsFunc(t.gaps, func(g gapNotice) bool {
		return g.Phase == pool.GapClosed && g.Cause != except && !at.Before(g.From) && !at.After(g.To)
	})
}

// diedWithIt says whether what came at that time may have waited for NATS when a run ended: nobody is left to tell.
func (h *history) diedWithIt(at time.Time) bool {
	return slices.ContainsFunc(h.ailing, func(s span) bool {
		return slices.ContainsFunc(h.deaths, func(death time.Time) bool {
			return s.has(death) && !at.Before(s.from.Add(-unconfirmed)) && !at.After(death)
		})
	})
}

// broughtLate says whether another connection, one that is behind, brought an event too, and that was in a gap: in a hand-over
// it may be the one whose event went on.
func (h *history) broughtLate(t *topicHistory, e sentEvent) bool {
	return slices.ContainsFunc(t.sent, func(o sentEvent) bool {
		return o.n == e.n && o.conn != e.conn && h.behind[o.conn] && t.inGap(o.at, "")
	})
}

// linger is how long both connections of a hand-over serve at least.
const linger = 500 * time.Millisecond

// tooLate says whether an event came on the old connection of a hand-over after the new one, which never had it, had listened
// for long enough that the old one's time was over: if that is so far behind, what it had still to send is not awaited.
func (h *history) tooLate(t *topicHistory, e sentEvent) bool {
	return h.behind[e.conn] && slices.ContainsFunc(t.listens, func(l listen) bool {
		return l.conn > e.conn && l.has(e.at) && !e.at.Before(l.from.Add(linger)) &&
			!slices.ContainsFunc(t.sent, func(o sentEvent) bool { return o.n == e.n && o.conn == l.conn })
	})
}

// heldBack says whether another connection, one that is behind, was to bring an event too, and the upstream never sent it
// there: a hand-over that comes to nothing counts on that.
func (h *history) heldBack(t *topicHistory, e sentEvent) bool {
	return slices.ContainsFunc(t.listens, func(l listen) bool {
		return l.conn != e.conn && h.behind[l.conn] && l.has(e.at) &&
			!slices.ContainsFunc(t.sent, func(o sentEvent) bool { return o.n == e.n && o.conn == l.conn })
	})
}

// checkDropped holds what overflow gaps count against what is missing.
func (h *history) checkDropped(t *topicHistory) (wrong []string) {
	got := t.gotNumbers()
	for _, g := range t.gaps {
		if g.Cause != cause.NATSOverflow || t.toldTwice(g) {
			continue
		}
		all, alone := make(map[uint64]bool), make(map[uint64]bool)
		for _, e := range t.sent {
			if got[e.n] || e.long || e.at.Before(g.From) || e.at.After(g.To) {
				continue
			}
			all[e.n] = true
			if h.owed(t, e) && !t.inGap(e.at, cause.NATSOverflow) {
				alone[e.n] = true
			}
		}
		if g.Dropped < uint64(len(alone)) || g.Dropped > uint64(len(all)) || g.Dropped == 0 {
			wrong = append(wrong, fmt.Sprintf("gap %s counts %d dropped events, %d to %d are missing", g.ID, g.Dropped, len(alone), len(all)))
		}
	}
	return wrong
}

func (t *topicHistory) toldTwice(g gapNotice) bool {
	n := 0
	for _, o := range t.gaps {
		if o.ID == g.ID && o.Phase == g.Phase {
			n++
		}
	}
	return n > 1
}

// checkDark looks for times in which a topic that had been confirmed was not listened to, and that are in no gap.
func (h *history) checkDark(t *topicHistory) (wrong []string) {
	var light time.Time // until then somebody listens
	var begun listen    // since it did
	var silently bool   // its end
	for _, l := range t.listens {
		if !light.IsZero() && l.from.After(light) {
			if text := h.checkDarkness(t, begun, span{light, l.from}, silently); text != "" {
				wrong = append(wrong, text)
			}
			light = time.Time{}
		}
		if !l.answered {
			silently = silently || l.silently // it may have taken over all the same
			if l.to.IsZero() || l.to.After(light) {
				light = time.Time{} // from here on nobody knows
			}
			continue
		}
		if light.IsZero() {
			begun, silently = l, false
		}
		if l.to.IsZero() {
			light = h.end
		} else if l.to.After(light) {
			light = l.to
		}
		silently = silently || l.silently // of two, nobody knows which one served
	}
	return wrong
}

// checkDarkness holds one dark time, after a light one that had begun with a listen, against the gaps. One that began silently may
// be over before anybody noticed: when the topic loses its place or the run crashes. A crash forgets what was not kept.
func (h *history) checkDarkness(t *topicHistory, begun listen, dark span, silently bool) string {
	if h.inVain(t, span{begun.from, dark.from}) {
		return "" // it was absent all the while
	}
	known := dark.from
	if silently {
		known = known.Add(noticed)
	}
	for _, at := range t.absences {
		switch {
		case at.Before(begun.from):
		case !at.After(dark.from):
			return "" // it was absent by plan before
		case at.Before(known):
			return ""
		case at.Before(dark.to):
			dark.to = at
		}
	}
	if h.diedWithIt(dark.to) || t.halfTold(dark.from) {
		return ""
	}
	for _, c := range h.crashes {
		switch {
		case c.Before(dark.from) || c.After(dark.to.Add(mended)) || c.After(dark.to) && !silently:
		case c.Before(begun.since.Add(keepEvery)):
			return "" // nothing of it was kept yet
		case c.Before(known.Add(keepEvery)):
			dark.from = c
		}
	}
	for covered := true; covered && dark.from.Before(dark.to); {
		covered = false
		for _, g := range t.gaps {
			if g.Phase == pool.GapClosed && g.At == pool.AtUpstream && !dark.from.Before(g.From) && dark.from.Before(g.To) {
				dark.from, covered = g.To, true
			}
		}
	}
	if dark.from.Before(dark.to) {
		return fmt.Sprintf("dark from %s to %s, and in no gap", clock(dark.from), clock(dark.to))
	}
	return ""
}

// halfTold says whether a gap that had begun by then was announced as open and never as closed: then it is for checkIDs.
func (t *topicHistory) halfTold(by time.Time) bool {
	return slices.ContainsFunc(t.gaps, func(g gapNotice) bool {
		return g.Phase == pool.GapOpen && !g.From.After(by) && g.at.After(by) &&
			!slices.ContainsFunc(t.gaps, func(o gapNotice) bool { return o.ID == g.ID && o.Phase == pool.GapClosed })
	})
}

// String lists what is known of a topic.
func (t *topicHistory) String() string {
	var b strings.Builder
	show := func(s span) string {
		if s.to.IsZero() {
			return clock(s.from) + "-"
		}
		return clock(s.from) + "-" + clock(s.to)
	}
	for _, s := range t.wanted {
		fmt.Fprintf(&b, "wanted %s\n", show(s))
	}
	for _, at := range t.absences {
		fmt.Fprintf(&b, "no place %s\n", clock(at))
	}
	for _, l := range t.listens {
		fmt.Fprintf(&b, "listens %s on %d, answered %v\n", show(l.span), l.conn, l.answered)
	}
	for _, g := range t.gaps {
		fmt.Fprintf(&b, "gap %s %s %s at %s %s, dropped %d, told %s\n", g.ID, g.Phase, g.Cause, g.At, show(span{g.From, g.To}), g.Dropped, clock(g.at))
	}
	for _, e := range t.sent {
		fmt.Fprintf(&b, "sent %d to %d at %s\n", e.n, e.conn, clock(e.at))
	}
	for _, e := range t.got {
		fmt.Fprintf(&b, "got %d at %s\n", e.n, clock(e.at))
	}
	return b.String()
}

// clock is a time as the observer writes it: seconds since bubbles begin.
func clock(t time.Time) string {
	return fmt.Sprintf("%.6f", t.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds())
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
