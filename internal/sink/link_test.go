package sink

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"feedmux/internal/sink/link"
)

func TestTheClientIsToldWhenToGiveUpAServer(t *testing.T) {
	t.Parallel()
	o := stepThrough(t, startServer(t, nil).ClientURL()).nc.Opts
	if o.PingInterval != 20*time.Second || o.MaxPingsOut != 2 || o.FlusherTimeout != 3*time.Second ||
		!o.ReconnectOnFlusherError || !o.IgnoreAuthErrorAbort || o.MaxReconnect != -1 {
		t.Errorf("%+v", o)
	}
}

func TestAServerThatAnswersNoPingIsLeft(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.DisableShortFirstPing = true })
	p := startProxy(t, s.ClientURL())
	c := startCore(t, Options{URL: p.url(), Connect: []nats.Option{nats.PingInterval(10 * time.Millisecond)}})
	c.wantConnected(t, true)
	p.stall()
	c.wantConnected(t, false)
	p.cut()
	p.flow()
	p.mend(t)
	c.wantConnected(t, true)
}

// Its connection is as good as ever until its pings are missed.
func TestAServerThatTakesNothingShowsInWhatItDoesNotConfirm(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, nil).ClientURL())
	c := startCore(t, Options{URL: p.url()})
	c.publish(t, "a")
	confirmed := func() bool { return c.Stats().Feeds[0].Published > 0 && c.Stats().Unconfirmed == 0 }
	eventually(t, "what it takes is confirmed", confirmed)
	p.stall()
	begin := time.Now()
	c.publish(t, "b")
	for _, least := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
		eventually(t, "the time without an answer grows", func() bool { return c.Stats().Unconfirmed >= least })
	}
	if s := c.Stats(); !s.Connected || s.Unconfirmed > time.Since(begin) {
		t.Errorf("after %v: %+v", time.Since(begin), s)
	}
	p.flow()
	eventually(t, "that is confirmed, too", confirmed)
}

// A server ends the connection over a line that is longer than it allows, and the client gives up for good.
func TestEventsGoOnAfterALineThatTheServerFindsTooLong(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.MaxControlLine = 512 })
	sub := subscribe(t, s.ClientURL(), "feed.>")
	c := startCore(t, Options{URL: s.ClientURL()})
	long := topicOf(c.feed, "long")
	long.Subject = "feed.f." + strings.Repeat("a", 600)
	for i := range uint64(2) {
		c.publish(t, "before")
		sub.want(t, "before")
		if err := publish(c.feed, eventOf(long, "poison")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is connected again", func() bool { return c.Stats().Reconnects == i+1 })
		c.publish(t, "after")
		sub.want(t, "after")
	}
	sub.wantNoMore(t)
}

// The client gives up when it is refused twice in the same way, unless it is told not to. Either way events go on once
// the server knows the password again.
func TestEventsGoOnAfterTheServerRefusedThePasswordAgainAndAgain(t *testing.T) {
	givesUp := func(o *nats.Options) error { o.IgnoreAuthErrorAbort = false; return nil }
	for name, options := range map[string][]nats.Option{"the client tries on": nil, "the client gives up": {givesUp}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, func(o *server.Options) { o.Authorization = "right" })
			host, port, _ := net.SplitHostPort(s.Addr().String())
			url := func(password string) string { return "nats://" + password + "@" + host + ":" + port }
			restart := func(password string) {
				stopServer(s)
				s = startServer(t, func(o *server.Options) {
					o.Port, _ = strconv.Atoi(port)
					o.Authorization = password
				})
			}
			d := new(stuckDialer)
			c := startCore(t, Options{URL: url("right"), Connect: append(options, nats.SetCustomDialer(d))})
			c.wantConnected(t, true)
			restart("another")
			dials := d.dials.Load()
			eventually(t, "it was refused often", func() bool { return d.dials.Load() >= dials+4 })
			restart("right")
			sub := subscribe(t, url("right"), "feed.>")
			c.wantConnected(t, true)
			c.publish(t, "afterwards")
			sub.want(t, "afterwards")
		})
	}
}

func TestALoginThatIsNotKnownYetIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := subscribe(t, s.ClientURL(), "feed.>")
	var known atomic.Bool
	c := startCore(t, Options{Login: func() (string, []nats.Option, error) {
		if !known.Load() {
			return "", nil, errors.New("nobody says where")
		}
		return s.ClientURL(), nil, nil
	}})
	eventually(t, "it is told", func() bool { return strings.Contains(c.log.String(), "nobody says where") })
	c.publish(t, "meanwhile")
	known.Store(true)
	c.wantConnected(t, true)
	sub.want(t, "meanwhile")
}

func TestANoticeThatBreaksEveryConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.MaxControlLine = 512 })
	sub := subscribe(t, s.ClientURL(), "feedmux.>")
	c := startCore(t, Options{URL: s.ClientURL()})
	c.feed.Notice(note(strings.Repeat("a", 600)))
	eventually(t, "it is given up", func() bool { return c.Stats().Notices.Dropped == 1 })
	c.feed.Notice(note("next"))
	sub.wantNotes(t, "next")
}

func TestEveryWayToAServerIsAWire(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	inside := startCore(t, Options{Connect: []nats.Option{nats.InProcessServer(s)}})
	inside.wantConnected(t, true)
	if got := inside.Stats().Server; got != "in this process" {
		t.Errorf("the server is shown as %q", got)
	}
	for name, options := range map[string][]nats.Option{
		"TCP": nil, "a dialer": {nats.SetCustomDialer(new(stuckDialer))}, "in the process": {nats.InProcessServer(s)},
	} {
		nc, err := link.New(inside.Core.log).Connect("", func() (string, []nats.Option, error) { return s.ClientURL(), options, nil })
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		way := fmt.Sprintf("%T", nc.Opts.CustomDialer)
		if nc.Opts.InProcessServer != nil {
			way = fmt.Sprintf("%T", nc.Opts.InProcessServer)
		}
		if !strings.HasPrefix(way, "natswire.") {
			t.Errorf("%s: a %s", name, way)
		}
	}
}
