package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"feedmux/internal/cause"
	"feedmux/internal/notices"
	"feedmux/internal/sink/link"
	"feedmux/internal/sink/progress"
	"feedmux/internal/subject"
	"feedmux/pool"
)

// confirmWithin is when the client's own pings have long shown that nobody answers.
const confirmWithin = 4 * link.PingInterval

// window is what was handed to the client in a while and is not confirmed. How much of each topic that is, its mark says.
type window struct {
	since   int64 // when the oldest event of it was received: Unix nanoseconds; 0: it has none
	topics  []*mark
	runs    []*progress.Run // instead, of events that were taken
	notices []*notices.Notice
}

func (w *window) empty() bool { return len(w.topics) == 0 && len(w.runs) == 0 && len(w.notices) == 0 }

func (w *window) clear() {
	clear(w.topics)
	clear(w.runs)
	clear(w.notices)
	w.topics, w.runs, w.notices, w.since = w.topics[:0], w.runs[:0], w.notices[:0], 0
}

// windows are two: one that the publisher fills, and one that NATS is asked to confirm meanwhile. All that is in them went to
// one connection, because the client may make no other before they are empty (link.Permit).
type windows struct {
	pair    [2]window
	filling int
	answer  chan error // of the goroutine that asks; nil: nobody does
	asked   time.Time  // when it was last begun
}

func (w *windows) empty() bool { return w.pair[0].empty() && w.pair[1].empty() }

// event notes an event that the client took; of a run, that is, of events that have numbers, also one that was dropped.
func (w *windows) event(e *entry) {
	f := &w.pair[w.filling]
	if run := e.from.run; run == nil {
		s := &e.mark.handed[w.filling]
		if s.events == 0 {
			f.topics = append(f.topics, e.mark)
		}
		s.add(e.received)
	} else if run.Passed(w.filling) {
		f.runs = append(f.runs, run)
	}
	if f.since == 0 || e.received < f.since {
		f.since = e.received
	}
}

// since is when the oldest event that is not confirmed was received; 0: there is none.
func (w *windows) since() int64 {
	a, b := w.pair[0].since, w.pair[1].since
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// notice notes a notice that the client took.
func (w *windows) notice(n *notices.Notice) {
	f := &w.pair[w.filling]
	f.notices = append(f.notices, n)
}

// inHand is how many notices are not confirmed.
func (w *windows) inHand() int { return len(w.pair[0].notices) + len(w.pair[1].notices) }

// settle takes the answer if it came; then a window without an error is confirmed.
func (w *windows) settle(q *notices.Queue) error {
	select {
	case err := <-w.answer: // never, if nobody asks
		w.answer = nil
		if err != nil {
			return err
		}
	default:
		return nil
	}
	confirmed := &w.pair[1-w.filling]
	for _, m := range confirmed.topics {
		m.handed[1-w.filling] = span{}
	}
	for _, r := range confirmed.runs {
		r.Confirmed(1 - w.filling)
	}
	q.Done(confirmed.notices...)
	confirmed.clear()
	return nil
}

// Unconfirmed is when the oldest event was received that NATS has not confirmed, or for as long as Run lasted never did; at
// most a chunk's worth too early. It is zero if there is none. If the daemon ended here, nobody would be told. Any
// goroutine may ask.
func (c *Core) Unconfirmed() (since time.Time) {
	earlier := func(t time.Time) {
		if !t.IsZero() && (since.IsZero() || t.Before(since)) {
			since = t
		}
	}
	// In this order: what goes on meanwhile is seen twice, not never.
	_, waiting := c.buffer.waiting()
	earlier(waiting)
	for _, n := range []int64{c.handed.Load(), c.left.Load()} {
		if n != 0 {
			earlier(time.Unix(0, n))
		}
	}
	return since
}

// Unsent are the notices of gaps that NATS is not known to have, to be kept for the next run. Any goroutine may ask.
func (c *Core) Unsent() []notices.Left { return c.notices.Unsent() }

// Restore queues what an earlier run left. It is called before Run.
func (c *Core) Restore(list []notices.Left) { c.notices.Restore(list) }

// confirm takes the server's answer if it came, and asks again when it is time: at once if hurry. It never waits.
func (p *publisher) confirm(hurry bool) {
	w := &p.windows
	defer func() { p.handed.Store(w.since()) }()
	if err := w.settle(p.notices); err != nil {
		if errors.Is(err, context.DeadlineExceeded) { // nobody answers
			p.reconnect(err)
		} else {
			p.broke()
		}
		return
	}
	f := &w.pair[w.filling]
	if w.answer == nil && !f.empty() && (hurry || time.Since(w.asked) >= p.confirmEvery) {
		w.asked = time.Now()
		w.filling = 1 - w.filling
		answer, nc := make(chan error, 1), p.nc
		w.answer = answer
		p.asking.Go(func() {
			answer <- flush(nc)
			p.link.Signal()
		})
	}
}

// flush has the server confirm everything that was handed to the client. The client keeps a ping that it cannot send for
// its next connection; but nobody waits for that answer any more.
func flush(nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), confirmWithin)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

// broke gives up what is not confirmed: it announces a gap for each topic of it, tells those who can have it again, and
// queues the notices again.
func (p *publisher) broke() {
	w := &p.windows
	w.settle(p.notices) // what was confirmed in time is not lost
	w.answer = nil
	topics, events := 0, uint64(0)
	for _, i := range [...]int{w.filling, 1 - w.filling} { // what was handed over first goes to the front last
		p.notices.Untake(true, w.pair[i].notices...)
	}
	for _, i := range [...]int{1 - w.filling, w.filling} {
		for _, m := range w.pair[i].topics {
			lost := m.handed[0]
			lost.join(m.handed[1])
			if lost.events == 0 {
				continue // it was in the first window, too
			}
			m.handed = [2]span{}
			p.announce(m, lost, cause.NATSBroke, 0)
			topics++
			events += lost.events
		}
		for _, r := range w.pair[i].runs {
			r.Broke()
		}
		w.pair[i].clear()
	}
	if topics > 0 {
		p.log.Warn("events may be lost: NATS had not confirmed them", "cause", cause.NATSBroke, "topics", topics, "events", events)
	}
}

// overflowed announces what found no room: of each feed when that has been over for a while, or at once.
func (p *publisher) overflowed(now time.Time, atOnce bool) {
	for _, o := range p.buffer.overflows(now, atOnce) {
		p.announce(o.mark, o.span, cause.NATSOverflow, o.events)
	}
}

// announce queues a notice of a gap between us and NATS.
func (p *publisher) announce(m *mark, s span, why cause.Cause, dropped uint64) {
	m.feed.gaps[why].Add(1)
	name := string(m.topic.Name)
	to, err := subject.Notice(string(pool.NoticeGap), m.feed.name, name)
	if err != nil {
		p.notices.Count(false) // a topic that no feed may have
		return
	}
	p.gapID++
	p.notices.Add(to, &pool.GapNotice{
		ID:   fmt.Sprintf("%s:%016x:d%d", m.feed.name, p.opts.Start, p.gapID),
		Feed: m.feed.name, Topic: m.topic.Name, Subject: m.topic.Subject, Phase: pool.GapClosed,
		From: time.Unix(0, s.first).UTC(), To: time.Unix(0, s.last).UTC(),
		Cause: why, At: pool.AtDelivery, Dropped: dropped, Filled: pool.NotFilled,
	})
}
