package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"feedmux/internal/sim/twitch"
)

// mostOpen is how many of the connections that pick chooses were open at a time.
func mostOpen(conns []twitch.ConnRecord, pick func(twitch.ConnRecord) bool) (most int) {
	conns = slices.DeleteFunc(slices.Clone(conns), func(c twitch.ConnRecord) bool { return !pick(c) })
	for _, c := range conns {
		open := 0
		for _, other := range conns {
			if !other.Accepted.After(c.Accepted) && (other.Ended.IsZero() || other.Ended.After(c.Accepted)) {
				open++
			}
		}
		most = max(most, open)
	}
	return most
}

// TestFeedsShareAnAccount: cap and dial budget hold over both together, and each keeps to its share.
func TestFeedsShareAnAccount(t *testing.T) {
	t.Parallel()
	const (
		shareA, shareB, room = 3, 1, 5
		dials, per           = 4, time.Second
		total                = (shareA + shareB) * room
	)
	var o twitch.PubSubOptions
	o.Seed, o.Connections, o.TopicsPerConnection = 9, shareA+shareB, room
	up, address := upstream(t, o)
	d, _ := startDaemon(t, fmt.Sprintf(`
[nats.embedded]
listen = ""
[http]
listen = "127.0.0.1:0"
[account.both]
connections = %d
dial_rate = "%d/%s"
[[feed]]
name = "a"
protocol = "twitch-pubsub"
url = "ws://%s"
account = "both"
topics = [%s]
[feed.limits]
connections = %d
topics_per_connection = %d
[feed.backoff]
base = "10ms"
[[feed]]
name = "b"
protocol = "twitch-pubsub"
url = "ws://%s"
account = "both"
topics = [%s]
[feed.limits]
connections = %d
topics_per_connection = %d
[feed.backoff]
base = "10ms"
`, shareA+shareB, dials, per, address, manyTopics(2*shareA*room), shareA, room,
		address, strings.ReplaceAll(manyTopics(2*shareB*room), "video-playback-by-id", "raid"), shareB, room))
	all := func() bool { return confirmed(t, d) == total }
	eventually(t, "all topics that have room", all)
	for range 3 {
		n := len(up.Conns())
		if up.ResetAll() != shareA+shareB {
			t.Fatal("not all connections are open")
		}
		eventually(t, "new connections", func() bool { return len(up.Conns()) == n+shareA+shareB })
		eventually(t, "all topics again", all)
	}
	keptTheBudget(t, up, dials, per, shareA+shareB)
	for prefix, share := range map[string]int{"video-playback-by-id.": shareA, "raid.": shareB} {
		most := mostOpen(up.Conns(), func(c twitch.ConnRecord) bool {
			return len(c.Listens) > 0 && strings.HasPrefix(c.Listens[0].Topic, prefix)
		})
		if most != share {
			t.Errorf("%s: %d connections at a time, its share is %d", prefix, most, share)
		}
	}
	if n := metric(t, d, "feedmux_account_connections", `account="both"`); n != shareA+shareB {
		t.Errorf("the account has %v connections", n)
	}
}

// TestAReserveMakesAReconnectLossless: with a connection kept back, a slot that is asked to move loses and repeats nothing,
// though the upstream goes on sending on the old connection until it has answered the Close.
func TestAReserveMakesAReconnectLossless(t *testing.T) {
	t.Parallel()
	const connections, room = 3, 5 // of which one is the reserve
	const topics = (connections - 1) * room
	var o twitch.PubSubOptions
	o.Seed, o.Connections, o.TopicsPerConnection, o.Record = 10, connections, room, true
	o.CloseDelay = 200 * time.Millisecond
	up, address := upstream(t, o)
	bus := quietNATS(t, server.Options{})
	s := subscribe(t, "nats://"+bus)
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
[feed.limits]
connections = %d
topics_per_connection = %d
reserve = 1
[feed.dial]
rate = "20/1s"
[feed.backoff]
base = "10ms"
`, bus, address, manyTopics(topics), connections, room))
	eventually(t, "all topics", func() bool { return confirmed(t, d) == topics })
	up.Change(func(o *twitch.PubSubOptions) { o.Rate = 2000 })
	for i := range 2 * (connections - 1) {
		n := s.received()
		eventually(t, "events", func() bool { return s.received() > n+200 })
		old := up.Conns()[i]
		if !up.Reconnect(old.ID) {
			t.Fatalf("connection %d cannot be asked", old.ID)
		}
		eventually(t, "the end of the old connection", func() bool { return !up.Conns()[i].Ended.IsZero() })
		if why := up.Conns()[i].Why; why != "Close from the client" {
			t.Errorf("connection %d ended by: %s", old.ID, why)
		}
	}
	up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
	var sent []twitch.SentEvent
	twice := make(map[string]int)
	eventually(t, "every event", func() bool { // the record of what was sent may be a moment behind what came
		more := takeSent(t, up)
		for _, e := range more {
			twice[fmt.Sprint(e.Topic, " ", e.N)]++
		}
		sent = append(sent, more...)
		return len(s.missing(sent)) == 0 && len(twice) >= s.received()
	})
	s.inOrder()
	if n := len(sent) - len(twice); n == 0 {
		t.Error("no event came on two connections: nothing was to be lost or repeated")
	} else {
		t.Logf("%d events, %d of them on two connections", len(twice), n)
	}
	if len(twice) != s.received() {
		t.Errorf("%d events came, %d were sent", s.received(), len(twice))
	}
	if gaps := s.closed(); len(gaps) > 0 {
		t.Errorf("%d gaps, such as %+v", len(gaps), gaps[0])
	}
	if most := up.MaxOpen(); most != connections {
		t.Errorf("%d sockets at a time, want %d: the reserve is there to be used", most, connections)
	}
	if v := up.Violations(); len(v) > 0 {
		t.Errorf("rules broken: %v", v)
	}
}

// tokenFile is a file that is replaced at a stroke, as those who care do it.
type tokenFile struct {
	t    *testing.T
	path string
}

func newTokenFile(t *testing.T, token string) tokenFile {
	f := tokenFile{t, filepath.Join(t.TempDir(), "token")}
	f.set(token)
	return f
}

func (f tokenFile) set(token string) {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", []byte(token+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

// TestADeadCredentialCostsOneDialForEachToken: all slots park after one refusal, and a new token is tried once for all.
func TestADeadCredentialCostsOneDialForEachToken(t *testing.T) {
	t.Parallel()
	const connections, room = 3, 5
	const topics = connections * room
	var o twitch.PubSubOptions
	o.Seed, o.TopicsPerConnection, o.Token = 11, room, "third"
	up, address := upstream(t, o)
	up.SetRefuseStatus(401)
	bus := quietNATS(t, server.Options{})
	s := subscribe(t, "nats://"+bus)
	token := newTokenFile(t, "first")
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
[feed.auth]
file = %q
[feed.limits]
connections = %d
topics_per_connection = %d
hold = "100ms"
[feed.dial]
rate = "100/1s"
[feed.backoff]
base = "1ms"
max = "10ms"
`, bus, address, strings.ReplaceAll(manyTopics(topics), "video-playback-by-id", "whispers"), token.path, connections, room))
	parked := func() bool { return metric(t, d, "feedmux_connections", `state="parked"`) == connections }
	// That something does not happen can only be waited for: many backoffs long, here.
	stayParked := func(dials int) {
		t.Helper()
		eventually(t, "a dial", func() bool { return len(up.Conns()) == dials })
		eventually(t, "all slots parked", parked)
		time.Sleep(500 * time.Millisecond)
		if n := len(up.Conns()); n != dials || !parked() {
			t.Fatalf("%d dials, want %d", n, dials)
		}
	}
	stayParked(1)
	_, status := get(t, d, "/api/status")
	if !strings.Contains(status, `"state":"parked"`) || !strings.Contains(status, `"last_cause":"auth"`) {
		t.Errorf("status: %s", status)
	}
	eventually(t, "a notice", func() bool {
		return slices.ContainsFunc(s.feedNotices(), func(n string) bool {
			return strings.Contains(n, `"state":"parked"`) && strings.Contains(n, `"cause":"auth"`)
		})
	})

	token.set("second") // is no better
	stayParked(2)

	up.SetRefuseStatus(0)
	token.set("third")
	eventually(t, "all topics", func() bool { return confirmed(t, d) == topics })
	conns := up.Conns()
	if len(conns) != 2+connections {
		t.Fatalf("%d dials, want %d", len(conns), 2+connections)
	}
	for _, later := range conns[3:] {
		if later.Accepted.Before(conns[2].Upgraded) {
			t.Error("more than one slot tried the new token")
		}
	}

	// The token dies while its connection lives: its topics are asked for there again, with the next one.
	first := conns[2]
	revoked := first.Topics[:2]
	up.Change(func(o *twitch.PubSubOptions) { o.Token = "fourth" })
	asks := len(first.Asks)
	if !up.Revoke(first.ID, revoked...) {
		t.Fatal("nothing can be revoked")
	}
	refused := func() bool { return metric(t, d, "feedmux_topics", `state="refused"`) == float64(len(revoked)) }
	eventually(t, "refused topics", refused)
	if n := confirmed(t, d); n != topics-len(revoked) {
		t.Errorf("%d topics are confirmed", n)
	}
	token.set("fourth")
	eventually(t, "all topics again", func() bool { return confirmed(t, d) == topics })
	conns = up.Conns()
	if len(conns) != 2+connections || !conns[2].Ended.IsZero() {
		t.Errorf("%d dials; the connection ended by %q", len(conns), conns[2].Why)
	}
	var again []string
	for _, ask := range conns[2].Asks[asks:] {
		if ask.Type == "LISTEN" && ask.Token && ask.Error == "" {
			again = append(again, ask.Topics...)
		}
	}
	if slices.Sort(again); !slices.Equal(again, revoked) {
		t.Errorf("asked again: %v, revoked: %v", again, revoked)
	}
	if v := up.Violations(); len(v) > 0 {
		t.Errorf("rules broken: %v", v)
	}
}
