package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"feedmux/internal/sim/twitch"
)

// settled waits until n connections are open that are older than age.
func settled(t *testing.T, up *twitch.PubSub, n int, age time.Duration) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d connections older than %v", n, age), func() bool {
		old := 0
		for _, c := range up.Conns() {
			if c.Ended.IsZero() && !c.Upgraded.IsZero() && time.Since(c.Upgraded) > age {
				old++
			}
		}
		return old == n
	})
}

// TestAllConnectionsCutAtOnceAreBackInTime: every topic is confirmed again within connections ÷ rate + 1 s, inside cap and
// budget, and what was lost lies in announced gaps.
func TestAllConnectionsCutAtOnceAreBackInTime(t *testing.T) {
	t.Parallel()
	const (
		connections, topics = 10, 500
		dials, per          = 5, time.Second
		settle              = 2 * time.Second
		within              = connections*per/dials + time.Second
	)
	var o twitch.PubSubOptions
	o.Seed, o.Rate, o.Record = 2, 2000, true
	up, address := upstream(t, o)
	bus := quietNATS(t, server.Options{})
	d, _ := startDaemon(t, fmt.Sprintf(`
[nats]
url = "nats://%s"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://%s"
topics = [%s]
[feed.dial]
rate = "%d/%s"
[feed.backoff]
base = "1s"
settle = "%s"
`, bus, address, manyTopics(topics), dials, per, settle))
	s := subscribe(t, "nats://"+bus)
	// A connection is live, and so begins to settle, some moments after its 101.
	settled(t, up, connections, settle+500*time.Millisecond)
	eventually(t, "all topics", func() bool { return confirmed(t, d) == topics })

	cut := time.Now()
	if n := up.ResetAll(); n != connections {
		t.Fatalf("%d connections were cut", n)
	}
	eventually(t, "the end of all gaps", func() bool { return len(topicsOf(s.closed())) == topics })
	gaps := s.closed()
	if len(gaps) != topics {
		t.Errorf("%d gaps were announced as closed, want %d", len(gaps), topics)
	}
	listened := make(map[string]time.Time) // when a topic was first listened to after the cut
	for _, c := range up.Conns()[connections:] {
		for _, l := range c.Listens {
			if _, known := listened[l.Topic]; !known {
				listened[l.Topic] = l.From
			}
		}
	}
	slowest := time.Duration(0)
	for _, g := range gaps {
		slowest = max(slowest, g.To.Sub(cut))
		// The last frame came before the cut, and not long before it: 200 events a second come on each connection.
		if g.Cause != "reset" || g.At != "upstream" || g.From.After(cut.Add(slack)) || g.From.Before(cut.Add(-slack)) {
			t.Fatalf("cut at %v; %+v", cut, g)
		}
		if at := listened[g.Topic]; g.To.Before(at.Round(0)) {
			t.Fatalf("listened to at %v; %+v", at, g)
		}
	}
	if slowest > within {
		t.Errorf("the last topic was confirmed after %v, promised are %v", slowest, within)
	}
	t.Logf("all confirmed again after %v of %v", slowest, within)
	if n := metric(t, d, "feedmux_gaps_total", `cause="reset"`); n != topics {
		t.Errorf("%v gaps are counted", n)
	}

	up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
	sent := takeSent(t, up)
	s.allCameOrCovered(sent, upstreamGap)
	// What was sent just after a gap closed is within the slack of it, so nobody has waited for it yet.
	eventually(t, "every event that was sent after the cut", func() bool {
		return !slices.ContainsFunc(s.missing(sent), func(e twitch.SentEvent) bool { return e.At.After(cut.Add(slack)) })
	})
	s.inOrder()
	keptTheBudget(t, up, dials, per, connections)
}

// TestASilentConnectionIsNoticedInTime: within interval × (1 + jitter) + timeout, and not before a ping went unanswered.
func TestASilentConnectionIsNoticedInTime(t *testing.T) {
	t.Parallel()
	const (
		connections       = 4
		interval, timeout = time.Second, 500 * time.Millisecond
		within            = interval*11/10 + timeout
	)
	var o twitch.PubSubOptions
	o.Seed, o.TopicsPerConnection = 3, 5
	up, address := upstream(t, o)
	d, _ := startDaemon(t, fmt.Sprintf(`
[nats.embedded]
listen = ""
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://%s"
topics = [%s]
[feed.limits]
topics_per_connection = 5
[feed.dial]
rate = "10/1s"
[feed.ping]
interval = "%s"
jitter = 0.1
timeout = "%s"
[feed.backoff]
base = "10ms"
`, address, manyTopics(connections*5), interval, timeout))
	eventually(t, "all topics", func() bool { return confirmed(t, d) == connections*5 })
	// All have the rhythm of their pings, none has sent it at the moment: so each is in another phase of it.
	muted := make(map[int]time.Time)
	for _, c := range up.Conns()[:connections-1] {
		muted[c.ID] = time.Now()
		if !up.Mute(c.ID) {
			t.Fatalf("connection %d cannot be silenced", c.ID)
		}
	}
	eventually(t, "the end of those that were silenced", func() bool {
		for _, c := range up.Conns() {
			if c.Muted && c.Ended.IsZero() {
				return false
			}
		}
		return true
	})
	for _, c := range up.Conns() {
		at, silenced := muted[c.ID]
		if !silenced {
			continue
		}
		took := c.Ended.Sub(at)
		t.Logf("noticed after %v of %v", took, within)
		if took > within+slack {
			t.Errorf("connection %d: noticed after %v, promised are %v", c.ID, took, within)
		}
		if took < timeout-slack {
			t.Errorf("connection %d: given up after %v, before a ping can have gone unanswered for %v", c.ID, took, timeout)
		}
	}
	eventually(t, "all topics again", func() bool { return confirmed(t, d) == connections*5 })
	if n := metric(t, d, "feedmux_disconnects_total", `cause="ping_timeout"`); n != connections-1 {
		t.Errorf("%v disconnects by ping_timeout", n)
	}
	if v := up.Violations(); len(v) > 0 {
		t.Errorf("rules broken: %v", v)
	}
}

// TestAThousandReconnectsLeaveNothingBehind looks at a process of its own: what it holds after 1,100 reconnects is what it
// held after 100.
func TestAThousandReconnectsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("descriptors are counted in /proc")
	}
	const connections, topics = 5, 25
	var o twitch.PubSubOptions
	o.Seed, o.TopicsPerConnection, o.Rate = 4, topics/connections, 500
	up, address := upstream(t, o)
	p := spawnFeedmux(t, fmt.Sprintf(`
[nats.embedded]
listen = ""
[http]
listen = "127.0.0.1:0"
pprof = true
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://%s"
topics = [%s]
[feed.limits]
topics_per_connection = %d
connections = %d
subscribe_rate = "1000/1s"
[feed.dial]
rate = "1000/1s"
in_flight = %d
[feed.backoff]
base = "1ms"
max = "1ms"
settle = "1ms"
`, address, manyTopics(topics), topics/connections, connections, connections), t.TempDir())
	url := httpOf(t, p)
	calm := func() bool { return len(up.Listening()) == topics && up.Open() == connections }

	reconnect := func(n int) {
		t.Helper()
		for want := len(up.Conns()) + n; len(up.Conns()) < want; {
			eventually(t, "all connections", calm)
			if up.ResetAll() == 0 {
				t.Fatal("nothing to cut")
			}
		}
		eventually(t, "all connections", calm)
	}
	eventually(t, "all connections", calm)
	reconnect(100)
	before := holdingsOf(t, p, url)
	reconnect(1000)
	var after holdings
	eventually(t, "the heap is what it was, to 1 KiB for each reconnect", func() bool { // what is on its way may be large
		after = holdingsOf(t, p, url)
		return after.heap <= before.heap+1<<20
	})
	t.Logf("after 100: %+v, after 1,100: %+v", before, after)
	// Goroutines and descriptors come and go with HTTP and timers; a leak would be one for each reconnect, or each tenth.
	if after.goroutines > before.goroutines+20 {
		t.Errorf("goroutines grew from %d to %d", before.goroutines, after.goroutines)
	}
	if after.descriptors > before.descriptors+10 {
		t.Errorf("descriptors grew from %d to %d", before.descriptors, after.descriptors)
	}
	p.stop()
}

// httpOf waits until a feedmux process says where it answers HTTP.
func httpOf(t *testing.T, p *child) (url string) {
	t.Helper()
	said := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	eventually(t, "the address of HTTP", func() bool {
		url = said.FindString(p.stderr())
		return url != ""
	})
	return url
}

// read is the body of what a feedmux process answers.
func read(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

type holdings struct{ goroutines, descriptors, heap int }

// holdingsOf is what a process holds, as far as it is no garbage.
func holdingsOf(t *testing.T, p *child, url string) (h holdings) {
	t.Helper()
	number := func(text, pattern string) int {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("%s is not in %.200q", pattern, text)
		}
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	h.heap = number(read(t, url+"/debug/pprof/heap?gc=1&debug=1"), `# HeapAlloc = (\d+)`)
	h.goroutines = number(read(t, url+"/debug/pprof/goroutine?debug=1"), `total (\d+)`)
	open, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	h.descriptors = len(open)
	return h
}
