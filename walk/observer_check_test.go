package walk

import (
	"slices"
	"strings"
	"testing"
	"time"

	"feedmux/internal/cause"
	"feedmux/limiter"
	"feedmux/pool"
)

// at is a moment of a history made by hand, in seconds.
func at(seconds float64) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func gapOf(id string, why cause.Cause, from, to float64) gapNotice {
	n := gapNotice{at: at(to)}
	n.ID, n.Phase, n.Cause, n.At, n.From, n.To = id, pool.GapClosed, why, pool.AtUpstream, at(from), at(to)
	return n
}

// good is a history in which nothing is wrong: two connections one after the other, a gap between them, and one after the
// overflow of a buffer.
func good() *history {
	overflow := gapOf("d1", cause.NATSOverflow, 24, 25)
	overflow.At, overflow.Dropped, overflow.at = pool.AtDelivery, 2, at(30)
	t := &topicHistory{
		wanted: []span{{from: at(0)}},
		listens: []listen{
			{span: span{at(0), at(10)}, conn: 1, answered: true, since: at(0)},
			{span: span{from: at(15)}, conn: 2, answered: true, since: at(15)},
		},
		gaps: []gapNotice{gapOf("1", cause.Reset, 9, 15), overflow},
	}
	for n, seconds := range []float64{1, 2, 9, 16, 24, 25, 31} {
		e := sentEvent{n: uint64(n + 1), conn: 1, at: at(seconds)}
		if seconds > 10 {
			e.conn = 2
		}
		t.sent = append(t.sent, e)
		if seconds < 24 || seconds > 25 {
			t.got = append(t.got, gotEvent{e.n, e.at})
		}
	}
	return &history{
		limit: 1, dials: limiter.Window{N: 1, Per: 2 * time.Second}, end: at(100),
		sockets: []socket{{at(0), at(0), at(10)}, {at(14), at(15), time.Time{}}},
		topics:  map[string]*topicHistory{"raid.1": t},
		frames:  map[int][]time.Time{1: {at(1), at(2), at(9)}, 2: {at(15), at(16), at(24), at(25), at(31)}},
		ailing:  []span{{at(20), at(30)}},
	}
}

func TestTheObserverIsNotBlind(t *testing.T) {
	for _, tt := range []struct {
		name string
		want string // "": nothing
		do   func(*history, *topicHistory)
	}{
		{"a good history", "", func(*history, *topicHistory) {}},
		{"a lost event", "event 2, sent to 1 at 2.000000, is lost", func(_ *history, t *topicHistory) {
			t.got = slices.Delete(t.got, 1, 2)
		}},
		{"the last event", "event 7, sent to 2 at 31.000000, is lost", func(_ *history, t *topicHistory) {
			t.got = t.got[:len(t.got)-1]
		}},
		{"a repeat", "event 2 comes again", func(_ *history, t *topicHistory) {
			t.got = slices.Insert(t.got, 2, t.got[1])
		}},
		{"a swapped pair", "event 1 comes after 2", func(_ *history, t *topicHistory) {
			t.got[0], t.got[1] = t.got[1], t.got[0]
		}},
		{"an event from nowhere", "that nobody sent", func(_ *history, t *topicHistory) {
			t.got = append(t.got, gotEvent{0, at(40)})
		}},
		{"no gap", "dark from 10.000000 to 15.000000", func(_ *history, t *topicHistory) {
			t.gaps = t.gaps[1:]
		}},
		{"a gap that ends too early", "dark from 14.000000 to 15.000000", func(_ *history, t *topicHistory) {
			t.gaps[0].To = at(14)
		}},
		{"a gap that begins too late", "dark from 10.000000 to 15.000000", func(_ *history, t *topicHistory) {
			t.gaps[0].From = at(11)
		}},
		{"a gap that begins too early", "covers 9.000000, when a frame came on connection 1", func(_ *history, t *topicHistory) {
			t.gaps[0].From = at(8)
		}},
		{"a gap that ends too late", "covers 15.000000, when a frame came on connection 2", func(_ *history, t *topicHistory) {
			t.gaps[0].To, t.gaps[0].at = at(17), at(17)
		}},
		{"a gap from the future", "announced at 15.000000", func(_ *history, t *topicHistory) {
			t.gaps[0].To = at(15.5)
		}},
		{"a gap told twice", "gap 1 is closed at 15.000000 and at 15.000000", func(_ *history, t *topicHistory) {
			t.gaps = append(t.gaps, t.gaps[0])
		}},
		{"a gap never closed", "gap 2 of 40.000000 is never closed", func(_ *history, t *topicHistory) {
			g := gapOf("2", cause.Reset, 40, 42)
			g.Phase, g.To = pool.GapOpen, time.Time{}
			t.gaps = append(t.gaps, g)
		}},
		{"too many counted", "counts 3 dropped events, 2 to 2 are missing", func(_ *history, t *topicHistory) {
			t.gaps[1].Dropped = 3
		}},
		{"too few counted", "counts 1 dropped events, 2 to 2 are missing", func(_ *history, t *topicHistory) {
			t.gaps[1].Dropped = 1
		}},
		{"a delivery gap while NATS was well", "begins when NATS was well", func(h *history, t *topicHistory) {
			t.gaps[1].Cause, t.gaps[1].Dropped, h.ailing[0].from = cause.NATSBroke, 0, at(27)
		}},
		{"a socket too many", "dial 1 takes place 2 of 1", func(h *history, _ *topicHistory) {
			h.sockets[0].free = at(14.5)
		}},
		{"a socket that is never given back", "dial 1 takes place 2 of 1", func(h *history, _ *topicHistory) {
			h.sockets[0].free = time.Time{}
		}},
		{"a dial too early", "dial 1 at 14.000000 is number 2 in its window", func(h *history, _ *topicHistory) {
			h.sockets[0].dialled = at(12.000001)
		}},
		{"a dial beside another", "dial 1 at 14.000000 is number 2 in its window", func(h *history, _ *topicHistory) {
			h.sockets[0].dialled = time.Time{}
		}},
		{"an ask that was on its way when the topic lost its place", "", func(_ *history, t *topicHistory) {
			t.absences, t.listens[0].from = []time.Time{at(0.1)}, at(0.5)
			t.got = slices.Delete(t.got, 0, 3)
			t.gaps = t.gaps[1:]
		}},
		{"no gap after the topic came back", "dark from 10.000000 to 15.000000", func(_ *history, t *topicHistory) {
			t.absences, t.returns, t.listens[0].from = []time.Time{at(0.1)}, []time.Time{at(0.6)}, at(0.5)
			t.gaps = t.gaps[1:]
		}},
		{"what the old connection, which is behind, brought after its time in a hand-over", "", func(h *history, t *topicHistory) {
			h.behind = map[int]bool{1: true}
			t.listens = append(t.listens, listen{span: span{from: at(1.5)}, conn: 3, answered: true, since: at(1.5)})
			t.got = slices.Delete(t.got, 1, 2)
		}},
		{"what it brought within its time", "event 2, sent to 1 at 2.000000, is lost", func(h *history, t *topicHistory) {
			h.behind = map[int]bool{1: true}
			t.listens = append(t.listens, listen{span: span{from: at(1.6)}, conn: 3, answered: true, since: at(1.6)})
			t.got = slices.Delete(t.got, 1, 2)
		}},
		{"what the new one had, too", "event 2, sent to 1 at 2.000000, is lost", func(h *history, t *topicHistory) {
			h.behind = map[int]bool{1: true}
			t.listens = append(t.listens, listen{span: span{from: at(1.5)}, conn: 3, answered: true, since: at(1.5)})
			t.sent = append(t.sent, sentEvent{n: 2, conn: 3, at: at(2)})
			t.got = slices.Delete(t.got, 1, 2)
		}},
		{"what was not wanted", "", func(_ *history, t *topicHistory) {
			t.wanted = []span{{at(0), at(1.5)}, {at(10), time.Time{}}}
			t.absences = []time.Time{at(1.5)}
			t.got = slices.Delete(t.got, 1, 3)
			t.gaps = t.gaps[1:]
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := good()
			tt.do(h, h.topics["raid.1"])
			wrong := h.check()
			switch {
			case tt.want == "":
				if len(wrong) > 0 {
					t.Errorf("%q", wrong)
				}
			case !slices.ContainsFunc(wrong, func(text string) bool { return strings.Contains(text, tt.want) }):
				t.Errorf("found %q, want %q", wrong, tt.want)
			}
		})
	}
}
