package sink

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"feedmux/internal/cause"
	"feedmux/internal/subject"
	"feedmux/internal/topic"
	"feedmux/pool"
)

// takerOf is how a feed's owner asks for its Taker.
func takerOf(s pool.Sink) topic.Taker { return s.(interface{ Taker() topic.Taker }).Taker() }

// take takes all of these, which must find room.
func take(t testing.TB, s pool.Sink, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if !takerOf(s).Take(event(s, body)) {
			t.Fatalf("%.80q is not taken", body)
		}
	}
}

// wantProgress waits until so many are done with. None may be lost.
func wantProgress(t testing.TB, s pool.Sink, want uint64) {
	t.Helper()
	eventually(t, fmt.Sprint(want, " are done with"), func() bool {
		done, lost := takerOf(s).Progress()
		if lost || done > want {
			t.Fatalf("%d are done with, lost: %v; want %d", done, lost, want)
		}
		return done == want
	})
}

func wantNothingDropped(t testing.TB, c *Core) {
	t.Helper()
	f := c.Stats().Feeds[0]
	for reason, n := range f.Dropped {
		if n != 0 {
			t.Errorf("%d events are counted as dropped: %s", n, reason)
		}
	}
	for why, n := range f.Gaps {
		if n != 0 {
			t.Errorf("%d gaps are announced: %s", n, why)
		}
	}
}

func TestTakenEventsAreDoneOnceNATSHasThem(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url()})
	c.wantConnected(t, true)
	bodies := sequence(3000)
	take(t, c.feed, bodies[:1000]...)
	wantProgress(t, c.feed, 1000)
	p.stall()
	take(t, c.feed, bodies[1000:]...)
	eventually(t, "all is handed over", func() bool { return c.Stats().Feeds[0].Published == 3000 })
	if done, _ := takerOf(c.feed).Progress(); done > 1000+2000/10 { // a chunk may have been on its way
		t.Errorf("%d are done with, and NATS cannot have confirmed so many", done)
	}
	if c.Unconfirmed().IsZero() {
		t.Error("nothing counts as unconfirmed")
	}
	p.flow()
	wantProgress(t, c.feed, 3000)
	sub.want(t, bodies...)
	sub.wantNoMore(t)
	wantNothingDropped(t, c.Core)
}

func TestWhatABatchBroughtBeforeGoesBeforeWhatWasTaken(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	p.cut()
	c := startCore(t, Options{URL: p.url()})
	c.publish(t, "1")
	take(t, c.feed, "2", strings.Repeat("3", chunkSize), "4")
	c.publish(t, "5")
	p.mend(t)
	sub.want(t, "1", "2", strings.Repeat("3", chunkSize), "4", "5")
	wantProgress(t, c.feed, 3)
}

func TestWhatFindsNoRoomIsNotTakenAndComesLater(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), ">")
	p := startProxy(t, s.ClientURL())
	p.cut()
	const fit = 1000
	bodies := sequence(fit + 500)
	c := startCore(t, Options{URL: p.url(), Buffer: fit * (int64(len(bodies[0])) + entrySize)})
	take(t, c.feed, bodies[:fit]...)
	next := event(c.feed, bodies[fit])
	for range 10 {
		if takerOf(c.feed).Take(next) {
			t.Fatal("there is no room, and it was taken")
		}
	}
	p.mend(t)
	eventually(t, "there is room again", func() bool { return takerOf(c.feed).Take(next) })
	for _, body := range bodies[fit+1:] {
		eventually(t, "there is room", func() bool { return takerOf(c.feed).Take(event(c.feed, body)) })
	}
	wantProgress(t, c.feed, uint64(len(bodies)))
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	sub.want(t, bodies...)
	sub.wantNoMore(t) // no gap either
	wantNothingDropped(t, c.Core)
}

func TestAnEventThatCanNeverBeSentIsCountedAndDoneInItsTurn(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.MaxPayload = 1024 })
	sub := subscribe(t, s.ClientURL(), "feed.>")
	c := startCore(t, Options{URL: s.ClientURL(), Buffer: 64 << 10})
	unnamed := eventOf(topicOf(c.feed, strings.Repeat("a", subject.MaxLength)), "no subject")
	for i, e := range []*pool.Event{
		unnamed,                                  // alone, so that nothing else is to be confirmed
		event(c.feed, strings.Repeat("x", 1025)), // larger than the server takes
		event(c.feed, strings.Repeat("x", 100<<10)), // larger than the buffer
	} {
		if !takerOf(c.feed).Take(e) {
			t.Fatalf("event %d is not taken, so it would hold up all others", i)
		}
		wantProgress(t, c.feed, uint64(i+1))
	}
	take(t, c.feed, "next")
	wantProgress(t, c.feed, 4)
	sub.want(t, "next")
	sub.wantNoMore(t)
	if c.dropped(TooLarge) != 2 || c.dropped(BadSubject) != 1 {
		t.Errorf("counted are %v", c.Stats().Feeds[0].Dropped)
	}
}

func TestABreakIsToldToTheTakerAndNotAnnounced(t *testing.T) {
	t.Parallel()
	srv := startServer(t, nil)
	s := stepThrough(t, srv.ClientURL())
	k := takerOf(s.feed)
	take(t, s.feed, "1", "2")
	s.until("that is confirmed", idle, s.confirmed)
	s.proxy.stall()
	take(t, s.feed, "3", "4")
	s.until("that is handed over", idle, func() bool { return s.Stats().Feeds[0].Published == 4 })
	take(t, s.feed, "5") // waits
	s.proxy.cut()
	eventually(t, "the break is told", func() bool {
		connected, _, _ := s.link.State()
		if !connected {
			s.work(t.Context(), t.Context())
		}
		_, lost := k.Progress()
		return lost
	})
	if done, _ := k.Progress(); done != 2 {
		t.Errorf("%d are done with, want 2", done)
	}
	if k.Take(event(s.feed, "6")) {
		t.Error("one more was taken, after a hole")
	}
	sub := subscribe(t, srv.ClientURL(), "feed.>")
	s.proxy.flow()
	s.proxy.mend(t)
	s.until("what waits has had its turn", idle, func() bool { return s.Stats().Buffer == 0 })
	sub.wantNoMore(t) // 5 would come after a hole
	if done := k.Restart(); done != 2 {
		t.Fatalf("it goes on after %d, want 2", done)
	}
	take(t, s.feed, "3", "4", "5")
	s.until("that is confirmed", idle, s.confirmed)
	sub.want(t, "3", "4", "5")
	wantProgress(t, s.feed, 5)
	if !s.notices.Empty() {
		t.Errorf("%+v is announced", s.notices.Take().Body)
	}
	wantNothingDropped(t, s.Core)
}

// The server has what was handed over, or not: what is forgotten must not count.
func TestWhatIsForgottenAndConfirmedAfterwardsIsNotDone(t *testing.T) {
	t.Parallel()
	s := stepThrough(t, startServer(t, nil).ClientURL())
	k := takerOf(s.feed)
	take(t, s.feed, "1", "2")
	s.until("that is handed over", idle, func() bool { return s.Stats().Feeds[0].Published == 2 })
	for range 2 {
		if done := k.Restart(); done != 0 {
			t.Fatalf("it goes on after %d, want 0", done)
		}
	}
	s.until("that is confirmed", idle, s.confirmed)
	if done, lost := k.Progress(); done != 0 || lost {
		t.Errorf("%d are done with, lost: %v; want none", done, lost)
	}
	take(t, s.feed, "1")
	s.until("that is confirmed", idle, s.confirmed)
	if done, lost := k.Progress(); done != 1 || lost {
		t.Errorf("%d are done with, lost: %v; want 1", done, lost)
	}
}

func TestForgottenEventsThatWaitAreNotSent(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	p := startProxy(t, s.ClientURL())
	p.cut()
	c := startCore(t, Options{URL: p.url()})
	for i := range 5 {
		take(t, c.feed, sequence(1000)...)
		c.publish(t, strconv.Itoa(i)) // is not forgotten with the others
		if done := takerOf(c.feed).Restart(); done != 0 {
			t.Fatalf("it goes on after %d, want 0", done)
		}
	}
	take(t, c.feed, "last")
	p.mend(t)
	sub.want(t, "0", "1", "2", "3", "4", "last")
	wantProgress(t, c.feed, 1)
	sub.wantNoMore(t)
	wantNothingDropped(t, c.Core)
	if st := c.Stats(); st.Buffer != 0 || st.Feeds[0].Published != 6 {
		t.Errorf("%d bytes wait, %d events were sent; want 0 and 6", st.Buffer, st.Feeds[0].Published)
	}
}

func TestWhatIsLeftAtTheEndIsNotDone(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "127.0.0.1:1")
	p.cut()
	c := startCore(t, Options{URL: p.url(), Drain: 10 * time.Millisecond})
	take(t, c.feed, "1", "2")
	waits := c.Unconfirmed()
	if err := c.stop(); err == nil || !strings.Contains(err.Error(), "2 events") {
		t.Errorf("Run says %v, want 2 events", err)
	}
	if done, lost := takerOf(c.feed).Progress(); done != 0 || lost {
		t.Errorf("%d are done with, lost: %v", done, lost)
	}
	if since := c.Unconfirmed(); since.IsZero() || !since.Equal(waits) {
		t.Errorf("unconfirmed is what came since %v, want %v", since, waits)
	}
	if takerOf(c.feed).Take(event(c.feed, "late")) {
		t.Error("one was taken after the end")
	}
	wantNothingDropped(t, c.Core)
}

// The server ends each connection over the poison, so everything that goes with it is lost, again and again.
func TestAnEventThatEveryConnectionBreaksOverIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *fakeNATS) {
		const events, poison = 3000, 500
		fake.poison = strconv.Itoa(poison)
		c, stop := runWithFake(t, fake)
		defer stop()
		f := c.Feed("f")
		k := takerOf(f)
		next, restarts := 0, 0
		for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			done, lost := k.Progress()
			if done == events {
				break
			}
			if lost {
				next = int(k.Restart())
				restarts++
			}
			for next < events && k.Take(event(f, strconv.Itoa(next))) {
				next++
			}
			if time.Since(begin) > 10*time.Minute {
				t.Fatalf("%d are done with, after %d restarts", done, restarts)
			}
		}
		t.Logf("%d connections broke", restarts)
		if n := c.Stats().Feeds[0].Dropped[NATSBreaks]; n != 1 || restarts == 0 {
			t.Errorf("%d were given up, want 1", n)
		}
		time.Sleep(15 * time.Second)
		fake.mu.Lock()
		told := slices.Clone(fake.told)
		fake.mu.Unlock()
		if !slices.ContainsFunc(told, func(body string) bool { return strings.Contains(body, `"lost":{"nats_breaks":1}`) }) {
			t.Error("nobody is told")
		}
		arrived := make(map[string]bool)
		for _, body := range fake.got() {
			arrived[body] = true
		}
		for i := range events {
			if arrived[strconv.Itoa(i)] != (i != poison) {
				t.Errorf("event %d arrived: %v", i, arrived[strconv.Itoa(i)])
			}
		}
	})
}

// runWithFake runs a Core in a bubble.
func runWithFake(t *testing.T, fake *fakeNATS) (c *Core, stop func()) {
	c = NewCore(Options{
		URL: "nats://127.0.0.1:4222", Buffer: 600 << 10, Log: slog.New(slog.DiscardHandler),
		Connect: []nats.Option{nats.SetCustomDialer(fake), nats.SkipHostLookup()},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return c, func() {
		cancel()
		<-ended
	}
}

func TestTakingAllocatesNothing(t *testing.T) {
	c := NewCore(Options{Buffer: 16 << 20})
	f := c.Feed("f")
	k, e := takerOf(f), event(f, benchBody)
	run := func() {
		for range 500 {
			if !k.Take(e) {
				t.Fatal("it is not taken")
			}
		}
		for c.buffer.next() != nil {
		}
	}
	run()
	if got := testing.AllocsPerRun(100, run); got != 0 {
		t.Errorf("%v allocations in 500 events", got)
	}
}

func TestTheTakersMemoryStaysNearTheBound(t *testing.T) {
	for _, sizes := range [][]int{{0}, {20}, {300}, {chunkSize - 100, 300}, {100, chunkSize + 1}, {1 << 20}} {
		c := NewCore(Options{Buffer: 8 << 20})
		f := c.Feed("f")
		for i := 0; takerOf(f).Take(event(f, strings.Repeat("x", sizes[i%len(sizes)]))); i++ {
		}
		memory := int64(0)
		for k := c.buffer.first; k != nil; k = k.next {
			memory += int64(cap(k.bytes)) + int64(cap(k.entries))*entrySize
		}
		if memory > c.buffer.limit*21/10 {
			t.Errorf("payloads of %v bytes: a bound of %d takes %d bytes", sizes, c.buffer.limit, memory)
		}
	}
}

// walkedTaker is a Taker and what it should do: events are numbered as their taker numbers them, whatever comes between.
type walkedTaker struct {
	t     *testing.T
	r     *rand.Rand
	nats  *fakeNATS
	core  *Core
	taker topic.Taker
	topic *pool.Topic

	run  int            // how often it was restarted
	base map[int]uint64 // by run: what was done when it began
	next uint64         // to be taken
	done uint64         // as it was told last

	// Of what NATS has: how much was looked at, whether an event was in it, and the run and the event that come next.
	looked  int
	has     map[uint64]bool
	hasRun  int
	hasNext uint64
}

// void says which events can never be sent.
func void(n uint64) bool { return n%97 == 0 }

func (w *walkedTaker) take(events int) {
	for range events {
		body := fmt.Sprintf("%d %d ", w.run, w.next)
		switch {
		case void(w.next):
			body += strings.Repeat("x", 200_000) // more than the server takes
		case w.r.IntN(50) == 0:
			body += strings.Repeat("x", w.r.IntN(50_000))
		}
		if !w.taker.Take(eventOf(w.topic, body)) {
			return
		}
		w.next++
	}
}

func (w *walkedTaker) restart() {
	done := w.taker.Restart()
	if done < w.done || done >= w.next {
		w.t.Fatalf("it goes on after %d; %d were done with before, %d was the next", done, w.done, w.next)
	}
	w.run++
	w.base[w.run], w.next = done, done+1
	if now, lost := w.taker.Progress(); now != done || lost {
		w.t.Fatalf("after a restart %d are done with, lost: %v; want %d", now, lost, done)
	}
}

// check compares what NATS has with what is said to be done.
func (w *walkedTaker) check() (lost bool) {
	done, lost := w.taker.Progress()
	if done < w.done || done >= w.next {
		w.t.Fatalf("%d are done with; it were %d before, and %d is the next", done, w.done, w.next)
	}
	before := w.done
	w.done = done
	for _, body := range w.nats.got()[w.looked:] {
		words := strings.Fields(body)
		run, _ := strconv.Atoi(words[0])
		n, _ := strconv.ParseUint(words[1], 10, 64)
		if run < w.hasRun {
			w.t.Fatalf("event %d of run %d came after one of run %d", n, run, w.hasRun)
		}
		if run > w.hasRun {
			w.hasRun, w.hasNext = run, w.base[run]+1
		}
		for w.hasNext < n && void(w.hasNext) {
			w.hasNext++
		}
		if n != w.hasNext {
			w.t.Fatalf("event %d of run %d came, want %d", n, run, w.hasNext)
		}
		w.hasNext++
		w.has[n] = true
		w.looked++
	}
	for n := before + 1; n <= done; n++ {
		if !w.has[n] && !void(n) {
			w.t.Fatalf("event %d of %d is done with, and NATS does not have it", n, done)
		}
	}
	return lost
}

func TestAWalkOverBreaksAndRestarts(t *testing.T) {
	breaks, forgotten := 0, 0
	for seed := range uint64(20) {
		inBubble(t, func(t *testing.T, fake *fakeNATS) {
			c, stop := runWithFake(t, fake)
			defer stop()
			defer fake.pause(false)
			f, other := c.Feed("f"), c.Feed("other")
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			w := &walkedTaker{
				t: t, r: rand.New(rand.NewPCG(seed, 1)), nats: fake, core: c, taker: takerOf(f), topic: topicOf(f, "t"),
				base: make(map[int]uint64), next: 1, has: make(map[uint64]bool), hasNext: 1,
			}
			elsewhere := eventOf(topicOf(other, "t"), "")
			elsewhere.Topic.Subject = "elsewhere"
			for range 150 {
				switch w.r.IntN(12) {
				case 0:
					fake.cut()
				case 1:
					fake.pause(true)
				case 2, 3:
					fake.pause(false)
				case 4:
					if w.next > w.done+1 && w.r.IntN(2) == 0 {
						w.restart()
						forgotten++
					}
				case 5:
					time.Sleep(time.Duration(w.r.IntN(3000)) * time.Millisecond)
				case 6:
					synctest.Wait()
				case 7:
					_ = publish(other, elsewhere)
				default:
					w.take(w.r.IntN(400))
				}
				if w.check() && w.r.IntN(3) == 0 {
					breaks++
					w.restart()
				}
			}
			fake.pause(false)
			for range 200 {
				if w.check() {
					w.restart()
					w.take(100)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if w.done != w.next-1 {
				t.Errorf("seed %d: %d of %d are done with at the end", seed, w.done, w.next-1)
			}
			st := c.Stats()
			if st.Buffer != 0 || st.Feeds[0].Gaps[cause.NATSBroke] != 0 || st.Feeds[0].Dropped[BufferFull] != 0 {
				t.Errorf("seed %d: %+v", seed, st)
			}
		})
	}
	t.Logf("%d breaks, %d restarts at will", breaks, forgotten)
	if breaks == 0 || forgotten == 0 {
		t.Error("nothing broke")
	}
}
