package sink

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"feedmux/internal/cause"
	"feedmux/pool"
)

// steps is a publisher whose steps the test takes.
type steps struct {
	*publisher
	t     testing.TB
	feed  pool.Sink
	proxy *proxy
}

// stepThrough gives one that is connected to a server through a proxy.
func stepThrough(t testing.TB, url string) *steps {
	x := startProxy(t, url)
	c := NewCore(Options{
		URL: x.url(), Buffer: 1 << 20, Log: slog.New(slog.DiscardHandler), Start: 0xfeed,
		Connect: []nats.Option{nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0)},
	})
	s := &steps{&publisher{Core: c, pace: rate.NewLimiter(rate.Inf, 0)}, t, c.Feed("f"), x}
	t.Cleanup(func() {
		x.flow()
		s.finish(nil)
	})
	s.until("it is connected", idle, func() bool { return true })
	return s
}

// until works until a state is reached and ok says yes.
func (s *steps) until(what string, want state, ok func() bool) {
	s.t.Helper()
	eventually(s.t, what, func() bool { return s.work(s.t.Context(), s.t.Context()) == want && ok() })
}

func (s *steps) publish(t *pool.Topic, seconds ...int) {
	s.t.Helper()
	for _, second := range seconds {
		e := eventOf(t, strconv.Itoa(second))
		e.Received = at(second)
		if err := publish(s.feed, e); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *steps) confirmed() bool {
	s.confirm(true)
	return s.windows.empty()
}

func TestABreakIsAGapOfEachTopicSinceTheLastConfirmedFlush(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*steps){
		"cut":         func(s *steps) { s.proxy.cut() },
		"reconnected": func(s *steps) { s.reconnect(io.ErrClosedPipe); s.proxy.cut() },
		"closed": func(s *steps) {
			s.proxy.l.Close() // no next connection, to which the notices would go before we look
			s.proxy.tell("-ERR 'Maximum Control Line Exceeded'\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stepThrough(t, startServer(t, nil).ClientURL())
			a, b, quiet := topicOf(s.feed, "a"), topicOf(s.feed, "b"), topicOf(s.feed, "quiet")
			s.publish(quiet, 1)
			s.publish(a, 1, 2)
			s.until("that is confirmed", idle, s.confirmed)

			s.proxy.stall()
			s.publish(a, 10, 11)
			s.until("the first part is in a flush", idle, func() bool { s.confirm(true); return s.windows.answer != nil })
			s.publish(a, 13, 12)
			s.publish(b, 14)
			s.until("all is handed over", idle, func() bool { return s.Stats().Feeds[0].Published == 8 })
			end(s)
			eventually(t, "the break is announced", func() bool {
				s.work(t.Context(), t.Context())
				return s.Stats().Feeds[0].Gaps[cause.NATSBroke] == 2
			})
			s.publish(b, 20) // waits, so it is not lost
			if !s.windows.pair[0].empty() || !s.windows.pair[1].empty() {
				t.Error("something is still to be confirmed")
			}
			n := s.notices.Take()
			if n == nil {
				t.Fatal("no notice waits")
			}
			got, _ := json.Marshal(n.Body)
			want := `{"id":"f:000000000000feed:d1","feed":"f","topic":"a","subject":"feed.f.a","phase":"closed",` +
				`"from":"1970-01-01T00:00:10Z","to":"1970-01-01T00:00:13Z","cause":"nats_broke","at":"delivery","filled":"none"}`
			if string(got) != want || n.Subject != "feedmux.gap.f.a" {
				t.Errorf("%s:\n%s, want\n%s", n.Subject, got, want)
			}
			g, ok := s.notices.Take().Body.(*pool.GapNotice)
			if !ok || g.Topic != "b" || !g.From.Equal(at(14)) || !g.To.Equal(at(14)) || !s.notices.Empty() {
				t.Errorf("then %+v is announced, and not only that", g)
			}
		})
	}
}

// The client's callbacks run on a goroutine of their own, and it keeps a ping for the next connection. So there is no next
// connection before the publisher has looked: what is handed over would come after a hole, and the answer would be wrong.
func TestThereIsNoNextConnectionBeforeWhatWasLostIsGivenUp(t *testing.T) {
	t.Parallel()
	s := stepThrough(t, startServer(t, nil).ClientURL())
	a := topicOf(s.feed, "a")
	s.proxy.stall()
	s.publish(a, 10)
	s.until("it is handed over", idle, func() bool { return s.Stats().Feeds[0].Published == 1 })
	s.proxy.cut()
	s.proxy.flow()
	s.proxy.mend(t)
	_, _, before := s.link.State()
	eventually(t, "it was refused twice", func() bool { _, _, downs := s.link.State(); return downs >= before+2 })
	if n := s.nc.Stats().Reconnects; n != 0 {
		t.Errorf("%d connections more", n)
	}
	s.publish(a, 20) // waits, so it is not lost
	s.until("that is confirmed", idle, func() bool { return s.Stats().Feeds[0].Published == 2 && s.confirmed() })
	if got := s.Stats().Feeds[0].Gaps[cause.NATSBroke]; got != 1 {
		t.Errorf("%d gaps are announced, want 1", got)
	}
}

func TestACleanEndIsNoGap(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feedmux.>")
	c := startCore(t, Options{URL: s.ClientURL()})
	c.publish(t, sequence(1000)...)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	sub.wantNoMore(t)
	if got := c.Stats().Feeds[0].Gaps[cause.NATSBroke]; got != 0 {
		t.Errorf("%d gaps are announced", got)
	}
}

func TestNoticesThatNATSDidNotConfirmAreSentAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feedmux.>")
	p := stepThrough(t, s.ClientURL())
	p.feed.Notice(note("1"))
	p.until("that is confirmed", idle, p.confirmed)
	p.proxy.stall()
	p.feed.Notice(note("2"))
	p.feed.Notice(note("3"))
	p.until("they are handed over", idle, p.notices.Empty)
	p.proxy.cut()
	p.until("the break is seen", away, func() bool { return p.Stats().Notices.Waiting == 2 })
	p.feed.Notice(note("4"))
	p.proxy.flow()
	p.proxy.mend(t)
	p.until("all is confirmed", idle, p.confirmed)
	sub.wantNotes(t, "1", "2", "3", "4")
	sub.wantNoMore(t)
}

func TestAnOverflowIsAGapWithExactCountsOnceItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCore(Options{Buffer: 64 << 10, Log: slog.New(slog.DiscardHandler)})
		f, other := c.Feed("f"), c.Feed("other")
		p := &publisher{Core: c}
		a, b, o := topicOf(f, "a"), topicOf(f, "b"), topicOf(other, "o")
		drop := func(s pool.Sink, topic *pool.Topic, n int) {
			for range n {
				e := eventOf(topic, strings.Repeat("x", 70<<10)) // never fits
				if err := publish(s, e); err == nil {
					t.Fatal("it was taken")
				}
				time.Sleep(time.Millisecond)
			}
		}
		begin := time.Now()
		announced := func() uint64 {
			p.overflowed(time.Now(), false)
			return c.Stats().Feeds[0].Gaps[cause.NATSOverflow]
		}
		drop(f, a, 3)
		drop(f, b, 2)
		drop(f, a, 1)
		last := time.Now()
		time.Sleep(overflowEnds - 10*time.Millisecond)
		drop(other, o, 5) // is no concern of the first feed
		if n := announced(); n != 0 {
			t.Fatalf("%d gaps are announced %v after the last drop", n, time.Since(last))
		}
		if !p.anythingWaits() {
			t.Error("the publisher sees no reason to look again")
		}
		time.Sleep(5 * time.Millisecond)
		if n := announced(); n != 2 {
			t.Fatalf("%d gaps are announced, want 2", n)
		}
		drop(f, a, 7) // another time, merged while it waits
		p.overflowed(time.Now(), true)
		sum := make(map[string]uint64)
		for n := p.notices.Take(); n != nil; n = p.notices.Take() {
			g := n.Body.(*pool.GapNotice)
			sum[g.Feed] += g.Dropped
			if g.Cause != cause.NATSOverflow || g.At != pool.AtDelivery || g.From.Before(begin) || g.To.After(time.Now()) {
				t.Errorf("announced is %+v", g)
			}
			if g.Topic == "b" && (!g.From.Equal(begin.Add(3*time.Millisecond)) || !g.To.Equal(begin.Add(4*time.Millisecond))) {
				t.Errorf("topic b dropped events from %v to %v", g.From.Sub(begin), g.To.Sub(begin))
			}
		}
		for _, f := range c.Stats().Feeds {
			if sum[f.Feed] != f.Dropped[BufferFull] || sum[f.Feed] == 0 {
				t.Errorf("feed %s: %d are announced, %d counted", f.Feed, sum[f.Feed], f.Dropped[BufferFull])
			}
		}
	})
}

// gapsOf reads the notices of gaps. Dropped events are in the first of an id.
func gapsOf(t testing.TB, sub *subscriber) (gaps []pool.GapNotice) {
	t.Helper()
	if err := sub.nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for n, _, _ := sub.Pending(); n > 0; n-- {
		var g pool.GapNotice
		if err := json.Unmarshal(sub.next(t).Data, &g); err != nil {
			t.Fatal(err)
		}
		if seen[g.ID] { // it came twice, and may reach further now
			g.Dropped = 0
		}
		seen[g.ID] = true
		gaps = append(gaps, g)
	}
	return gaps
}

func TestAServerThatIsPausedHoldsUpNoReader(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub, notices := subscribe(t, s.ClientURL(), "feed.>"), subscribe(t, s.ClientURL(), "feedmux.gap.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url(), Buffer: 1 << 20, Connect: []nats.Option{nats.FlusherTimeout(time.Minute)}})
	c.wantConnected(t, true)
	p.stall()
	batch, e := c.feed.Batch(), event(c.feed, strings.Repeat("x", 10_000))
	published := uint64(0)
	longest := time.Duration(0)
	burst := func() {
		begin := time.Now()
		for range 5 {
			batch.Add(e)
			published++
		}
		batch.Flush()
		longest = max(longest, time.Since(begin))
	}
	for c.dropped(BufferFull) < 100 {
		burst()
	}
	for range 1000 { // the publisher hangs in a write, and the buffer is full
		burst()
	}
	t.Logf("the longest Flush took %v", longest)
	if longest > 500*time.Millisecond { // a pause takes 1 ms, a machine with much to do takes more
		t.Errorf("a Flush took %v", longest)
	}
	if st := c.Stats(); st.Feeds[0].Dropped[BufferFull] < 4000 || !st.Connected {
		t.Errorf("%+v: the server was not paused all the time", st)
	}
	p.flow()
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	full, announced := c.dropped(BufferFull), uint64(0)
	for _, g := range gapsOf(t, notices) {
		announced += g.Dropped
	}
	if announced != full {
		t.Errorf("%d are announced as dropped, %d counted", announced, full)
	}
	for range published - full {
		sub.next(t)
	}
	sub.wantNoMore(t)
}

func TestWhatASubscriberMissesOverACutIsInsideAGap(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	events, notices := subscribe(t, s.ClientURL(), "feed.>"), subscribe(t, s.ClientURL(), "feedmux.gap.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url(), Buffer: 256 << 10}) // so small that it overflows
	c.wantConnected(t, true)

	const readers, each = 3, 5
	received := make([]map[string]time.Time, readers) // by reader: when each event came, by subject and body
	var stop atomic.Bool
	var wg sync.WaitGroup
	for r := range readers {
		received[r] = make(map[string]time.Time)
		wg.Go(func() {
			batch := c.feed.Batch()
			var topics []*pool.Topic
			for i := range each {
				topics = append(topics, topicOf(c.feed, fmt.Sprint(r, "-", i)))
			}
			for n := 0; !stop.Load(); n++ {
				e := eventOf(topics[n%each], strconv.Itoa(n))
				batch.Add(e)
				received[r][e.Topic.Subject+" "+string(e.Payload)] = e.Received
				if n%20 == 0 {
					batch.Flush()
					time.Sleep(time.Millisecond)
				}
			}
			batch.Flush()
		})
	}
	var bounds []time.Time // nothing older is to be confirmed from here on
	for i := range uint64(6) {
		if i%2 == 0 { // else the next break meets what waited
			eventually(t, "little waits", func() bool { return c.Stats().Buffer < 16<<10 })
			bounds = append(bounds, time.Now().Add(-c.Stats().Oldest))
			pongs := p.confirmed()
			eventually(t, "that is confirmed", func() bool { return p.confirmed() >= pongs+3 })
		}
		published := c.Stats().Feeds[0].Published
		p.stall()
		eventually(t, "some is on its way", func() bool { return c.Stats().Feeds[0].Published > published+500 })
		p.cut()
		p.flow()
		c.wantConnected(t, false)
		if i == 3 { // an outage that the buffer is too small for
			full := c.dropped(BufferFull)
			eventually(t, "the buffer overflows", func() bool { return c.dropped(BufferFull) > full+100 })
		}
		p.mend(t)
		eventually(t, "it is connected again", func() bool { return c.Stats().Reconnects == i+1 })
	}
	stop.Store(true)
	wg.Wait()
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}

	gaps := make(map[string][]pool.GapNotice)
	dropped := uint64(0)
	for _, g := range gapsOf(t, notices) {
		gaps[g.Subject] = append(gaps[g.Subject], g)
		dropped += g.Dropped
		for _, bound := range bounds {
			if g.Cause == cause.NATSBroke && g.From.Before(bound) && g.To.After(bound) {
				t.Errorf("a gap from %v to %v reaches back past what was confirmed at %v", g.From, g.To, bound.UTC())
			}
		}
	}
	if full := c.dropped(BufferFull); dropped != full {
		t.Errorf("%d are announced as dropped, %d counted", dropped, full)
	}
	if err := events.nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	arrived := make(map[string]bool)
	for n, _, _ := events.Pending(); n > 0; n-- {
		m := events.next(t)
		arrived[m.Subject+" "+string(m.Data)] = true
	}
	missed, published := 0, 0
	for _, of := range received {
		for name, when := range of {
			published++
			if arrived[name] {
				continue
			}
			missed++
			inside := false
			subject, _, _ := strings.Cut(name, " ")
			for _, g := range gaps[subject] {
				inside = inside || !when.Before(g.From) && !when.After(g.To)
			}
			if !inside {
				t.Fatalf("%s, received %v, did not arrive; the gaps are %+v", name, when, gaps[subject])
			}
		}
	}
	t.Logf("%d of %d events did not arrive, %d of them found no room", missed, published, dropped)
	if uint64(missed) <= dropped {
		t.Error("no cut cost anything")
	}
}

// at is a second of the tests' day.
func at(second int) time.Time { return time.Unix(int64(second), 0).UTC() }
