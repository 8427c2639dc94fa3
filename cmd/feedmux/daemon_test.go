package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"feedmux/internal/daemon"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/state"
)

// upstream is a simulated Twitch PubSub on a real socket of loopback.
func upstream(t *testing.T, o twitch.PubSubOptions) (s *twitch.PubSub, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = twitch.NewPubSub(o)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("simulator: %v", err)
		}
		if unfired := s.Unfired(); len(unfired) > 0 {
			t.Errorf("faults that were planned and did not happen: %v", unfired)
		}
	})
	return s, l.Addr().String()
}

// startDaemon runs a daemon until the test ends, or end is called.
func startDaemon(t *testing.T, text string) (d *daemon.Daemon, end func()) {
	t.Helper()
	return startDaemonIn(t, text, t.TempDir())
}

// eventually waits for what comes through real sockets, and so in real time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func get(t *testing.T, d *daemon.Daemon, path string) (status int, body string) {
	t.Helper()
	r, err := http.Get("http://" + d.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// TestFromTOMLToNATS is the whole path over real sockets: what the upstream sent is what an ordinary subscriber gets.
func TestFromTOMLToNATS(t *testing.T) {
	const topics = 120
	var o twitch.PubSubOptions
	o.Seed = 1
	up, address := upstream(t, o)
	d, end := startDaemon(t, fmt.Sprintf(`
[nats.embedded]
listen = "127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://%s"
topics = [%s]
[feed.dial]
rate = "50/1s"
[feed.backoff]
base = "10ms"
`, address, manyTopics(topics)))

	nc, err := nats.Connect("nats://" + d.NATSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var mu sync.Mutex
	got := make(map[string][]uint64)
	gaps := make(map[string]int)
	subscribe := func(subject string, take func(m *nats.Msg)) {
		t.Helper()
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			mu.Lock()
			defer mu.Unlock()
			take(m)
		}); err != nil {
			t.Fatal(err)
		}
	}
	subscribe("feed.twitch.>", func(m *nats.Msg) {
		n, ok := twitch.EventNumber(m.Data)
		if !ok {
			t.Errorf("%s: no event: %q", m.Subject, m.Data)
		}
		got[m.Subject] = append(got[m.Subject], n)
	})
	subscribe("feedmux.gap.twitch.>", func(m *nats.Msg) {
		var g struct{ Phase, Cause, Subject string }
		if err := json.Unmarshal(m.Data, &g); err != nil || g.Cause != "reset" {
			t.Errorf("%s: %s (%v)", m.Subject, m.Data, err)
		}
		if g.Phase == "closed" {
			gaps[g.Subject]++
		}
	})
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}

	ready := func() bool { status, _ := get(t, d, "/readyz"); return status == http.StatusOK }
	eventually(t, "readiness", ready)
	up.Change(func(o *twitch.PubSubOptions) { o.Rate = 2000 })
	received := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, list := range got {
			n += len(list)
		}
		return n
	}
	eventually(t, "1,000 events", func() bool { return received() >= 1000 })

	// One connection is cut: its topics are dark, say so, and come back.
	cut := up.Conns()[0]
	up.Reset(cut.ID)
	eventually(t, "the end of the gaps", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(gaps) == len(cut.Topics)
	})
	eventually(t, "readiness after the cut", ready)
	up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
	// What was on its way on the connection that was cut may be lost, nothing else. The upstream may still be writing.
	eventually(t, "the last events", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for i := range topics {
			topic := fmt.Sprintf("video-playback-by-id.%d", i+1)
			subject := "feed.twitch." + topic
			runs, list := up.Sent(topic), got[subject]
			if len(runs) > 0 && gaps[subject] == 0 && (len(list) == 0 || list[len(list)-1] != runs[len(runs)-1].To) {
				return false
			}
		}
		return true
	})

	mu.Lock()
	for subject, list := range got {
		missing := 0
		for i := 1; i < len(list); i++ {
			if list[i] <= list[i-1] {
				t.Errorf("%s: event %d after %d", subject, list[i], list[i-1])
			} else if list[i] != list[i-1]+1 {
				missing++
			}
		}
		if missing > gaps[subject] {
			t.Errorf("%s: %d holes, %d gaps announced", subject, missing, gaps[subject])
		}
	}
	mu.Unlock()

	_, body := get(t, d, "/api/status?ledger=1")
	if !json.Valid([]byte(body)) || !strings.Contains(body, `"wanted":120`) || !strings.Contains(body, `"confirmed":120`) {
		t.Errorf("status: %.400s", body)
	}
	_, metrics := get(t, d, "/metrics")
	for _, want := range []string{
		`feedmux_topics{feed="twitch",state="confirmed"} 120`,
		`feedmux_disconnects_total{cause="reset",feed="twitch"} 1`,
		`feedmux_connections{feed="twitch",state="live"} 3`,
		`feedmux_nats_connected 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	if status, body := get(t, d, "/healthz"); status != http.StatusOK {
		t.Errorf("health: %d %s", status, body)
	}

	end()
	eventually(t, "the last connection's end", func() bool { return up.Open() == 0 })
	for _, c := range up.Conns() {
		if c.ID != cut.ID && c.Why != "Close from the client" {
			t.Errorf("connection %d ended by: %s", c.ID, c.Why)
		}
	}
	if v := up.Violations(); len(v) > 0 {
		t.Errorf("rules broken: %v", v)
	}
}

// An upstream, a token or NATS that is missing is no reason to end.
func TestTheDaemonRunsWithoutUpstreamTokenAndNATS(t *testing.T) {
	d, end := startDaemon(t, `
[nats]
url = "nats://127.0.0.1:1"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://127.0.0.1:1"
topics = ["raid.1", "whispers.1"]
[feed.auth]
file = "missing"
[feed.dial]
rate = "100/1s"
[feed.backoff]
base = "1ms"
max = "10ms"
`)
	eventually(t, "some failed dials", func() bool {
		_, metrics := get(t, d, "/metrics")
		return strings.Contains(metrics, `feedmux_dials_total{feed="twitch",result="refused"}`)
	})
	if status, body := get(t, d, "/healthz"); status != http.StatusOK {
		t.Errorf("health: %d %s", status, body)
	}
	if status, _ := get(t, d, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready with nothing confirmed")
	}
	end()
}

func TestTwoDaemonsCannotShareAStateDirectory(t *testing.T) {
	d, _ := startDaemon(t, "[nats.embedded]\nlisten = \"\"\n[http]\nlisten = \"\"\n"+
		"[[feed]]\nname = \"a\"\nprotocol = \"twitch-pubsub\"\nurl = \"ws://127.0.0.1:1\"\ntopics = [\"raid.1\"]\n")
	if _, err := newDaemon(daemon.Options{Config: d.Config, Dir: d.Dir, Log: d.Log}); !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), d.Dir) {
		t.Errorf("got %v, want an error that names the directory", err)
	}
}

func TestTheDemoShowsTheWholePath(t *testing.T) {
	code, out, errs := feedmux(t, "demo", "--for", "6s", "--topics", "600", "--cut-every", "1s")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	for _, want := range []string{"500 placed, 100 unplaced", " confirmed ", "gap: closed for ", "published on NATS and received"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}
