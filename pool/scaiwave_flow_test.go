package pool

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/sim/scaiwave"
	"feedmux/internal/slots"
)

// What is to be fetched may not come, though the connection is open.
func TestAConfirmedTopicOnWhichNothingFlowsIsInAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(5), nil, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.sink.take()
		s.bus.set(0, true)
		time.Sleep(time.Second)
		s.up.Change(func(o *scaiwave.Options) { o.SyncErrors = 1 })
		s.bus.lose() // now something must be fetched
		s.bus.set(0, false)
		begin := time.Now()
		time.Sleep(25 * time.Second)
		if n := s.status().Topics.Confirmed; n != 1 {
			t.Fatalf("%d topics are confirmed: too soon", n)
		}
		time.Sleep(10 * time.Second)
		if n := s.status().Topics.Confirmed; n != 0 {
			t.Fatalf("%d topics are confirmed, and nothing flows", n)
		}
		if got := s.slot(); got.State != slots.Live || got.LastCause != cause.HTTP5xx || got.LastError == "" {
			t.Errorf("%+v", got)
		}
		if list := s.feedNotices(); !slices.Contains(list, "live http_5xx") {
			t.Errorf("feed notices: %q", list)
		}
		time.Sleep(time.Hour)
		s.up.Change(func(o *scaiwave.Options) { o.SyncErrors = 0 })
		s.hush()
		found := false
		for _, g := range s.closedGaps() {
			found = found || g.Cause == cause.HTTP5xx && g.Filled == AllFilled && g.From.Sub(begin).Abs() < 2*time.Second
		}
		if !found {
			t.Error("no gap says so")
		}
		st := s.status()
		if n := st.Counters.Disconnects[cause.HTTP5xx]; n != 0 || len(s.up.Conns()) != 1 {
			t.Errorf("%d disconnects, %d streams", n, len(s.up.Conns()))
		}
		s.whole(false)
	})
}

func TestANewTokenIsVouchedForByANewLifeBeforeAnythingIsFetchedWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(5), func(s *sea) { s.tenant = "tenant-1" }, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.renew("token-2")
		time.Sleep(time.Minute)
		if n := len(s.up.Conns()); n != 1 {
			t.Fatalf("%d streams", n)
		}
		asked := time.Now()
		s.bus.set(0, true)
		time.Sleep(time.Second)
		s.bus.lose() // now something must be fetched
		s.bus.set(0, false)
		time.Sleep(time.Minute)
		list := s.streamsSince(asked)
		if len(list) != 1 || s.up.Conns()[0].Ended.IsZero() {
			t.Fatalf("%d new streams", len(list))
		}
		for _, r := range s.up.Syncs() {
			if r.At.After(asked) && r.At.Before(list[0].Hello) {
				t.Errorf("asked at %v, before %v", r.At, list[0].Hello)
			}
		}
		s.hush()
		s.whole(false)
		if n := len(s.up.Conns()); n != 2 {
			t.Errorf("%d streams", n)
		}
	})
}

func TestTheRefusalOfAnOldTokenDoesNotSilenceTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embark(t, paced(5), func(s *sea) { s.up.SetToken(s.token) }, "*")
		s.confirmed(1, time.Minute)
		time.Sleep(time.Minute)
		s.up.SetToken("token-2") // its sockets live on
		s.renew("token-2")
		time.Sleep(time.Second)
		s.up.Change(func(o *scaiwave.Options) { o.Refuse = 1 })
		begin := time.Now()
		s.up.Expire(s.conn())
		time.Sleep(10 * time.Minute)
		polls := 0
		for _, r := range s.up.Syncs() {
			if r.At.After(begin) && r.Status == 200 {
				polls++
			}
		}
		if polls == 0 {
			t.Error("nothing was fetched with the new token")
		}
		s.up.Change(func(o *scaiwave.Options) { o.Refuse = 0 })
		s.hush()
		s.whole(true)
	})
}
