package notices

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/pool"
	"feedmux/shard"
)

// at is a second of the tests' day.
func at(second int) time.Time { return time.Unix(int64(second), 0).UTC() }

// open and closed are a gap of one topic, upstream.
func open(id string, from int) *pool.GapNotice {
	return &pool.GapNotice{ID: id, Phase: pool.GapOpen, From: at(from), Cause: cause.Reset, At: pool.AtUpstream}
}

func closed(id string, from, to int) *pool.GapNotice {
	n := open(id, from)
	n.Phase, n.To = pool.GapClosed, at(to)
	return n
}

func undelivered(id string, from, to int, why cause.Cause, dropped uint64) *pool.GapNotice {
	n := closed(id, from, to)
	n.At, n.Cause, n.Dropped = pool.AtDelivery, why, dropped
	return n
}

// describe says what a notice is, in short.
func describe(n *Notice) string {
	switch b := n.Body.(type) {
	case *pool.GapNotice:
		s := fmt.Sprintf("%s %s %s %d", b.ID, b.Phase, b.Cause, b.From.Unix())
		if b.Phase == pool.GapClosed {
			s += fmt.Sprintf("-%d", b.To.Unix())
		}
		if b.Dropped > 0 {
			s += fmt.Sprintf(" %d dropped", b.Dropped)
		}
		return s
	case *pool.TopicNotice:
		return n.Subject + " " + b.State
	case *pool.FeedNotice:
		return fmt.Sprintf("slot %d %v", b.Slot, b.State)
	}
	return "?"
}

// wantQueue empties q and compares.
func wantQueue(t *testing.T, q *Queue, want ...string) {
	t.Helper()
	var got []string
	for n := q.Take(); n != nil; n = q.Take() {
		got = append(got, describe(n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q waits, want %q", got, want)
	}
}

func TestOfATopicAndOfASlotTheNewestNoticeWaits(t *testing.T) {
	q := New()
	topic := func(state string) *pool.TopicNotice { return &pool.TopicNotice{State: state} }
	slot := func(s shard.Slot, state slots.State) *pool.FeedNotice { return &pool.FeedNotice{Slot: s, State: state} }
	q.Add("a", topic("asked"))
	q.Add("f", slot(0, 1))
	q.Add("b", topic("confirmed"))
	q.Add("f", slot(1, 1))
	q.Add("a", topic("confirmed"))
	q.Add("f", slot(0, 2))
	q.Add("a", topic("removed"))
	wantQueue(t, q, "a removed", fmt.Sprintf("slot 0 %v", slots.State(2)), "b confirmed", fmt.Sprintf("slot 1 %v", slots.State(1)))
}

func TestAGapThatEndsBeforeAnybodyWasToldIsOneNotice(t *testing.T) {
	q := New()
	q.Add("a", open("1", 10))
	q.Add("b", open("2", 11))
	q.Add("a", closed("1", 10, 15))
	wantQueue(t, q, "1 closed reset 10-15", "2 open reset 11")
	q.Add("b", closed("2", 11, 16))
	wantQueue(t, q, "2 closed reset 11-16")
	if len(q.told) != 0 || len(q.byKey) != 0 {
		t.Errorf("the queue keeps %v and %v", q.told, q.byKey)
	}
}

func TestWholeGapsOfATopicBecomeOne(t *testing.T) {
	q := New()
	q.Add("a", open("1", 10))
	wantQueue(t, q, "1 open reset 10")
	q.Add("a", closed("1", 10, 11)) // somebody waits for this one's end
	q.Add("a", closed("2", 20, 21))
	q.Add("a", open("3", 30))
	later := closed("3", 30, 31)
	later.Cause = cause.Silent
	q.Add("a", later)
	q.Add("b", closed("4", 20, 21))
	q.Add("a", closed("5", 15, 16))
	q.Add("a", open("6", 50))
	wantQueue(t, q, "1 closed reset 10-11", "5 closed reset 15-31", "4 closed reset 20-21", "6 open reset 50")
}

func TestGapsAtDeliveryAreMergedByCauseAndTheirEventsSummed(t *testing.T) {
	q := New()
	q.Add("a", undelivered("1", 10, 11, cause.NATSOverflow, 3))
	q.Add("a", undelivered("2", 12, 13, cause.NATSBroke, 0))
	q.Add("a", undelivered("3", 20, 21, cause.NATSOverflow, 4))
	q.Add("a", undelivered("4", 22, 23, cause.NATSBroke, 0))
	q.Add("a", closed("5", 1, 2))
	wantQueue(t, q, "3 closed nats_overflow 10-21 7 dropped", "4 closed nats_broke 12-23", "5 closed reset 1-2")
}

func TestNoticesThatMayHaveArrivedComeAgainInOrder(t *testing.T) {
	q := New()
	takeAll := func() (taken []*Notice) {
		for n := q.Take(); n != nil; n = q.Take() {
			taken = append(taken, n)
		}
		return taken
	}
	q.Add("a", &pool.TopicNotice{State: "asked"})
	q.Add("b", &pool.TopicNotice{State: "asked"})
	q.Add("a.gap", open("1", 10))
	q.Add("b.gap", undelivered("2", 10, 11, cause.NATSOverflow, 3))
	q.Add("c.gap", undelivered("3", 10, 11, cause.NATSBroke, 0))
	q.Add("d.gap", open("4", 10))
	taken := takeAll()
	q.Add("a", &pool.TopicNotice{State: "confirmed"})
	q.Add("a.gap", closed("1", 10, 15))
	q.Add("b.gap", undelivered("5", 20, 21, cause.NATSOverflow, 4))
	q.Add("c.gap", undelivered("6", 20, 21, cause.NATSBroke, 0))
	q.Untake(true, taken...)
	q.Add("d.gap", closed("4", 10, 12))
	wantQueue(t, q, "b asked", "2 closed nats_overflow 10-11 3 dropped", "4 closed reset 10-12",
		"a confirmed", "1 closed reset 10-15", "5 closed nats_overflow 20-21 4 dropped", "6 closed nats_broke 10-21")
}

func TestANoticeThatWasNotSentIsAsItWas(t *testing.T) {
	q := New()
	q.Add("a", open("1", 10))
	q.Untake(false, q.Take())
	q.Add("a", closed("1", 10, 15))
	q.Add("a", closed("2", 20, 25))
	wantQueue(t, q, "2 closed reset 10-25") // nobody was told of 1

	q.Add("a", open("3", 10))
	n := q.Take()
	q.Add("a", closed("3", 10, 15)) // while the client is asked to send its beginning
	q.Untake(false, n)
	wantQueue(t, q, "3 closed reset 10-15")
}

// A consumer who is told of everything but in an outage must be able to rely on this: every dark moment is inside a gap,
// every gap that was opened is closed, and dropped events add up. How much waits is bounded by the number of topics.
func TestNoDarkMomentIsLostInMerging(t *testing.T) {
	const topics = 5
	type span struct{ from, to int }
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		q := New()
		var dark, told [topics][]span
		began := make(map[int]int) // by topic: when it went dark
		ids := make(map[int]string)
		opened, ended := make(map[string]bool), make(map[string]bool)
		dropped, sum := uint64(0), uint64(0)
		seen := make(map[string]bool)
		var inHand []*Notice
		hear := func(n *Notice) {
			b := n.Body.(*pool.GapNotice)
			topic, _ := strconv.Atoi(n.Subject)
			switch {
			case b.Phase == pool.GapOpen:
				opened[b.ID] = true
			default:
				ended[b.ID] = true
				told[topic] = append(told[topic], span{int(b.From.Unix()), int(b.To.Unix())})
				if !seen[b.ID] {
					seen[b.ID] = true
					sum += b.Dropped
				}
			}
		}
		step := func(now int) {
			topic := rnd.IntN(topics)
			subject := strconv.Itoa(topic)
			switch rnd.IntN(8) {
			case 0, 1, 2: // upstream: begins or ends
				from, isDark := began[topic]
				if !isDark {
					began[topic], ids[topic] = now, "u"+strconv.Itoa(now)
					if rnd.IntN(2) == 0 {
						q.Add(subject, open(ids[topic], now))
					}
					return
				}
				delete(began, topic)
				dark[topic] = append(dark[topic], span{from, now})
				q.Add(subject, closed(ids[topic], from, now))
			case 3, 4: // delivery
				dark[topic] = append(dark[topic], span{now, now + 1})
				if rnd.IntN(2) == 0 {
					q.Add(subject, undelivered("b"+strconv.Itoa(now), now, now+1, cause.NATSBroke, 0))
					return
				}
				dropped += uint64(now)
				q.Add(subject, undelivered("o"+strconv.Itoa(now), now, now+1, cause.NATSOverflow, uint64(now)))
			case 5, 6: // one is sent, and may arrive
				if n := q.Take(); n != nil {
					inHand = append(inHand, n)
				}
			case 7: // NATS confirms, or breaks and some of it arrived
				if rnd.IntN(2) == 0 {
					for _, n := range inHand {
						hear(n)
					}
				} else {
					for _, n := range inHand[:rnd.IntN(len(inHand)+1)] {
						copied := *n.Body.(*pool.GapNotice)
						hear(&Notice{Subject: n.Subject, Body: &copied})
					}
					for _, n := range inHand {
						n.tries = 0 // nothing is given up
					}
					q.Untake(true, inHand...)
				}
				inHand = nil
			}
		}
		now := 1
		for ; now < 300; now++ {
			step(now)
		}
		for topic, from := range began {
			dark[topic] = append(dark[topic], span{from, now})
			q.Add(strconv.Itoa(topic), closed(ids[topic], from, now))
		}
		for _, n := range inHand {
			hear(n)
		}
		for n := q.Take(); n != nil; n = q.Take() {
			hear(n)
		}
		for topic := range topics {
			for _, d := range dark[topic] {
				if !slices.ContainsFunc(told[topic], func(g span) bool { return g.from <= d.from && d.to <= g.to }) {
					t.Fatalf("topic %d was dark %v; announced are %v", topic, d, told[topic])
				}
			}
		}
		for id := range opened {
			if !ended[id] {
				t.Fatalf("gap %s was opened and not closed", id)
			}
		}
		if sum != dropped {
			t.Fatalf("%d events were announced as dropped, want %d", sum, dropped)
		}
	}
}

func TestWhatWaitsIsBoundedByTheNumberOfTopics(t *testing.T) {
	q := New()
	const topics = 10
	for i := range 10_000 {
		subject := strconv.Itoa(i % topics)
		id := strconv.Itoa(i)
		q.Add("gap."+subject, open(id, i))
		q.Add("gap."+subject, closed(id, i, i+1))
		q.Add("gap."+subject, undelivered("b"+id, i, i+1, cause.NATSBroke, 0))
		q.Add("gap."+subject, undelivered("o"+id, i, i+1, cause.NATSOverflow, 1))
		q.Add("topic."+subject, &pool.TopicNotice{State: id})
		q.Add("feed", &pool.FeedNotice{Slot: shard.Slot(i % 3)})
	}
	if n := q.Stats().Waiting; n != 4*topics+3 || len(q.byKey) != n || len(q.told) != 0 {
		t.Errorf("%d notices wait, want %d; %d keys, %d ids", n, 4*topics+3, len(q.byKey), len(q.told))
	}
}

func TestAGapThatAnEarlierRunAnnouncedIsClosedByItself(t *testing.T) {
	q := New()
	before := closed("before", 1, 5)
	before.Before = true
	q.Add("g", closed("a", 2, 3))
	q.Add("g", before)
	q.Add("g", closed("b", 6, 7))
	wantQueue(t, q, "b closed reset 2-7", "before closed reset 1-5")
}

func TestWhatIsSaidOfASlotOfStarvationAndOfTheFeedIsNotMerged(t *testing.T) {
	q := New()
	q.Add("f", &pool.FeedNotice{State: slots.Live, Cause: cause.Starved})
	q.Add("f", &pool.FeedNotice{State: slots.Live})
	q.Add("f", &pool.CapacityNotice{Unplaced: 1})
	q.Add("f", &pool.CapacityNotice{})
	if n := q.Stats().Waiting; n != 3 {
		t.Errorf("%d notices wait, want 3", n)
	}
}

func TestWhatNATSIsNotKnownToHaveIsKeptForTheNextRun(t *testing.T) {
	q := New()
	q.Add("t", &pool.TopicNotice{})
	q.Add("a", open("a", 1))
	q.Take()
	q.Take()
	q.Add("a", closed("a", 1, 6))
	q.Add("b", closed("b", 2, 3))
	q.Add("done", closed("done", 4, 5))
	q.Add("c", closed("c", 7, 8))
	q.Take() // the end of a is in hand, too, and in whatever order
	q.Take()
	q.Done(q.Take())

	next := New()
	next.Restore(q.Unsent())
	next.Add("a", closed("later", 8, 9)) // must not swallow the end of what was announced
	var got []string
	for n := next.Take(); n != nil; n = next.Take() {
		got = append(got, describe(n))
	}
	slices.Sort(got)
	want := []string{"a closed reset 1-6", "b closed reset 2-3", "c closed reset 7-8", "later closed reset 8-9"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Those of one topic are merged when they are restored: one with the first cause and the last id.
func TestWhatIsInHandIsLeftInItsOrder(t *testing.T) {
	q := New()
	for i := range 20 {
		n := closed(strconv.Itoa(i), i, i+1)
		if i > 0 {
			n.Cause = cause.Restart
		}
		q.Add("a", n)
		q.Take()
	}
	next := New()
	next.Restore(q.Unsent())
	wantQueue(t, next, "19 closed reset 0-20")
}
