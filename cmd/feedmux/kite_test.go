package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"feedmux/internal/sim/kite"
)

// exchange is a simulated Kite on a real socket of loopback.
func exchange(t *testing.T, o kite.Options) (k *kite.Ticker, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k = kite.NewTicker(o)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- k.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("simulator: %v", err)
		}
		if unfired := k.Unfired(); len(unfired) > 0 {
			t.Errorf("faults that were planned and did not happen: %v", unfired)
		}
	})
	return k, l.Addr().String()
}

// tape is all that came on some subjects, in order.
type tape struct {
	mu   sync.Mutex
	list map[string][]string // bodies, by subject
}

func record(t *testing.T, url string, subjects ...string) *tape {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	r := &tape{list: make(map[string][]string)}
	for _, subject := range subjects {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.list[m.Subject] = append(r.list[m.Subject], string(m.Data))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *tape) on(subject string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list[subject])
}

// says waits for a message on subject that holds text.
func (r *tape) says(t *testing.T, subject, text string) {
	t.Helper()
	eventually(t, subject+": "+text, func() bool {
		return slices.ContainsFunc(r.on(subject), func(body string) bool { return strings.Contains(body, text) })
	})
}

// kiteFeed is a configuration with one feed of Kite, called kite: rest are lines of its table, then other tables.
func kiteFeed(natsURL, address, token, rest string) string {
	return fmt.Sprintf(`
[nats]
url = %q
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "kite"
protocol = "kite"
url = "ws://%s"
auth.file = %q
dial.rate = "50/1s"
%s`, natsURL, address, token, rest)
}

// put writes a file whole, as those who replace a token or a list should.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestKiteTicksAndOrdersHaveTheSubjectsThatTheUserWrote(t *testing.T) {
	t.Parallel()
	k, address := exchange(t, kite.Options{Token: "good"})
	token := filepath.Join(t.TempDir(), "token")
	put(t, token, "good\n")
	url := "nats://" + quietNATS(t, server.Options{})
	r := record(t, url, "feed.>", "feedmux.>")
	d, _ := startDaemon(t, kiteFeed(url, address, token, `
topics = ["408065", { topic = "884737", mode = "full", name = "NSE:TATAMOTORS" }, { topic = "256265", mode = "ltp", name = "NSE:NIFTY 50" }]
options.api_key = "key"
ping = { interval = "1s", timeout = "500ms" }
`))
	eventually(t, "all topics", func() bool { return confirmed(t, d) == 3 })
	k.Change(func(o *kite.Options) { o.Rate, o.OrderEvery = 100, 30*time.Millisecond })
	k.Message(1, "good \x01 morning")
	r.says(t, "feedmux.feed.kite", `"kind":"message","text":"[token] ? morning"`) // "good" is the token
	r.says(t, "feed.kite.408065", `"instrument_token":408065,"mode":"quote","tradable":true`)
	r.says(t, "feed.kite.NSE=3ATATAMOTORS", `"instrument_token":884737,"mode":"full"`)
	r.says(t, "feed.kite.NSE=3ANIFTY=2050", `{"instrument_token":256265,"mode":"ltp","tradable":false,"last_price":`)
	r.says(t, "feed.kite.order.COMPLETE", `"status":"COMPLETE"`)
	r.says(t, "feed.kite.order.TRIGGER=20PENDING", `"status":"TRIGGER PENDING"`)
	eventually(t, "round trips", func() bool { return metric(t, d, "feedmux_ping_rtt_seconds_count") >= 2 })
	if _, status := get(t, d, "/api/status"); !strings.Contains(status, `"ping_rtt_s"`) {
		t.Errorf("no round trip is shown: %s", status)
	}
	if v := k.Violations(); len(v) > 0 || len(k.Conns()) != 1 {
		t.Errorf("%d connections, rules broken: %v", len(k.Conns()), v)
	}
}

func TestKitePacketsAreRepublishedAsTheyAreOnSubjectsOfModeAndToken(t *testing.T) {
	t.Parallel()
	k, address := exchange(t, kite.Options{Record: true})
	token := filepath.Join(t.TempDir(), "token")
	put(t, token, "good")
	url := "nats://" + quietNATS(t, server.Options{})
	r := record(t, url, "ticks.>")
	d, _ := startDaemon(t, kiteFeed(url, address, token, `
subject = "ticks.{mode}.{token}"
payload = "frame"
topics = ["408065", { topic = "884737", mode = "full", name = "NSE:TATAMOTORS" }]
options.api_key = "key"
`))
	eventually(t, "all topics", func() bool { return confirmed(t, d) == 2 })
	k.Change(func(o *kite.Options) { o.Rate = 500 })
	eventually(t, "ticks", func() bool { return k.Happened(408065) > 200 && k.Happened(884737) > 200 })
	k.Change(func(o *kite.Options) { o.Rate = 0 })
	time.Sleep(50 * time.Millisecond) // the last batch
	sent, whole := k.TakeSent()
	if !whole {
		t.Fatal("the simulator could not record everything")
	}
	want := make(map[string][]string)
	for _, p := range sent {
		subject := map[uint32]string{408065: "ticks.quote.408065", 884737: "ticks.full.884737"}[p.Token]
		want[subject] = append(want[subject], string(p.Bytes))
	}
	for subject, packets := range want {
		eventually(t, "all that was sent on "+subject, func() bool { return len(r.on(subject)) >= len(packets) })
		if !slices.Equal(r.on(subject), packets) {
			t.Errorf("%s: %d packets are not the %d that were sent", subject, len(r.on(subject)), len(packets))
		}
	}
}

func TestKiteATokenInAFileIsTriedOnceAndAgainWhenItIsReplaced(t *testing.T) {
	t.Parallel()
	k, address := exchange(t, kite.Options{Token: "good"})
	token := filepath.Join(t.TempDir(), "token")
	url := "nats://" + quietNATS(t, server.Options{})
	r := record(t, url, "feedmux.>")
	topics := make([]string, 30)
	for i := range topics {
		topics[i] = strconv.Quote(strconv.Itoa((i+1)<<8 | 1))
	}
	put(t, token, "") // a daemon that starts before the day's login
	d, _ := startDaemon(t, kiteFeed(url, address, token, fmt.Sprintf(`
topics = [%s]
limits.topics_per_connection = 10
options.api_key = "key"
`, strings.Join(topics, ","))))
	r.says(t, "feedmux.feed.kite", `"state":"parked","cause":"auth"`)
	parked := func() bool {
		return metric(t, d, "feedmux_connections", `state="parked"`) == 3
	}
	eventually(t, "all to be parked", parked)
	if n := len(k.Conns()); n != 0 {
		t.Errorf("%d dials without a token", n)
	}
	put(t, token, "yesterday's")
	eventually(t, "a dial", func() bool { return len(k.Conns()) == 1 })
	eventually(t, "all to be parked again", parked)
	time.Sleep(3 * time.Second) // a slot that would dial again would have
	if n := len(k.Conns()); n != 1 {
		t.Errorf("%d dials with one token that is refused", n)
	}
	put(t, token, "good")
	eventually(t, "all topics", func() bool { return confirmed(t, d) == 30 })
	c := k.Conns()
	if len(c) != 4 || c[1].Denied != 0 || !c[2].Accepted.After(c[1].Upgraded) {
		t.Errorf("%d dials: %+v", len(c), c)
	}
}

func TestKiteATokenThatIsAboutToDieIsWarnedOf(t *testing.T) {
	t.Parallel()
	_, address := exchange(t, kite.Options{})
	token := filepath.Join(t.TempDir(), "token")
	put(t, token, "good")
	dies := time.Now().UTC().Add(10 * time.Minute)
	f := spawnFeedmux(t, kiteFeed("nats://"+quietNATS(t, server.Options{}), address, token, fmt.Sprintf(`
topics = ["408065"]
options.api_key = "key"
options.token_dies_at = %q
`, dies.Format("15:04 ")+"UTC")), t.TempDir())
	eventually(t, "a warning", func() bool { return strings.Contains(f.stderr(), "the access token dies at "+dies.Format("15:04 UTC")) })
	f.stop()
}

func TestKiteAListThatGivesANameAnotherTokenIsFollowedAndSaid(t *testing.T) {
	t.Parallel()
	k, address := exchange(t, kite.Options{})
	dir := t.TempDir()
	token, list := filepath.Join(dir, "token"), filepath.Join(dir, "instruments.csv")
	dump := func(infy string) string {
		return "instrument_token,exchange_token,tradingsymbol,name,exchange\n" + infy + ",1,INFY,INFOSYS,NSE\n884737,2,TATAMOTORS,TATA,NSE\n"
	}
	put(t, token, "good")
	put(t, list, dump("408065"))
	url := "nats://" + quietNATS(t, server.Options{})
	r := record(t, url, "feed.>", "feedmux.>")
	d, _ := startDaemon(t, kiteFeed(url, address, token, fmt.Sprintf(`
topics = ["NSE:INFY", { topic = "NSE:TATAMOTORS", mode = "full" }]
options.api_key = "key"
options.instruments = %q
`, list)))
	eventually(t, "both topics", func() bool { return confirmed(t, d) == 2 })
	r.says(t, "feed.kite.NSE=3AINFY", `"instrument_token":408065,`)
	put(t, list, dump("408321"))
	r.says(t, "feedmux.topic.kite.NSE=3AINFY", "the instruments file gives it token 408321, where it was 408065")
	r.says(t, "feed.kite.NSE=3AINFY", `"instrument_token":408321,`)
	eventually(t, "both topics again", func() bool { return confirmed(t, d) == 2 })
	now := k.Conns()
	if len(now) != 1 || len(now[0].Instruments) != 2 || now[0].Instruments[408321] == "" {
		t.Errorf("%d connections, subscribed to %v", len(now), now[0].Instruments)
	}
	for _, g := range r.on("feedmux.gap.kite.NSE=3ATATAMOTORS") {
		t.Errorf("a gap of a topic that did not change: %s", g)
	}
}

// ticks counts what came of each instrument, from volume_traded, which is dense.
type ticks struct {
	mu    sync.Mutex
	last  map[string]uint64
	n     int
	wrong []string // the first few that are not the next of their instrument
}

func (x *ticks) take(m *nats.Msg) {
	const key = `"volume_traded":`
	at := bytes.Index(m.Data, []byte(key))
	rest := m.Data[max(at, 0)+len(key):]
	volume, err := strconv.ParseUint(string(rest[:max(bytes.IndexByte(rest, ','), 0)]), 10, 64)
	x.mu.Lock()
	defer x.mu.Unlock()
	before := x.last[m.Subject]
	x.last[m.Subject] = volume
	switch {
	case at >= 0 && err == nil && volume == before+1:
		x.n++
	case at >= 0 && err == nil && volume == 0: // a snapshot of what has not ticked yet
	case len(x.wrong) < 5:
		x.wrong = append(x.wrong, fmt.Sprintf("%s: %d after %d", m.Subject, volume, before))
	}
}

// TestKiteNineThousandInstrumentsAtTwentyThousandTicksASecond is the load that the project promises: nothing is lost on the
// way from three real sockets to a subscriber of NATS. Everything runs in this process, the simulator and NATS included.
func TestKiteNineThousandInstrumentsAtTwentyThousandTicksASecond(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds of two processors")
	}
	if underRace {
		t.Skip("the race detector makes it a measurement of itself")
	}
	const n, rate, lasts = 9000, 20_000, 5 * time.Second
	k, address := exchange(t, kite.Options{})
	dir := t.TempDir()
	token, list := filepath.Join(dir, "token"), filepath.Join(dir, "topics.txt")
	put(t, token, "good")
	var names strings.Builder
	tokens := make([]uint32, n)
	for i := range tokens {
		tokens[i] = uint32(i+1)<<8 | 1
		fmt.Fprintln(&names, tokens[i])
	}
	put(t, list, names.String())
	url := "nats://" + quietNATS(t, server.Options{MaxPending: 256 << 20})
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	x := &ticks{last: make(map[string]uint64, n)}
	sub, err := nc.Subscribe("feed.kite.*", x.take)
	if err != nil {
		t.Fatal(err)
	}
	sub.SetPendingLimits(-1, -1)
	nc.Flush()
	d, _ := startDaemon(t, kiteFeed(url, address, token, fmt.Sprintf(`
topics_file = %q
options.api_key = "key"
`, list)))
	eventually(t, "all topics", func() bool { return confirmed(t, d) == n })
	k.Change(func(o *kite.Options) { o.Rate = rate })
	begin := time.Now()
	time.Sleep(lasts)
	k.Change(func(o *kite.Options) { o.Rate = 0 })
	took := time.Since(begin)
	time.Sleep(100 * time.Millisecond) // the last batch
	var happened uint64
	for _, token := range tokens {
		happened += k.Happened(token)
	}
	eventually(t, "every tick", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return uint64(x.n) >= happened
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	if per := float64(happened) / took.Seconds(); uint64(x.n) != happened || per < 0.9*rate {
		t.Errorf("%d ticks of %d came, %.0f a second", x.n, happened, per)
	}
	for _, w := range x.wrong {
		t.Error(w)
	}
	for _, token := range tokens {
		if got := x.last[fmt.Sprintf("feed.kite.%d", token)]; got != k.Happened(token) {
			t.Fatalf("%d: the last tick that came is %d of %d", token, got, k.Happened(token))
		}
	}
	var lost float64
	for _, name := range []string{"feedmux_dropped_total", "feedmux_gaps_total", "feedmux_disconnects_total"} {
		lost += metric(t, d, name)
	}
	if lost != 0 || len(k.Conns()) != 3 || len(k.Violations()) > 0 {
		t.Errorf("%v of drops, gaps and ends; %d connections; rules broken: %v", lost, len(k.Conns()), k.Violations())
	}
	t.Logf("%d ticks in %v", happened, took)
}
