package walk

import (
	"fmt"
	"net/http"
	"slices"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/shard"
)

// note writes a line of the walk's trace.
func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, clock(time.Now())+" "+fmt.Sprintf(format, args...))
}

// draft chooses wanted topics of a feed.
func (w *world) draft(i int) (list []shard.Wanted) {
	for _, name := range w.o.feeds[i].names {
		if w.r.IntN(4) > 0 {
			list = append(list, shard.Wanted{Topic: shard.Topic(name), Priority: w.r.IntN(20) / 17})
		}
	}
	if w.r.IntN(6) == 0 {
		list = append(list, shard.Wanted{Topic: "bad.1", Priority: w.r.IntN(2)})
	}
	return list
}

// wish wants other topics.
func (w *world) wish(i int, list []shard.Wanted) {
	now := time.Now()
	for _, name := range w.o.feeds[i].names {
		wants := func(t shard.Wanted) bool { return string(t.Topic) == name }
		was, is := slices.ContainsFunc(w.wishes[i], wants), slices.ContainsFunc(list, wants)
		spans := w.wanted[name]
		switch {
		case is && !was:
			w.wanted[name] = append(spans, span{from: now})
		case was && !is:
			spans[len(spans)-1].to = now
		}
	}
	w.wishes[i] = list
	if w.run != nil {
		w.run.feeds[i].Want(list)
	}
}

func (w *world) wishAnew() {
	i := w.r.IntN(len(w.wishes))
	for range 1 + w.r.IntN(2) {
		list := w.draft(i)
		if w.r.IntN(12) == 0 {
			list = nil
		}
		w.note("feed %s wants %d topics", w.o.feeds[i].name, len(list))
		w.wish(i, list)
		if w.r.IntN(2) == 0 {
			synctest.Wait()
		}
	}
}

// step does one thing.
func (w *world) step() {
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := w.r.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do(w)
			return
		}
	}
}

var steps = []struct {
	weight int
	do     func(*world)
}{
	{6, (*world).wishAnew},
	{12, (*world).strike},
	{2, (*world).storm},
	{2, (*world).renew},
	{2, (*world).refuseDials},
	{2, (*world).refuseHandshakes},
	{2, (*world).hangDials},
	{3, (*world).cutNATS},
	{2, (*world).refuseNATS},
	{2, (*world).pauseNATS},
	{2, (*world).restart},
	{2, (*world).crash},
}

// open are the connections that a fault can strike.
func (w *world) open() []twitch.ConnRecord {
	synctest.Wait()
	return slices.DeleteFunc(w.up.Conns(), func(c twitch.ConnRecord) bool {
		return c.Upgraded.IsZero() || !c.Ended.IsZero() || c.Why != "" || c.Muted || len(c.Topics) == 0 || w.cutOff[c.Remote]
	})
}

// strike lets a fault happen to one connection.
func (w *world) strike() {
	open := w.open()
	if len(open) == 0 {
		return
	}
	c := open[w.r.IntN(len(open))]
	f := connFaults[w.r.IntN(len(connFaults))]
	w.note("%s strikes %d", f.name, c.ID)
	if !f.do(w, c) {
		w.t.Errorf("the fault %s does not strike connection %d", f.name, c.ID)
	}
}

var connFaults = []struct {
	name string
	do   func(*world, twitch.ConnRecord) bool
}{
	{"reset", func(w *world, c twitch.ConnRecord) bool { return w.up.Reset(c.ID) }},
	{"FIN", func(w *world, c twitch.ConnRecord) bool { return w.up.FIN(c.ID) }},
	{"close", func(w *world, c twitch.ConnRecord) bool {
		return w.up.Close(c.ID, []int{1000, 1001, 1008, 1012, 1013, 4000, 4100}[w.r.IntN(7)], "why not")
	}},
	{"mute", func(w *world, c twitch.ConnRecord) bool {
		w.deaf[c.Remote], w.cutOff[c.Remote] = time.Now(), true
		return w.up.Mute(c.ID)
	}},
	{"bad frame", func(w *world, c twitch.ConnRecord) bool { return w.up.BadFrame(c.ID) }},
	{"garbage", func(w *world, c twitch.ConnRecord) bool { return w.up.Garbage(c.ID) }},
	{"oversize", func(w *world, c twitch.ConnRecord) bool { return w.up.Oversize(c.ID) }},
	{"reconnect", func(w *world, c twitch.ConnRecord) bool { return w.up.Reconnect(c.ID) }},
	{"lag", func(w *world, c twitch.ConnRecord) bool {
		w.behind[c.ID] = true
		return w.up.SetLag(c.ID, time.Duration(1+w.r.IntN(4000))*time.Millisecond)
	}},
	{"starve", func(w *world, c twitch.ConnRecord) bool {
		w.behind[c.ID] = true
		return w.up.StarveConn(c.ID)
	}},
	{"cap of the next", func(w *world, c twitch.ConnRecord) bool {
		conns := w.up.Conns()
		next := conns[len(conns)-1].ID + 1
		w.capped = append(w.capped, next)
		return w.up.SetCap(next, 1+w.r.IntN(topicsPerConnection-1)) && w.up.Reset(c.ID)
	}},
	{"black hole", func(w *world, c twitch.ConnRecord) bool { return w.cut(c, true, true) }},
	{"black hole inward", func(w *world, c twitch.ConnRecord) bool { return w.cut(c, true, false) }},
	{"black hole outward", func(w *world, c twitch.ConnRecord) bool { return w.cut(c, false, true) }},
}

// cut makes a connection a black hole, from its client's point of view.
func (w *world) cut(c twitch.ConnRecord, in, out bool) bool {
	for _, nc := range w.network.Conns() {
		if nc.LocalAddr().String() != c.Remote {
			continue
		}
		w.cutOff[c.Remote] = true
		if in {
			nc.CutIn()
			w.deaf[c.Remote] = time.Now()
		}
		if out {
			nc.CutOut()
		}
		return true
	}
	return false
}

func (w *world) storm() {
	if len(w.open()) > 0 {
		w.note("storm")
		w.up.ResetAll()
	}
}

func (w *world) renew() {
	w.note("renew")
	for _, p := range w.run.feeds {
		p.Renew()
	}
}

// refuseDials makes the network refuse dials for a while.
func (w *world) refuseDials() {
	w.note("dials are refused")
	w.network.SetRefuse(true)
	w.strike()
	w.pause(20 * time.Second)
	w.network.SetRefuse(false)
	w.note("dials are not refused any more")
}

// hangDials makes dials hang for a while.
func (w *world) hangDials() {
	w.note("dials hang")
	w.network.SetHang(true)
	w.strike()
	w.pause(20 * time.Second)
	w.network.SetHang(false)
	w.note("dials do not hang any more")
}

// refuseHandshakes makes the upstream refuse handshakes, until one came.
func (w *world) refuseHandshakes() {
	open := w.open()
	if len(open) == 0 {
		return
	}
	status := []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusNotFound, -1}[w.r.IntN(5)]
	w.note("handshakes are refused with %d", status)
	after := time.Duration(0)
	if status == http.StatusTooManyRequests {
		after = time.Duration(1+w.r.IntN(15)) * time.Second
	}
	w.up.Change(func(o *twitch.PubSubOptions) { o.RetryAfter = after })
	w.up.SetRefuseStatus(status)
	w.up.Reset(open[0].ID)
	for range 60 {
		w.pause(10 * time.Second)
		if !slices.Contains(w.up.Unfired(), upstream.FaultRefuse) {
			break
		}
		if open := w.open(); len(open) > 0 { // the one before may have been handed over just then
			w.up.Reset(open[0].ID)
		}
	}
	w.up.SetRefuseStatus(0)
	w.note("handshakes are not refused any more")
	if status == http.StatusUnauthorized {
		w.pause(5 * time.Second)
		w.note("the credential changes")
		for _, p := range w.run.feeds {
			p.CredentialChanged()
		}
	}
}

// NATS is not well from now on until the function is called, and a little longer.
func (w *world) ails() (mend func()) {
	w.ailing = append(w.ailing, span{from: time.Now()})
	i := len(w.ailing) - 1
	return func() { w.ailing[i].to = time.Now().Add(mended) }
}

func (w *world) cutNATS() {
	w.note("NATS is cut off")
	w.ails()()
	w.nats.cut()
}

func (w *world) refuseNATS() {
	w.note("NATS is gone")
	mend := w.ails()
	w.nats.network.SetRefuse(true)
	w.nats.cut()
	w.among(1+w.r.IntN(3), 20*time.Second)
	w.nats.network.SetRefuse(false)
	w.note("NATS is back")
	mend()
}

func (w *world) pauseNATS() {
	w.note("NATS pauses")
	mend := w.ails()
	w.nats.pause()
	w.among(1+w.r.IntN(3), 30*time.Second)
	if w.r.IntN(2) == 0 {
		w.nats.cut()
	}
	w.nats.resume()
	w.note("NATS goes on")
	mend()
}

// among takes some steps that have nothing to do with NATS.
func (w *world) among(n int, upTo time.Duration) {
	for range n {
		switch w.r.IntN(6) {
		case 0:
			w.wishAnew()
		case 1:
			w.renew()
		case 2:
			w.restartOrCrash()
		default:
			w.strike()
		}
		w.check()
		w.pause(upTo)
	}
}

func (w *world) restartOrCrash() {
	if w.r.IntN(2) == 0 {
		w.restart()
	} else {
		w.crash()
	}
}

func (w *world) restart() {
	w.note("the daemon ends")
	w.run.end()
	w.deaths = append(w.deaths, time.Now())
	w.pause(time.Duration(w.r.IntN(3)) * time.Second)
	w.run = w.start()
	w.note("and starts")
}

func (w *world) crash() {
	w.note("the daemon crashes")
	w.run.crash()
	synctest.Wait()
	w.crashed = append(w.crashed, w.run)
	w.deaths = append(w.deaths, time.Now())
	w.crashes = append(w.crashes, time.Now())
	w.pause(time.Duration(w.r.IntN(3)) * time.Second)
	w.run = w.start()
	w.note("and starts")
}

// pause lets some time pass.
func (w *world) pause(upTo time.Duration) {
	if upTo > 0 {
		time.Sleep(time.Duration(w.r.Int64N(int64(upTo))))
	}
}
