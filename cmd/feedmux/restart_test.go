package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"feedmux/internal/sim/twitch"
)

// keepEvery is how far before a crash its gap may begin.
const keepEvery = 5 * time.Second

// restarting is the configuration of a daemon that is started more than once.
func restarting(bus, upstream string, topics, perConnection int, dials string) string {
	return fmt.Sprintf(`
[nats]
url = "nats://%s"
[http]
listen = ""
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://%s"
topics = [%s]
[feed.limits]
topics_per_connection = %d
[feed.dial]
rate = "%s"
[feed.backoff]
base = "10ms"
max = "50ms"
`, bus, upstream, manyTopics(topics), perConnection, dials)
}

// TestARestartIsAGapThatEndsWithConfirmation: the gap of each topic begins with the last frame of the run before, goes on
// over as many restarts as there are, and is announced as closed once.
func TestARestartIsAGapThatEndsWithConfirmation(t *testing.T) {
	t.Parallel()
	const topics = 20
	var o twitch.PubSubOptions
	o.Seed, o.Rate, o.Record = 6, 1000, true
	up, address := upstream(t, o)
	bus := quietNATS(t, server.Options{})
	s := subscribe(t, "nats://"+bus)
	text, dir := restarting(bus, address, topics, 10, "20/1s"), t.TempDir()

	d, end := startDaemonIn(t, text, dir)
	eventually(t, "all topics", func() bool { return confirmed(t, d) == topics })
	eventually(t, "some events", func() bool { return s.received() > 500 })
	stopping := time.Now()
	end()
	stopped := time.Now()
	if gaps := s.closed(); len(gaps) > 0 {
		t.Errorf("a gap is closed at the end: %+v", gaps[0])
	}

	// The next run cannot connect, so that its readers are told of an open gap; the third one can.
	up.SetRefuseStatus(503)
	_, end = startDaemonIn(t, text, dir)
	open := func() (gaps []gapNotice) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.DeleteFunc(slices.Clone(s.gaps), func(g gapNotice) bool { return g.Phase != "open" })
	}
	eventually(t, "open gaps", func() bool { return len(topicsOf(open())) == topics })
	end()
	up.SetRefuseStatus(0)
	again := time.Now()
	d, _ = startDaemonIn(t, text, dir)
	eventually(t, "the end of all gaps", func() bool { return len(topicsOf(s.closed())) == topics })
	eventually(t, "all topics", func() bool { return confirmed(t, d) == topics })

	begun := make(map[string]gapNotice)
	for _, g := range open() {
		if other, twice := begun[g.Topic]; twice {
			t.Errorf("announced as open twice: %+v and %+v", other, g)
		}
		begun[g.Topic] = g
	}
	gaps := s.closed()
	if len(gaps) != topics {
		t.Errorf("%d gaps were closed, want %d", len(gaps), topics)
	}
	for _, g := range gaps {
		if g.ID != begun[g.Topic].ID || !g.From.Equal(begun[g.Topic].From) {
			t.Errorf("closed is another gap than opened: %+v and %+v", g, begun[g.Topic])
		}
		if g.Cause != "restart" || g.At != "upstream" ||
			g.From.Before(stopping.Add(-slack)) || g.From.After(stopped.Add(slack)) || g.To.Before(again.Round(0)) {
			t.Errorf("stopped from %v to %v, started again at %v: %+v", stopping, stopped, again, g)
		}
	}
	up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
	s.allCameOrCovered(takeSent(t, up), upstreamGap)
	s.inOrder()
}

// TestACrashIsAGapFromTheLastTimeAlive: a process that is killed has no last words.
func TestACrashIsAGapFromTheLastTimeAlive(t *testing.T) {
	t.Parallel()
	const topics = 20
	var o twitch.PubSubOptions
	o.Seed, o.Rate, o.Record = 7, 1000, true
	up, address := upstream(t, o)
	bus := quietNATS(t, server.Options{})
	s := subscribe(t, "nats://"+bus)
	text, dir := restarting(bus, address, topics, 10, "20/1s"), t.TempDir()

	p := spawnFeedmux(t, text, dir)
	eventually(t, "what is kept of all topics", func() bool {
		for _, content := range stateFiles(t, dir) {
			if strings.Contains(content, `"confirmed":[`) && strings.Count(content, `"video-playback-by-id.`) == topics {
				return true
			}
		}
		return false
	})
	got := s.received()
	eventually(t, "more events", func() bool { return s.received() > got+500 })
	killed := time.Now()
	p.kill()
	again := time.Now()
	d, _ := startDaemonIn(t, text, dir)
	eventually(t, "the end of all gaps", func() bool { return len(topicsOf(s.closed())) == topics })
	eventually(t, "all topics", func() bool { return confirmed(t, d) == topics })
	gaps := s.closed()
	if len(gaps) != topics {
		t.Errorf("%d gaps were closed, want %d", len(gaps), topics)
	}
	for _, g := range gaps {
		if g.Cause != "restart" || g.At != "upstream" ||
			g.From.Before(killed.Add(-keepEvery-slack)) || g.From.After(killed.Add(slack)) || g.To.Before(again.Round(0)) {
			t.Errorf("killed at %v, started again at %v: %+v", killed, again, g)
		}
	}
	up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
	s.allCameOrCovered(takeSent(t, up), upstreamGap)
	s.inOrder()
}

// TestRestartingInALoopSpendsNothingExtra: however a process ends, the next one knows what was dialled.
func TestRestartingInALoopSpendsNothingExtra(t *testing.T) {
	t.Parallel()
	const (
		topics     = 4
		dials, per = 2, time.Second
		restarts   = 6
	)
	var o twitch.PubSubOptions
	o.Seed, o.TopicsPerConnection = 8, 1
	up, address := upstream(t, o)
	bus := quietNATS(t, server.Options{})
	text, dir := restarting(bus, address, topics, 1, fmt.Sprintf("%d/%s", dials, per)), t.TempDir()
	for i := range restarts {
		p := spawnFeedmux(t, text, dir)
		dialled := len(up.Conns())
		if i > 0 { // the first is killed before it has dialled, perhaps
			eventually(t, "a dial", func() bool { return len(up.Conns()) > dialled })
		}
		if i%2 == 0 {
			p.kill()
		} else {
			p.stop()
		}
	}
	d, _ := startDaemonIn(t, text, dir)
	eventually(t, "all topics", func() bool { return confirmed(t, d) == topics })
	if n := len(up.Conns()); n < topics+restarts-1 {
		t.Errorf("%d dials", n)
	}
	keptTheBudget(t, up, dials, per, topics)
}

// TestTheStateDirectoryIsOneDaemons: a second process says whose it is, and fails at run time, not in its configuration.
func TestTheStateDirectoryIsOneDaemons(t *testing.T) {
	t.Parallel()
	text, dir := restarting("127.0.0.1:1", "127.0.0.1:1", 1, 1, "1/1s"), t.TempDir()
	first := spawnFeedmux(t, text, dir)
	eventually(t, "the first one's start", func() bool { return strings.Contains(first.stderr(), "msg=plan") })
	second := spawnFeedmux(t, text, dir)
	<-second.ended
	said := second.stderr()
	if code := second.state.ExitCode(); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	pid := strconv.Itoa(first.cmd.Process.Pid)
	for _, want := range []string{"feedmux: ", dir, "another feedmux runs with this state directory", "process " + pid} {
		if !strings.Contains(said, want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%q is not in the one line %q", want, said)
		}
	}
	first.kill()
	third := spawnFeedmux(t, text, dir)
	eventually(t, "the third one's start", func() bool { return strings.Contains(third.stderr(), "msg=plan") })
}
