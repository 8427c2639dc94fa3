package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"feedmux/internal/cause"
	"feedmux/internal/notices"
	"feedmux/internal/subject"
	"feedmux/pool"
	"feedmux/shard"
)

func TestEventsOfManyReadersArriveInTheOrderOfEach(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	c := startCore(t, Options{URL: s.ClientURL()})
	const readers, each = 4, 3000
	failed := make(chan error, readers)
	for r := range readers {
		go func() {
			e := eventOf(topicOf(c.feed, strconv.Itoa(r)), "")
			for i := range each {
				e.Payload = strconv.AppendInt(e.Payload[:0], int64(i), 10) // reused: the sink copies
				if err := publish(c.feed, e); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range readers {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	next := make(map[string]int)
	for range readers * each {
		m := sub.next(t)
		if want := strconv.Itoa(next[m.Subject]); string(m.Data) != want {
			t.Fatalf("%s: %s came, want %s", m.Subject, m.Data, want)
		}
		next[m.Subject]++
	}
	sub.wantNoMore(t)
	if got := c.Stats().Feeds[0].Published; got != readers*each {
		t.Errorf("%d are counted as published, want %d", got, readers*each)
	}
}

func TestEventsWaitWhileNATSIsAwayAndThenGoInOrder(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url()})
	c.publish(t, "before")
	sub.want(t, "before")

	for range 3 {
		p.cut()
		c.wantConnected(t, false)
		bodies := sequence(2000)
		c.publish(t, bodies...)
		if st := c.Stats(); st.Buffer == 0 || st.Oldest <= 0 {
			t.Errorf("%d bytes wait since %v, want some", st.Buffer, st.Oldest)
		}
		p.mend(t)
		sub.want(t, bodies...)
	}
	sub.wantNoMore(t)
	eventually(t, "the buffer is empty", func() bool { return c.Stats().Buffer == 0 })
	if st := c.Stats(); st.Reconnects != 3 || st.Oldest != 0 {
		t.Errorf("%d reconnects, oldest event %v; want 3 and 0", st.Reconnects, st.Oldest)
	}
}

func TestEventsWaitForAServerThatComesBackOnItsPort(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	port := s.Addr().String()[strings.LastIndex(s.Addr().String(), ":")+1:]
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url()})
	c.wantConnected(t, true)
	stopServer(s)
	c.wantConnected(t, false)
	bodies := sequence(500)
	c.publish(t, bodies...)

	p.cut() // until somebody listens
	s = startServer(t, func(o *server.Options) { o.Port, _ = strconv.Atoi(port) })
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p.mend(t)
	sub.want(t, bodies...)
	sub.wantNoMore(t)
}

func TestEventsGoOnWhileTheConnectionBreaksAgainAndAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url()})
	n := 0
	publish := func() {
		c.publish(t, strconv.Itoa(n))
		if n++; n%100 == 0 {
			time.Sleep(time.Millisecond) // so that the buffer is not filled before the connection is back
		}
	}
	for i := range uint64(5) {
		c.wantConnected(t, true)
		for range 1000 {
			publish()
		}
		p.cut()
		p.mend(t)
		for c.Stats().Reconnects == i {
			publish()
		}
	}
	c.publish(t, "last")
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	// What the client had in hand when a connection broke is lost. Nothing is repeated or comes late.
	previous := -1
	for {
		m := sub.next(t)
		if string(m.Data) == "last" {
			break
		}
		got, err := strconv.Atoi(string(m.Data))
		if err != nil || got <= previous {
			t.Fatalf("%s came after %d", m.Data, previous)
		}
		previous = got
	}
	sub.wantNoMore(t)
	if got := c.Stats().Feeds[0].Published; got != uint64(n)+1 {
		t.Errorf("%d are counted as published, want %d", got, n+1)
	}
}

func TestAFullBufferDropsTheNewestAndCountsThem(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	p.cut()
	const fit, over = 1000, 234
	bodies := sequence(fit + over)
	c := startCore(t, Options{URL: p.url(), Buffer: fit * (int64(len(bodies[0])) + entrySize)})
	c.publish(t, bodies[:fit]...)
	for _, body := range bodies[fit:] {
		if err := publish(c.feed, event(c.feed, body)); !errors.Is(err, errFull) {
			t.Fatalf("Publish says %v, want errFull", err)
		}
	}
	if got := c.dropped(BufferFull); got != over {
		t.Errorf("%d are counted as dropped, want %d", got, over)
	}
	p.mend(t)
	sub.want(t, bodies[:fit]...)
	eventually(t, "there is room again", func() bool { return c.Stats().Buffer == 0 })
	c.publish(t, "again")
	sub.want(t, "again")
	sub.wantNoMore(t)
}

func TestAnEventThatTheServerFindsTooLargeIsSkipped(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.MaxPayload = 1024 })
	sub := subscribe(t, s.ClientURL(), "feed.>")
	c := startCore(t, Options{URL: s.ClientURL()})
	fits := strings.Repeat("x", 1024)
	c.publish(t, "a", fits+"x", "b", fits, fits+"x")
	sub.want(t, "a", "b", fits)
	eventually(t, "both are counted", func() bool { return c.dropped(TooLarge) == 2 })
	sub.wantNoMore(t)
}

func TestWhoLooksOnSeesWhatNATSGets(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.MaxPayload = 1024 })
	c := startCore(t, Options{URL: s.ClientURL()})
	looking := c.Tap().Subscribe(func(string, shard.Topic) bool { return true })
	defer looking.Close()
	c.publish(t, "first", strings.Repeat("x", 1025), "last")
	var seen []string
	for len(seen) < 2 {
		ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
		events, _, err := looking.Next(ctx)
		end()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			seen = append(seen, string(e.Topic)+" "+string(e.Payload))
		}
	}
	if want := []string{"t first", "t last"}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
}

func TestAnEventWithoutAUsableSubjectIsDropped(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	c := startCore(t, Options{URL: s.ClientURL()})
	long, none := topicOf(c.feed, strings.Repeat("a", subject.MaxLength)), topicOf(c.feed, "")
	none.Subject = ""
	if err := publish(c.feed, eventOf(long, "")); !errors.Is(err, subject.ErrTooLong) {
		t.Errorf("Publish says %v, want subject.ErrTooLong", err)
	}
	if err := publish(c.feed, eventOf(none, "")); err != nil {
		t.Error(err)
	}
	c.feed.Notice(strings.Repeat("a", subject.MaxLength+1), new(pool.TopicNotice))
	c.publish(t, "next")
	sub.want(t, "next")
	sub.wantNoMore(t)
	if st := c.Stats(); c.dropped(BadSubject) != 2 || st.Notices.Dropped != 1 {
		t.Errorf("%d events and %d notices are counted, want 2 and 1", c.dropped(BadSubject), st.Notices.Dropped)
	}
}

func TestStopDeliversWhatWaits(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), ">")
	c := startCore(t, Options{URL: s.ClientURL()})
	bodies := sequence(5000)
	c.publish(t, bodies...)
	c.feed.Notice(note("t"))
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for range len(bodies) + 1 {
		if m := sub.next(t); m.Subject == "feed.f.t" {
			got[string(m.Data)] = true
		} else {
			got[m.Subject] = true
		}
	}
	if len(got) != len(bodies)+1 || !got["feedmux.topic.f.t"] {
		t.Errorf("%d different messages came, want %d", len(got), len(bodies)+1)
	}
	if err := publish(c.feed, event(c.feed, "late")); !errors.Is(err, errClosed) {
		t.Errorf("Publish after the end says %v, want errClosed", err)
	}
	if c.dropped(Drain) != 1 || c.Stats().Connected {
		t.Errorf("%d dropped by the drain, connected %v; want 1 and false", c.dropped(Drain), c.Stats().Connected)
	}
}

func TestStopWaitsForNATSToComeBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url()})
	c.wantConnected(t, true)
	p.cut()
	c.wantConnected(t, false)
	c.publish(t, "a", "b")
	c.cancel()
	p.mend(t)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	sub.want(t, "a", "b")
}

func TestStopSaysHowMuchWasLeftBehind(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "127.0.0.1:1")
	p.cut()
	const drain = 100 * time.Millisecond
	c := startCore(t, Options{URL: p.url(), Drain: drain})
	c.publish(t, "a", "b", "c")
	c.feed.Notice(note("t"))
	begin := time.Now()
	if err := c.stop(); err == nil || !strings.Contains(err.Error(), "3 events and 1 notices") {
		t.Errorf("Run says %v, want 3 events and 1 notices", err)
	}
	if d := time.Since(begin); d < drain {
		t.Errorf("that took %v, want %v", d, drain)
	}
	if got := c.dropped(Drain); got != 3 {
		t.Errorf("%d are counted as dropped by the drain, want 3", got)
	}
}

func TestStopSaysWhenNATSDidNotConfirmTheLastEvents(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url(), Drain: 50 * time.Millisecond})
	c.wantConnected(t, true)
	p.stall()
	c.publish(t, "a")
	if err := c.stop(); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run says %v, want that time was up", err)
	}
}

func TestStopIsQuickWhenNothingWaitsForNATS(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "127.0.0.1:1")
	p.cut()
	c := startCore(t, Options{URL: p.url()})
	eventually(t, "it tried once", func() bool { return strings.Contains(c.log.String(), "cannot be reached") })
	begin := time.Now()
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("that took %v", d)
	}
}

func TestPublishNeverWaitsForAServerThatStalls(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url(), Buffer: 1 << 20, Connect: []nats.Option{nats.FlusherTimeout(time.Minute)}})
	c.wantConnected(t, true)
	p.stall()
	// Past the buffers of the sockets, the client waits for the server: for ever, as far as this test is concerned. So
	// if Publish or Stats waited as well, errFull would not come twice at the same count.
	body := strings.Repeat("x", 10_000)
	accepted := 0
	for published, full := uint64(0), 0; full < 20; {
		switch err := publish(c.feed, event(c.feed, body)); {
		case err == nil:
			accepted++
		case errors.Is(err, errFull):
			if now := c.Stats().Feeds[0].Published; now != published {
				published, full = now, 0
			}
			full++
			time.Sleep(2 * time.Millisecond)
		default:
			t.Fatal(err)
		}
	}
	p.flow()
	for range accepted {
		sub.want(t, body)
	}
	sub.wantNoMore(t)
}

func TestAServerThatStallsIsLeftAndNothingIsRepeated(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url(), Connect: []nats.Option{nats.FlusherTimeout(20 * time.Millisecond)}})
	c.wantConnected(t, true)
	p.stall()
	pad := strings.Repeat("x", 10_000)
	n := 0
	for c.Stats().Connected {
		if publish(c.feed, event(c.feed, fmt.Sprintf("%d %s", n, pad))) == nil {
			n++
		} else {
			time.Sleep(time.Millisecond)
		}
	}
	p.cut()
	p.flow()
	p.mend(t)
	eventually(t, "there is room", func() bool { return publish(c.feed, event(c.feed, "last x")) == nil })
	previous := -1
	for {
		first, _, _ := strings.Cut(string(sub.next(t).Data), " ")
		if first == "last" {
			break
		}
		got, err := strconv.Atoi(first)
		if err != nil || got <= previous {
			t.Fatalf("%s came after %d", first, previous)
		}
		previous = got
	}
	sub.wantNoMore(t)
	if previous != n-1 {
		t.Errorf("the last one that waited was %d, want %d", previous, n-1)
	}
	f := c.Stats().Feeds[0]
	if got := f.Published + f.Dropped[NATSBroke]; got != uint64(n)+1 {
		t.Errorf("%d are counted, want %d: %v", got, n+1, f)
	}
}

func TestAConnectionThatCannotBeWrittenToIsLeft(t *testing.T) {
	for name, size := range map[string]int{"by the client's own flush": 10, "while publishing": 40_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The answer to an early ping of the server would show the same.
			s := startServer(t, func(o *server.Options) { o.DisableShortFirstPing = true })
			sub := subscribe(t, s.ClientURL(), "feed.>")
			d := new(stuckDialer)
			c := startCore(t, Options{URL: s.ClientURL(), Connect: []nats.Option{nats.SetCustomDialer(d)}})
			c.wantConnected(t, true)
			d.last.Load().stuck.Store(true)
			c.publish(t, strings.Repeat("x", size))
			eventually(t, "it is connected again", func() bool { return c.Stats().Reconnects == 1 })
			c.publish(t, "next")
			sub.want(t, "next")
			sub.wantNoMore(t)
			if gaps := c.Stats().Feeds[0].Gaps; gaps[cause.NATSBroke] != 1 {
				t.Errorf("the event that was being written is in no gap: %v", gaps)
			}
		})
	}
}

// stuckDialer dials connections that can be made to take no more bytes.
type stuckDialer struct {
	last  atomic.Pointer[stuckConn]
	dials atomic.Int32
}

type stuckConn struct {
	net.Conn
	stuck atomic.Bool
}

func (d *stuckDialer) Dial(network, addr string) (net.Conn, error) {
	d.dials.Add(1)
	nc, err := net.Dial(network, addr)
	c := &stuckConn{Conn: nc}
	d.last.Store(c)
	return c, err
}

func (c *stuckConn) Write(p []byte) (int, error) {
	if c.stuck.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Write(p)
}

func TestAnAttemptWithoutAConnectionCostsNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for name, end := range map[string]func(*testing.T, *publisher, *proxy){
		"reconnecting": func(t *testing.T, p *publisher, x *proxy) {
			x.cut()
			eventually(t, "the client has noticed", func() bool { return p.nc.IsReconnecting() })
		},
		"closed": func(_ *testing.T, p *publisher, _ *proxy) { p.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := startProxy(t, s.ClientURL())
			c := NewCore(Options{URL: x.url(), Buffer: 1 << 20, Log: slog.New(slog.DiscardHandler)})
			f := c.Feed("f")
			p := &publisher{Core: c, pace: rate.NewLimiter(rate.Inf, 0)}
			eventually(t, "it is connected", func() bool { return p.work(t.Context(), t.Context()) == idle })
			end(t, p, x)
			if err := publish(f, event(f, "event")); err != nil {
				t.Fatal(err)
			}
			f.Notice(note("1"))
			f.Notice(note("2"))
			p.chunk = p.buffer.next()
			if got := p.sendNotices(false); got != away {
				t.Errorf("sendNotices says %v, want %v", got, away)
			}
			if p.sendChunk() || p.done != 0 {
				t.Errorf("sendChunk is through, or %d events are done with", p.done)
			}
			st := c.Stats()
			for reason, n := range st.Feeds[0].Dropped {
				if n != 0 {
					t.Errorf("%d events are counted as dropped: %s", n, reason)
				}
			}
			if st.Notices != (notices.Stats{Waiting: 2}) {
				t.Errorf("the notices are %+v, want two that wait", st.Notices)
			}
			if n := c.notices.Take(); n.Subject != "feedmux.topic.f.1" {
				t.Errorf("the first notice is %v now", n)
			}
			p.close()
		})
	}
}

func TestAClientThatGaveUpIsReplaced(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url()})
	c.publish(t, "a")
	sub.want(t, "a")
	for i := range uint64(2) {
		p.tell("-ERR 'Maximum Control Line Exceeded'\r\n") // the client does not dial again after this
		eventually(t, "it is connected again", func() bool { return c.Stats().Reconnects == i+1 })
		c.publish(t, "b")
		sub.want(t, "b")
	}
	sub.wantNoMore(t)
}

func TestForbiddenSubjectsAreCounted(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "reader", Password: "r"},
			{Username: "writer", Password: "hunter2", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Deny: []string{"feed.f.secret"}},
			}},
		}
	})
	host := s.Addr().String()
	sub := subscribe(t, "nats://reader:r@"+host, "feed.>")
	told := subscribe(t, "nats://reader:r@"+host, "feedmux.feed.f")
	c := startCore(t, Options{URL: "nats://writer:hunter2@" + host})
	c.publish(t, "a")
	secret := topicOf(c.feed, "secret")
	for range 3 {
		if err := publish(c.feed, eventOf(secret, "")); err != nil {
			t.Fatal(err)
		}
	}
	c.publish(t, "b")
	sub.want(t, "a", "b")
	eventually(t, "three are counted", func() bool { return c.Stats().Refused == 3 })
	if !strings.Contains(c.log.String(), "feed.f.secret") {
		t.Errorf("the log does not name the subject: %s", c.log)
	}
	m, err := told.NextMsg(20 * time.Second)
	if err != nil {
		t.Fatalf("nobody is told: %v", err)
	}
	var n pool.LossNotice
	if err := json.Unmarshal(m.Data, &n); err != nil || n.Feed != "f" || n.Forbidden < 1 || n.Forbidden > 3 || n.At.IsZero() {
		t.Errorf("%v: %s", err, m.Data)
	}
}

func TestCredentialsInURLsAreNeverShown(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.Authorization = "hunter2" })
	host := s.Addr().String()
	good := startCore(t, Options{URL: "nats://hunter2@" + host})
	good.wantConnected(t, true)
	if got := good.Stats().Server; got != "nats://"+host {
		t.Errorf("the server is shown as %q", got)
	}
	wrong := startCore(t, Options{URL: "nats://hunter2x@" + host})
	odd := startCore(t, Options{URL: "nats://user:hunter2/%zz@" + host + ", nats://hunter2@" + host + ":x"})
	for _, c := range []*running{wrong, odd} {
		eventually(t, "the failure is logged", func() bool { return strings.Contains(c.log.String(), "cannot be reached") })
	}
	for _, c := range []*running{good, wrong, odd} {
		c.stop()
		if log := c.log.String() + c.Stats().Server; strings.Contains(log, "hunter2") {
			t.Errorf("the password is in the log: %s", log)
		}
	}
}

func TestServersNeedNoScheme(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := startCore(t, Options{URL: "127.0.0.1:1, " + s.Addr().String()})
	c.wantConnected(t, true)
	if got := c.Stats().Server; got != s.ClientURL() {
		t.Errorf("the server is shown as %q, want %q", got, s.ClientURL())
	}
}

func TestARefusedPasswordIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.Authorization = "right" })
	var attempts atomic.Int32
	token := func() string {
		if attempts.Add(1) > 4 {
			return "right"
		}
		return "wrong"
	}
	c := startCore(t, Options{URL: s.ClientURL(), Connect: []nats.Option{nats.TokenHandler(token)}})
	c.publish(t, "a")
	c.wantConnected(t, true)
	eventually(t, "it is sent", func() bool { return c.Stats().Feeds[0].Published == 1 })
}

func TestFullHeadersSayAllOfAnEvent(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	p.cut()
	c := startCore(t, Options{URL: p.url(), Headers: HeadersFull})
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	for i, topic := range []string{"video.1", "two\r\nlines: x"} {
		known := topicOf(c.feed, topic)
		known.Subject = "feed.f.t"
		e := &pool.Event{
			Topic: known, Payload: []byte("body"), ID: []byte("id"), Slot: 3, Life: 17, Seq: uint64(i + 1), Received: at,
		}
		if err := publish(c.feed, e); err != nil {
			t.Fatal(err)
		}
		copy(e.Payload, "????")
	}
	p.mend(t) // a server that is not known yet is not one without headers
	for i, topic := range []string{"video.1", "two  lines: x"} {
		m := sub.next(t)
		want := nats.Header{
			"Feedmux-Topic":    {topic},
			"Feedmux-Received": {"2026-03-01T11:00:00.123456789Z"},
			"Feedmux-Slot":     {"3"},
			"Feedmux-Life":     {"17"},
			"Feedmux-Seq":      {strconv.Itoa(i + 1)},
		}
		if len(m.Header) != len(want) {
			t.Errorf("the headers are %v, want %v", m.Header, want)
		}
		for name, values := range want {
			if !slices.Equal(m.Header[name], values) {
				t.Errorf("%s is %q, want %q", name, m.Header[name], values)
			}
		}
		if string(m.Data) != "body" {
			t.Errorf("the body is %q", m.Data)
		}
	}
}

func TestMinimalHeadersAreNone(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	for _, h := range []Headers{HeadersNone, HeadersMinimal} {
		c := startCore(t, Options{URL: s.ClientURL(), Headers: h})
		c.publish(t, "x")
		if m := sub.next(t); len(m.Header) != 0 {
			t.Errorf("%s: the headers are %v", h, m.Header)
		}
	}
}

func TestNoticesGoBeforeTheEventsThatWait(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), ">")
	p := startProxy(t, s.ClientURL())
	p.cut()
	c := startCore(t, Options{URL: p.url()})
	c.publish(t, "event 1", "event 2")
	c.feed.Notice(note("1"))
	c.feed.Notice(note("2"))
	p.mend(t)
	sub.wantNotes(t, "1", "2")
	sub.want(t, "event 1", "event 2")
	c.feed.Notice(note("3")) // wakes a publisher that is idle
	sub.wantNotes(t, "3")
	if got, want := c.Stats().Notices, (notices.Stats{Sent: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNoticesAreSpreadAndEventsDoNotWaitForThem(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), ">")
	c := NewCore(Options{URL: s.ClientURL(), Buffer: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	f := c.Feed("f")
	for _, topic := range []string{"1", "2", "3", "4"} {
		f.Notice(note(topic))
	}
	if err := publish(f, event(f, "event")); err != nil {
		t.Fatal(err)
	}
	p := &publisher{Core: c, pace: rate.NewLimiter(0, 2)}
	ctx, cancel := context.WithCancel(t.Context())
	eventually(t, "the notices are throttled", func() bool { return p.work(ctx, t.Context()) == throttled })
	sub.wantNotes(t, "1", "2")
	sub.want(t, "event")
	sub.wantNoMore(t)
	cancel() // at the end there is no time for that
	eventually(t, "nothing waits", func() bool {
		return p.work(ctx, t.Context()) == idle && !p.anythingWaits()
	})
	if err := p.finish(nil); err != nil {
		t.Fatal(err)
	}
	sub.wantNotes(t, "3", "4")
}

func TestTooManyNoticesDropTheOldest(t *testing.T) {
	c := NewCore(Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Buffer: 1 << 20})
	f := c.Feed("f")
	for i := range notices.Max + 2 {
		f.Notice(note(strconv.Itoa(i)))
	}
	n := c.notices.Take()
	if n.Subject != "feedmux.topic.f.2" {
		t.Errorf("the oldest notice is %s, want that about 2", n.Subject)
	}
	f.Notice(note("another"))
	c.notices.Untake(false, n) // no room for it now
	if got, want := c.Stats().Notices, (notices.Stats{Waiting: notices.Max, Dropped: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAnEventAllocatesNothing(t *testing.T) {
	queue := notices.New()
	for _, headers := range []Headers{HeadersMinimal, HeadersFull} {
		for _, burst := range []int{1, 100} {
			c := NewCore(Options{Buffer: 16 << 20, Headers: headers})
			f := c.Feed("f")
			b, e := f.Batch(), event(f, strings.Repeat("x", 309))
			w, answer := new(windows), make(chan error, 1)
			run := func() {
				for i := range 500 {
					b.Add(e)
					if i%burst == burst-1 {
						b.Flush()
					}
				}
				for chunk := c.buffer.next(); chunk != nil; chunk = c.buffer.next() { // the publisher's part
					for i := range chunk.entries {
						w.event(&chunk.entries[i])
					}
					w.filling = 1 - w.filling
					answer <- nil
					w.answer = answer
					w.settle(queue)
				}
			}
			run()
			if got := testing.AllocsPerRun(100, run); got != 0 {
				t.Errorf("headers %s, bursts of %d: %v allocations in 500 events", headers, burst, got)
			}
			if n := c.Stats().Feeds[0].Dropped[BufferFull]; n > 0 {
				t.Errorf("%d events were dropped: this measured something else", n)
			}
		}
	}
}

func TestNoNATSIsNoReasonToFail(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "127.0.0.1:1")
	c := startCore(t, Options{URL: p.url(), Drain: time.Millisecond}) // connections that end at once
	c.publish(t, "a")
	eventually(t, "the failure is logged", func() bool { return strings.Contains(c.log.String(), "cannot be reached") })
	select {
	case err := <-c.ended:
		t.Fatalf("Run ended: %v", err)
	default:
	}
	if n := strings.Count(c.log.String(), "\n"); n > 5 {
		t.Errorf("%d lines were logged: %s", n, c.log)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewCore(Options{URL: p.url(), Log: slog.New(slog.DiscardHandler), Buffer: 1 << 20}).Run(ctx); err != nil {
		t.Errorf("Run with nothing to do says %v", err)
	}
}

// sequence gives n bodies of the same length, in order.
func sequence(n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%06d", i)
	}
	return bodies
}

func TestLossesAreLoggedAtOnceAndThenOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logBuffer)
		c := NewCore(Options{Buffer: 64 << 10, Log: slog.New(slog.NewTextHandler(log, nil))})
		f := c.Feed("f").(*feed)
		p := &publisher{Core: c}
		for i := range 30 { // a minute
			f.dropped[BufferFull].Add(7)
			if i == 25 {
				f.dropped[Drain].Add(1)
			}
			p.sayLosses()
			time.Sleep(2 * time.Second)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 6 || !strings.Contains(lines[0], "feed=f dropped.buffer_full=7") ||
			!strings.HasSuffix(lines[5], " feed=f dropped.buffer_full=35 dropped.drain=1") {
			t.Errorf("%d lines:\n%s", len(lines), log)
		}
	})
}
