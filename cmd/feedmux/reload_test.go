package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"feedmux/internal/control/local"
	"feedmux/internal/sim/kite"
	"feedmux/internal/sim/twitch"
)

func TestWhatCountsNowCountsAtOnce(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{})
	const small = "limits.connections = 2\nlimits.topics_per_connection = 2\n"
	o := runOperated(t, t.TempDir(), t.TempDir(), twitchFeed("a", address, `"raid.1", "raid.2"`, small))
	listens(t, up, "raid.1 raid.2")
	conns := func(n int) {
		t.Helper()
		if got := len(up.Conns()); got != n {
			t.Errorf("%d connections were dialled, want %d", got, n)
		}
	}

	o.reload(twitchFeed("a", address, `"raid.1", "raid.3", "raid.4", "raid.5", "raid.6"`, small)) // topics
	o.confirms("a", 4, 5)
	listens(t, up, "raid.1 raid.3", "raid.4 raid.5")
	o.reload(twitchFeed("a", address, `"raid.1", "raid.3", "raid.4", "raid.5", { topic = "raid.6", priority = 1 }`, small)) // priority
	eventually(t, "a place for the one that is wanted most", func() bool { return strings.Contains(strings.Join(listening(up), " "), "raid.6") })
	o.confirms("a", 4, 5)
	conns(2)
	const wide = "limits.connections = 2\nlimits.topics_per_connection = 4\n"
	o.reload(twitchFeed("a", address, `"raid.1", "raid.3", "raid.4", "raid.5", "raid.6"`, wide)) // topics_per_connection
	o.confirms("a", 5, 5)

	o.reload(twitchFeed("a", address, `"raid.1", "raid.3"`, wide)) // placement: on one connection, or on the emptier one
	o.confirms("a", 2, 2)
	o.reload(twitchFeed("a", address, `"raid.1", "raid.3", "raid.7", "raid.8"`, wide+"placement = \"spread\"\n"))
	o.confirms("a", 4, 4)
	eventually(t, "two connections with two topics each", func() bool {
		lists := listening(up)
		return len(lists) == 2 && strings.Count(lists[0], " ") == 1 && strings.Count(lists[1], " ") == 1
	})

	body := twitchFeed("a", address, `"raid.1", "raid.3", "raid.7", "raid.8", "raid.9", "raid.10", "raid.11", "raid.12", "raid.13"`, wide)
	o.reload(body)
	o.confirms("a", 8, 9)
	if o.Log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("debug lines are logged before they are asked for")
	}
	o.reload("[log]\nlevel = \"debug\"\n" + body)
	if !o.Log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("the level of the log has not changed")
	}
	up.Change(func(o *twitch.PubSubOptions) { o.BadTopics = []string{"raid.9*"}; o.ResponseLoss = 1 })
	eventually(t, "readiness", func() bool { code, _ := get(t, o.Daemon, "/readyz"); return code == http.StatusOK })
	o.configure(strings.Replace(body, "raid.12", "raid.99", 1)) // never answered
	o.reloadAsItIs()
	eventually(t, "no readiness with 7 of 8", func() bool { code, _ := get(t, o.Daemon, "/readyz"); return code != http.StatusOK })
	put(t, o.path, strings.Replace("[nats.embedded]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\nready = 0.5\n"+body, "raid.12", "raid.99", 1))
	o.reloadAsItIs() // http.ready
	if code, _ := get(t, o.Daemon, "/readyz"); code != http.StatusOK {
		t.Errorf("readiness is %d though half is enough", code)
	}
}

func TestAShorterDwellEndsTurnsThatAreOver(t *testing.T) {
	t.Parallel()
	up, address := upstream(t, twitch.PubSubOptions{})
	const one = "overflow = \"turns\"\nlimits.connections = 1\nlimits.topics_per_connection = 1\n"
	o := runOperated(t, t.TempDir(), t.TempDir(), twitchFeed("a", address, `"raid.1", "raid.2"`, one))
	listens(t, up, "raid.1")
	o.reload(twitchFeed("a", address, `"raid.1", "raid.2"`, one+"dwell = \"1s\"\n"))
	listens(t, up, "raid.2")
}

func TestANewPlaceOfTheTokenIsUsedAtOnce(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{Token: "good"})
	dir := t.TempDir()
	put(t, filepath.Join(dir, "old"), "bad")
	put(t, filepath.Join(dir, "new"), "good")
	feed := func(file string) string {
		return twitchFeed("a", address, `"whispers.1", "raid.1"`, fmt.Sprintf("auth.file = %q\n", file))
	}
	o := runOperated(t, dir, t.TempDir(), feed("old"))
	eventually(t, "a refusal", func() bool { return o.status("a").Topics.Refused == 1 })
	if r := o.reload(feed("new")); len(r.Applied) != 1 || r.Applied[0].Key != "feed.a.auth.file" || len(r.Restart) > 0 {
		t.Errorf("%+v", r)
	}
	o.confirms("a", 2, 2)
	if n := len(up.Conns()); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAnotherModeIsAskedForWithoutAnotherConnection(t *testing.T) {
	k, address := exchange(t, kite.Options{Token: "good"})
	dir := t.TempDir()
	put(t, filepath.Join(dir, "token"), "good")
	feed := func(mode string) string {
		return fmt.Sprintf("[[feed]]\nname = \"k\"\nprotocol = \"kite\"\nurl = \"ws://%s\"\nauth.file = \"token\"\n"+
			"options = { api_key = \"key\" }\ntopics = [{ topic = \"408065\", mode = %q }]\n", address, mode)
	}
	o := runOperated(t, dir, t.TempDir(), feed("ltp"))
	mode := func(want kite.Mode) {
		t.Helper()
		eventually(t, fmt.Sprintf("mode %v", want), func() bool { c := k.Conns(); return len(c) == 1 && c[0].Instruments[408065] == want })
	}
	mode(kite.ModeLTP)
	o.reload(feed("full"))
	mode(kite.ModeFull)
}

func TestAListOfInstrumentsThatIsMuchShorterIsTakenByAReload(t *testing.T) {
	k, address := exchange(t, kite.Options{Token: "good"})
	dir := t.TempDir()
	put(t, filepath.Join(dir, "token"), "good")
	list := filepath.Join(dir, "instruments.csv")
	const head, infy = "instrument_token,tradingsymbol,exchange\n", "408065,INFY,NSE\n"
	put(t, list, head+infy+"884737,TATAMOTORS,NSE\n256265,NIFTY,NSE\n738561,RELIANCE,NSE\n")
	feed := "[[feed]]\nname = \"k\"\nprotocol = \"kite\"\nurl = \"ws://" + address + "\"\nauth.file = \"token\"\n" +
		"options = { api_key = \"key\", instruments = \"instruments.csv\" }\ntopics = [\"NSE:INFY\", \"NSE:NIFTY\"]\n"
	o := runOperated(t, dir, t.TempDir(), feed)
	o.confirms("k", 2, 2)

	put(t, list, head+infy)
	old := time.Now().Add(-time.Hour) // it was written long ago, and is all there
	if err := os.Chtimes(list, old, old); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a warning", func() bool { return o.logged("a reload takes it") })
	o.confirms("k", 2, 2)
	o.reloadAsItIs()
	eventually(t, "what the list no longer has", func() bool { return o.status("k").Topics.Refused == 1 })
	eventually(t, "the upstream to know", func() bool { c := k.Conns(); return len(c) == 1 && len(c[0].Instruments) == 1 })
}

func TestWhatCountsForTheNextLifeWaitsForIt(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{})
	topics := `"raid.1", "raid.2", "raid.3", "raid.4"`
	o := runOperated(t, t.TempDir(), t.TempDir(), twitchFeed("a", address, topics, ""))
	o.confirms("a", 4, 4)
	first := up.Conns()[0].ID
	changed := twitchFeed("a", address, topics, "limits.subscribe_batch = 2\nlimits.subscribe_rate = \"100/1s\"\nmax_message = \"4MiB\"\n"+
		"ping = { interval = \"100ms\", jitter = 0.0, timeout = \"100ms\" }\n")
	if r := o.reload(changed); len(r.NextLife) != 6 || len(r.Applied)+len(r.Restart) > 0 {
		t.Errorf("%+v", r)
	}
	eventually(t, "a slot that is out of date", func() bool { return o.status("a").Slots[0].Outdated })
	up.Oversize(first)
	eventually(t, "a message that is too long", func() bool { return o.status("a").Counters.Skipped["too_big"] == 1 })
	c := up.Conns()
	if len(c) != 1 || len(c[0].Pings) > 1 || len(c[0].Asks) != 1 {
		t.Errorf("the life that was there: %+v", c)
	}

	if err := o.Renew(t.Context(), "the operator", "a"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "pings of a new life", func() bool { c = up.Conns(); return len(c) == 2 && len(c[1].Pings) > 2 && !c[0].Ended.IsZero() })
	for _, ask := range c[1].Asks {
		if len(ask.Topics) > 2 {
			t.Errorf("asked for %d topics at once", len(ask.Topics))
		}
	}
	before := o.status("a").Counters
	up.Oversize(c[1].ID)
	eventually(t, "a long message that is an event", func() bool {
		s := o.status("a")
		return s.Counters.Events > before.Events && !s.Slots[0].Outdated
	})
	if n := o.status("a").Counters.Skipped["too_big"]; n != 1 {
		t.Errorf("%d messages were too long", n)
	}
}

// authority makes a certificate for loopback, and the text of its authority: itself.
func authority(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestAFileOfAuthoritiesIsReadAgainAtAReload(t *testing.T) {
	t.Parallel()
	certificate, good := authority(t)
	_, other := authority(t)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := twitch.NewPubSub(twitch.PubSubOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		up.Serve(ctx, tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	})
	t.Cleanup(func() { cancel(); serving.Wait() })

	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	put(t, ca, other)
	feed := strings.Replace(twitchFeed("a", plain.Addr().String(), `"raid.1"`, "tls.ca_file = \"ca.pem\"\nbackoff.max = \"20ms\"\n"), "ws://", "wss://", 1)
	o := runOperated(t, dir, t.TempDir(), feed)
	failures := func() uint64 { return o.status("a").Counters.Dials["tls"] }
	eventually(t, "failures of TLS", func() bool { return failures() > 2 })
	put(t, ca, good)
	before := failures()
	eventually(t, "more of them: nobody has read the file", func() bool { return failures() > before+2 })
	o.reload(feed)
	o.confirms("a", 1, 1)

	put(t, ca, "nothing of use")
	if r := o.reloadAsItIs(); len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "ca.pem") {
		t.Errorf("%+v", r)
	}
	if n := metric(t, o.Daemon, "feedmux_reload_success"); n != 0 {
		t.Errorf("feedmux_reload_success is %v after a broken ca_file", n)
	}
	o.confirms("a", 1, 1)
}

func TestWhatWaitsForARestartChangesNothingUntilThen(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{})
	other, elsewhere := upstream(t, twitch.PubSubOptions{})
	dir, stateDir := t.TempDir(), t.TempDir()
	o := runOperated(t, dir, stateDir, twitchFeed("a", address, `"raid.1"`, ""))
	listens(t, up, "raid.1")
	moved := twitchFeed("a", elsewhere, `"raid.1", "raid.2"`, "")
	for range 2 {
		if r := o.reload(moved); len(r.Restart) != 1 || r.Restart[0].Key != "feed.a.url" {
			t.Errorf("%+v", r)
		}
		listens(t, up, "raid.1 raid.2") // the rest counts
		if _, body := get(t, o.Daemon, "/api/status"); !strings.Contains(body, "waits for a restart: feed.a.url") {
			t.Errorf("the status does not say what waits: %.600s", body)
		}
	}
	if n := len(other.Conns()); n != 0 {
		t.Errorf("%d connections elsewhere", n)
	}
	o.end()
	runOperated(t, dir, stateDir, moved)
	listens(t, other, "raid.1 raid.2")
}

func TestReloadsTakeNoConnectionAndNoEvent(t *testing.T) {
	var options twitch.PubSubOptions
	options.Record, options.Rate = true, 500
	up, address := upstream(t, options)
	feed := func(i int) string {
		return twitchFeed("a", address, manyTopics(60)+fmt.Sprintf("\"raid.%d\"", i%7), fmt.Sprintf("dwell = \"%ds\"\nmax_age = \"%dh\"\n", i+1, i+1))
	}
	o := runOperated(t, t.TempDir(), t.TempDir(), feed(0))
	sub := subscribe(t, "nats://"+o.NATSAddr().String())
	o.confirms("a", 61, 61)
	takeSent(t, up)
	for i := range 50 {
		o.reload(feed(i + 1))
		if n := sub.received(); i%10 == 9 {
			eventually(t, "events", func() bool { return sub.received() > n+20 })
		}
	}
	up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
	sent := slices.DeleteFunc(takeSent(t, up), func(e twitch.SentEvent) bool { return strings.HasPrefix(e.Topic, "raid.") })
	eventually(t, "every event of what stayed", func() bool { return len(sub.missing(sent)) == 0 })
	sub.inOrder()
	if n, gaps := len(up.Conns()), len(sub.closed()); n != 2 || gaps > 0 {
		t.Errorf("%d connections, %d gaps", n, gaps)
	}
	if len(sent) < 50 {
		t.Errorf("only %d events were sent", len(sent))
	}
}

func TestWhatIsBadChangesNothing(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{})
	dir := t.TempDir()
	list := filepath.Join(dir, "topics.txt")
	put(t, list, "raid.2\n")
	good := twitchFeed("a", address, `"raid.1"`, "topics_file = \"topics.txt\"\n")
	o := runOperated(t, dir, t.TempDir(), good)
	listens(t, up, "raid.1 raid.2")
	before := o.status("a")

	for what, spoil := range map[string]func(){
		"a key that is not there": func() { o.configure(good + "colour = \"red\"\n") },
		"half a file":             func() { put(t, o.path, "[[feed]\nname = ") },
		"no file":                 func() { os.Remove(o.path) },
		"no feed":                 func() { o.configure("") },
		"no topics_file":          func() { os.Remove(list) },
		"an unreadable one":       func() { os.Remove(list); os.Mkdir(list, 0o700) },
		"a topic that is none":    func() { put(t, list, "raid.2\nraid 3\n") },
	} {
		spoil()
		if r := o.reloadAsItIs(); len(r.Problems) == 0 || len(r.Applied)+len(r.NextLife)+len(r.Restart) > 0 {
			t.Errorf("%s: %+v", what, r)
		}
		if n := metric(t, o.Daemon, "feedmux_reload_success"); n != 0 {
			t.Errorf("%s: feedmux_reload_success is %v", what, n)
		}
		s := o.status("a")
		if s.Topics != before.Topics || s.Slots[0].Life != before.Slots[0].Life {
			t.Errorf("%s: %+v, was %+v", what, s, before)
		}
		os.Remove(list)
		put(t, list, "raid.2\n")
		o.reload(good)
		if n := metric(t, o.Daemon, "feedmux_reload_success"); n != 1 {
			t.Errorf("after %s: feedmux_reload_success is %v", what, n)
		}
	}
	listens(t, up, "raid.1 raid.2")
	if n := len(up.Conns()); n != 1 || !o.logged(`by="the operator"`) {
		t.Errorf("%d connections; log:\n%s", n, o.log.String())
	}
}

// A token that changes names another account where the account is called by its token. That is no change of a key.
func TestANewTokenOfScaiWaveIsNoChangeOfItsAccount(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "token"), "first")
	feed := "[[feed]]\nname = \"s\"\nprotocol = \"scaiwave\"\nurl = \"ws://127.0.0.1:1/v1/stream\"\nauth.file = \"token\"\ntopics = [\"*\"]\n"
	o := runOperated(t, dir, t.TempDir(), feed)
	put(t, filepath.Join(dir, "token"), "second")
	if r := o.reload(feed); len(r.Applied)+len(r.NextLife)+len(r.Restart) > 0 {
		t.Errorf("%+v", r)
	}
	for _, secret := range []string{"first", "second"} {
		if o.logged(secret) {
			t.Errorf("a token is in the log:\n%s", o.log.String())
		}
	}
}

func TestManyMayAskAtOnceAndTheEndIsNotHeldUp(t *testing.T) {
	_, address := upstream(t, twitch.PubSubOptions{})
	_, elsewhere := upstream(t, twitch.PubSubOptions{})
	dir := t.TempDir()
	list := filepath.Join(dir, "topics.txt")
	put(t, list, "raid.1\n")
	a := twitchFeed("a", address, "", "topics_file = \"topics.txt\"\n")
	b := twitchFeed("b", elsewhere, `"raid.9"`, "")
	o := runOperated(t, dir, t.TempDir(), a+b)
	ctx, stop := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	for who, ask := range map[string]func(i int) error{
		"one": func(int) error { _, err := o.Reload(ctx, "one"); return err },
		"two": func(i int) error {
			if i%2 == 0 {
				put(t, o.path, "[nats.embedded]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n"+a+b)
			} else {
				put(t, o.path, "[nats.embedded]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n"+b)
			}
			_, err := o.Reload(ctx, "two")
			return err
		},
		"three": func(i int) error {
			_, err := o.ChangeTopics(ctx, "three", local.Change{Feed: "b", Verb: local.Set, Topics: named(fmt.Sprint("raid.", i))})
			return err
		},
		"four":  func(i int) error { return os.WriteFile(list, fmt.Appendf(nil, "raid.1\nraid.%d\n", i), 0o600) },
		"five":  func(int) error { return o.Turning(ctx) },
		"six":   func(int) error { _, err := o.Topics(ctx, "b"); return err },
		"seven": func(int) error { return o.Renew(ctx, "seven", "b") },
	} {
		asking.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := ask(i)
				var no *local.Error
				if err != nil && ctx.Err() == nil && (!errors.As(err, &no) || no.Kind != local.Away) {
					t.Errorf("%s: %v", who, err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	time.Sleep(300 * time.Millisecond) // of all this
	begin := time.Now()
	o.end()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
	_, err := o.Reload(t.Context(), "somebody late")
	isNo(t, err, local.Away, "the daemon ends")
	stop()
	asking.Wait()
}
