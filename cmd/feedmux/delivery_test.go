package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"feedmux/internal/daemon"
	"feedmux/internal/sim/twitch"
)

// confirmEvery is how far back a delivery gap may reach: the time between two flushes that NATS confirms.
const confirmEvery = time.Second

// delivering is a daemon that has all of its topics and publishes on a NATS server that can be killed.
type delivering struct {
	up     *twitch.PubSub
	nats   *natsProcess
	s      *subscriber
	d      *daemon.Daemon
	topics []string
}

// deliver starts one, with so much buffer.
func deliver(t *testing.T, buffer string, change func(o *twitch.PubSubOptions)) *delivering {
	t.Helper()
	const topics = 20
	var o twitch.PubSubOptions
	o.Seed, o.Record, o.TopicsPerConnection = 5, true, topics/2
	change(&o)
	x := &delivering{nats: startNATS(t)}
	up, address := upstream(t, o)
	x.up, x.s = up, subscribe(t, x.nats.url())
	x.d, _ = startDaemon(t, fmt.Sprintf(`
[nats]
url = "%s"
name = "%s"
buffer = "%s"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://%s"
topics = [%s]
[feed.limits]
topics_per_connection = %d
[feed.dial]
rate = "10/1s"
[feed.backoff]
base = "10ms"
`, x.nats.url(), gated, buffer, address, manyTopics(topics), topics/2))
	eventually(t, "all topics", func() bool { return confirmed(t, x.d) == topics })
	for topic := range up.Listening() {
		x.topics = append(x.topics, topic)
	}
	eventually(t, "NATS", x.connected(t))
	return x
}

func (x *delivering) connected(t *testing.T) func() bool {
	return func() bool { return metric(t, x.d, "feedmux_nats_connected") == 1 }
}

func (x *delivering) rate(n float64) { x.up.Change(func(o *twitch.PubSubOptions) { o.Rate = n }) }

// happened is how many events there were so far.
func (x *delivering) happened() (n uint64) {
	for _, topic := range x.topics {
		n += x.up.Happened(topic)
	}
	return n
}

// more waits until n more events have happened.
func (x *delivering) more(t *testing.T, n uint64) {
	t.Helper()
	want := x.happened() + n
	eventually(t, fmt.Sprintf("%d more events", n), func() bool { return x.happened() >= want })
}

// neverNoticed checks that the upstream saw nothing of the trouble behind feedmux.
func (x *delivering) neverNoticed(t *testing.T) {
	t.Helper()
	for _, c := range x.up.Conns() {
		if !c.Ended.IsZero() {
			t.Errorf("connection %d ended: %s", c.ID, c.Why)
		}
	}
	if v := x.up.Violations(); len(v) > 0 {
		t.Errorf("rules broken: %v", v)
	}
	if gaps := slices.DeleteFunc(x.s.closed(), deliveryGap); len(gaps) > 0 {
		t.Errorf("%d gaps at the upstream, such as %+v", len(gaps), gaps[0])
	}
}

// TestWhatNATSTookWithItIsInsideTheDeliveryGap: NATS hangs under load, is killed, and comes back on the same port.
// Whatever is missing then is announced, and nothing from before the last flush that NATS had confirmed.
func TestWhatNATSTookWithItIsInsideTheDeliveryGap(t *testing.T) {
	t.Parallel()
	x := deliver(t, "16MiB", func(*twitch.PubSubOptions) {})
	x.rate(2000)
	// Two times in a row, so that a gap is also that of its own break, and not of an earlier one.
	var sent []twitch.SentEvent
	for range 2 {
		begin := time.Now()
		eventually(t, "a while of delivery", func() bool { return time.Since(begin) > 2*confirmEvery })
		hung := time.Now()
		x.nats.signal(syscall.SIGSTOP) // so it is certain that something is lost
		x.more(t, 200)
		x.nats.kill()
		killed := time.Now()
		x.more(t, 1000)
		before := len(x.s.closed())
		x.nats.start()
		eventually(t, "NATS again", x.connected(t))
		x.more(t, 500)
		eventually(t, "delivery gaps", func() bool { return len(x.s.closed()) >= before+len(x.topics) })

		sent = append(sent, takeSent(t, x.up)...)
		missing := x.s.allCameOrCovered(sent, deliveryGap)
		inTime := 0
		for _, e := range missing {
			if e.At.After(hung) && e.At.Before(killed) {
				inTime++
			}
		}
		if inTime == 0 {
			t.Fatal("nothing was lost: NATS was not hit")
		}
		t.Logf("%d of %d events are missing, all announced", len(missing), len(sent))
		gaps := x.s.closed()[before:]
		for _, g := range gaps {
			if g.Cause != "nats_broke" || g.Dropped != 0 || g.To.Before(g.From) {
				t.Errorf("%+v", g)
			}
			if g.From.Before(hung.Add(-confirmEvery - slack)) {
				t.Errorf("a gap begins %v before NATS hung: it confirms each %v; %+v", hung.Sub(g.From), confirmEvery, g)
			}
			if g.To.After(killed.Add(slack)) {
				t.Errorf("a gap ends %v after NATS was killed; %+v", g.To.Sub(killed), g)
			}
		}
		if topics := topicsOf(gaps); len(topics) != len(gaps) {
			t.Errorf("%d gaps for %d topics", len(gaps), len(topics))
		}
	}
	x.s.allCameOrCovered(x.quiet(t, sent), deliveryGap)
	x.s.inOrder()
	x.neverNoticed(t)
}

// quiet ends the events, and returns those that were sent beside the ones given, once feedmux has read them all. None was
// withheld: all topics were listened to all the time.
func (x *delivering) quiet(t *testing.T, sent []twitch.SentEvent) []twitch.SentEvent {
	t.Helper()
	x.rate(0)
	eventually(t, "everything that happened, sent and read", func() bool {
		sent = append(sent, takeSent(t, x.up)...)
		n := x.happened()
		return uint64(len(sent)) == n && metric(t, x.d, "feedmux_events_total") == float64(n)
	})
	return sent
}

// dropped is what the delivery gaps say was dropped, by topic.
func (x *delivering) dropped() (byTopic map[string]uint64, sum uint64) {
	byTopic = make(map[string]uint64)
	for _, g := range x.s.closed() {
		byTopic[g.Topic] += g.Dropped
		sum += g.Dropped
	}
	return byTopic, sum
}

// TestAFullBufferSaysExactlyWhatItDropped: NATS is away for a while, and the buffer is the smallest there is.
func TestAFullBufferSaysExactlyWhatItDropped(t *testing.T) {
	t.Parallel()
	x := deliver(t, "64KiB", func(o *twitch.PubSubOptions) {
		o.WSPing, o.WSPong = 100*time.Millisecond, time.Second
	})
	// NATS dies while nothing is on its way: so what is missing afterwards was dropped, and nothing else.
	x.rate(200)
	x.more(t, 100)
	sent := x.quiet(t, nil)
	eventually(t, "the first events", func() bool { return len(x.s.missing(sent)) == 0 })
	x.nats.kill()
	x.rate(2000)
	x.more(t, 6000)
	x.nats.start()
	eventually(t, "NATS again", x.connected(t))
	x.more(t, 2000)
	sent = x.quiet(t, sent)
	counted := uint64(metric(t, x.d, "feedmux_dropped_total", `reason="buffer_full"`))
	if all := uint64(metric(t, x.d, "feedmux_dropped_total")); all != counted {
		t.Errorf("%d were dropped, %d of them because the buffer was full", all, counted)
	}
	eventually(t, fmt.Sprintf("notices of %d dropped events", counted), func() bool {
		_, announced := x.dropped()
		return announced >= counted && len(x.s.missing(sent)) <= int(counted)
	})
	byTopic, announced := x.dropped()
	missing := x.s.missing(sent)
	t.Logf("%d of %d events were dropped", counted, len(sent))
	if counted == 0 || announced != counted || uint64(len(missing)) != counted {
		t.Errorf("counted %d, announced %d, missing %d", counted, announced, len(missing))
	}
	overflow := func(g gapNotice) bool { return deliveryGap(g) && g.Cause == "nats_overflow" }
	x.s.allCameOrCovered(sent, overflow)
	for _, e := range missing {
		byTopic[e.Topic]--
	}
	for topic, n := range byTopic {
		if n != 0 {
			t.Errorf("%s: announced is another number than missing, by %d", topic, int64(n))
		}
	}
	x.s.inOrder()
	x.neverNoticed(t)
}

// TestAPausedNATSNeverStopsAReader: NATS takes nothing and does not hang up, with the smallest buffer. The upstream's
// pings are answered all the time, which only somebody can do who reads.
func TestAPausedNATSNeverStopsAReader(t *testing.T) {
	t.Parallel()
	const pause, answer = 6 * time.Second, 500 * time.Millisecond // longer than a write may take
	x := deliver(t, "64KiB", func(o *twitch.PubSubOptions) {
		o.WSPing, o.WSPong, o.SendBuffer = 50*time.Millisecond, answer, 16<<10
		o.Record, o.Backlog = false, -1 // the pongs say how long a reader slept
	})
	x.rate(20_000) // much more than the kernel keeps for a reader that sleeps
	x.more(t, 10_000)
	x.nats.signal(syscall.SIGSTOP)
	begin := time.Now()
	seen, progress := x.happened(), metric(t, x.d, "feedmux_events_total")
	eventually(t, "the end of the pause", func() bool {
		time.Sleep(answer)
		now := metric(t, x.d, "feedmux_events_total")
		if now == progress {
			t.Errorf("nothing was read in %v, %v into the pause", answer, time.Since(begin))
		}
		progress = now
		return time.Since(begin) > pause
	})
	if n := metric(t, x.d, "feedmux_dropped_total", `reason="buffer_full"`); n == 0 {
		t.Error("the buffer was never full: the pause tested nothing")
	}
	t.Logf("%d events happened in the pause", x.happened()-seen)
	x.nats.signal(syscall.SIGCONT)
	x.rate(100)
	eventually(t, "NATS again", x.connected(t))
	got := x.s.received()
	eventually(t, "events again", func() bool { return x.s.received() > got })
	eventually(t, "a notice of each event that was dropped", func() bool {
		_, announced := x.dropped()
		return announced > 0 && float64(announced) == metric(t, x.d, "feedmux_dropped_total", `reason="buffer_full"`)
	})
	x.neverNoticed(t)
	if _, body := get(t, x.d, "/api/status"); !strings.Contains(body, `"connected":true`) {
		t.Errorf("status: %.300s", body)
	}
}
