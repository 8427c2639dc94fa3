package pool

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

func TestAHandOverThatFailsIsLogged(t *testing.T) {
	for name, c := range map[string]struct {
		fail, mend func(s *scene)
		why        string
	}{
		"the dial fails": {
			func(s *scene) { s.net.SetRefuse(true) }, func(s *scene) { s.net.SetRefuse(false) }, "cause=refused",
		},
		"the new connection ends": {
			func(s *scene) { s.up.Change(func(o *twitch.PubSubOptions) { o.AcceptThenClose = true }) },
			func(s *scene) { s.up.Change(func(o *twitch.PubSubOptions) { o.AcceptThenClose = false }) }, "cause=reset",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &diary{}
				s := play(t, twitch.PubSubOptions{}, topics(20), func(o *Options) {
					connections(o, 1)
					o.Conn.Share = share(3, limiter.Window{N: 100, Per: time.Second}, 1)
					o.Log = slog.New(slog.NewTextHandler(log, nil))
				})
				time.Sleep(time.Minute)
				c.fail(s)
				s.pool.Renew()
				time.Sleep(10 * time.Minute)
				failed := func() int {
					return log.count("a hand-over failed", "level=WARN", "slot=0 life=1 ", c.why, "error=", "retry_in=")
				}
				n := failed()
				if n < 2 || n > 30 || log.count("a hand-over failed") != n {
					t.Errorf("%d hand-overs failed:\n%s", n, log.text.String())
				}
				c.mend(s)
				time.Sleep(5 * time.Minute)
				if life := s.status().Slots[0].Life; life == 1 || failed()-n > 1 {
					t.Errorf("life %d serves:\n%s", life, log.text.String())
				}
			})
		})
	}
}

func TestThatASlotTakesFewerTopicsIsLoggedOnce(t *testing.T) {
	p, _, out := still(t, func(o *Options) { o.TopicsPerConnection = 10 })
	p.slots[2].Life = 3
	for _, n := range []int{8, 8, 10} {
		p.onNews(slots.FullNews{Slot: 2, Life: 3, Capacity: n}, time.Now())
	}
	if log := out.String(); strings.Count(log, "\n") != 1 ||
		!strings.Contains(log, `level=WARN msg="slot takes fewer topics than it may have" feed=f slot=2 life=3 capacity=8 configured=10`) {
		t.Errorf("the log: %s", log)
	}
}

func TestWhatAnUpstreamPutsOffIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &diary{}
		s := play(t, twitch.PubSubOptions{TooManyTopics: full}, topics(30), func(o *Options) {
			oneConnection(o)
			o.Log = slog.New(slog.NewTextHandler(log, nil))
		})
		s.confirmed(30, time.Minute)
		said := func() int {
			return log.count("level=WARN", "topics are put off", "topics=20", "reason="+full)
		}
		time.Sleep(5 * time.Minute)
		if n := log.count("put off"); n > 0 {
			t.Errorf("it was said %d times of topics that are confirmed", n)
		}
		s.up.SetCap(1, 30)
		s.pool.Want(topics(50))
		time.Sleep(10*time.Minute + time.Second)
		if n := said(); n < 7 || n > 10 { // just now one may be asked for
			t.Errorf("it was said %d times in ten minutes", n)
		}
		if line := s.topic(topics(50)[49].Topic); line.Reason != full && line.State != topic.Asked {
			t.Errorf("%+v", line)
		}
	})
}

func TestALiveSlotThatHasTroubleIsNotSaidToBecomeLive(t *testing.T) {
	p, _, out := still(t, nil)
	for _, err := range []error{nil, errors.New("nothing is fetched")} {
		n := slots.StateNews{Slot: 1, Life: 2, State: slots.Live, At: time.Now(), Err: err}
		if err != nil {
			n.Cause = cause.HTTP5xx
		}
		p.onNews(n, n.At)
	}
	if log := out.String(); strings.Count(log, "\n") != 2 || strings.Count(log, `msg="slot is live" feed=f slot=1 life=2`) != 1 ||
		!strings.Contains(log, `level=WARN msg="slot is live, but not all is well" feed=f slot=1 life=2 cause=http_5xx error="nothing is fetched"`) {
		t.Errorf("the log: %s", log)
	}
}

func TestReadinessIsLoggedAndDoesNotFlap(t *testing.T) {
	begin := time.Now()
	p, _, out := still(t, nil)
	p.readiness.since = begin
	now := begin
	pass := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); { // as the pool's timer would
			wake := p.onTime(now)
			if now = wake; now.After(end) {
				now = end
			}
		}
		p.onTime(now)
	}
	confirm := func() {
		p.onNews(slots.TopicNews{Slot: 0, News: topic.News{Topics: p.sent[0], State: topic.Confirmed, By: topic.ByAck, At: now}}, now)
		p.onTime(now)
	}
	end := func() {
		p.onNews(slots.LifeEnded{Slot: 0, Cause: cause.Reset, LastFrame: now}, now)
		p.onTime(now)
	}
	want := func(line string) {
		t.Helper()
		log := out.String()
		out.Reset()
		if strings.Count(log, "\n") != min(len(line), 1) || !strings.Contains(log, line) {
			t.Errorf("after %v the log is %q, want %q", now.Sub(begin), log, line)
		}
	}
	pass(time.Minute) // nothing is wanted
	p.onWant([]shard.Wanted{topics(1)[0]}, now)
	pass(time.Minute)
	want("")
	confirm()
	want(`level=INFO msg="feed is ready" feed=f topics=1 after=2m0s`)
	for range 100 { // it is dark for a while again and again
		end()
		pass(steadyFor - time.Second)
		confirm()
		pass(time.Second)
	}
	want("")
	end()
	pass(steadyFor)
	want(`level=WARN msg="feed is not ready any more" feed=f topics=1 confirmed=0`)
	for range 100 { // it is ready for a moment again and again
		confirm()
		pass(steadyFor - time.Second)
		end()
		pass(time.Minute)
	}
	want("")
	confirm()
	pass(steadyFor)
	want(`level=INFO msg="feed is ready" feed=f topics=1 after=`)
	end()
	p.onWant(nil, now) // nothing is left to be ready
	pass(time.Hour)
	want("")
}
