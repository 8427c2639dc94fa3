package pool

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// A walk's figures: small, so that slots and places are short all the time.
const (
	walkSlots  = 4
	walkTopics = 12 // on a connection
	walkSteps  = 30
	walkNames  = 70
)

// walk is a scene to which chance does things.
type walk struct {
	*scene
	r    *rand.Rand
	gate gate
	room int // topics on a connection, now
}

// A random walk through faults and wishes. After each step the books must be in order, and when all is quiet again the
// ledger must say exactly what the upstream does. FEEDMUX_WALKS sets how many walks there are.
func TestWhateverHappensTheLedgerSaysWhatTheUpstreamDoes(t *testing.T) {
	walks := 25
	if n, err := strconv.Atoi(os.Getenv("FEEDMUX_WALKS")); err == nil {
		walks = n
	}
	for seed := range uint64(walks) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := setOut(t, seed)
				for range walkSteps {
					w.step()
					w.check()
					time.Sleep(time.Duration(w.r.Int64N(int64(5 * time.Second)))) // a PONG may take ten seconds
					w.gate.open()
					time.Sleep(time.Duration(w.r.Int64N(int64(10 * time.Second))))
					w.check()
				}
				w.letPlannedFaultsHappen()
				time.Sleep(12 * time.Minute) // more than the longest pause between two asks
				w.check()
				w.arrive()
			})
		})
	}
}

func setOut(t *testing.T, seed uint64) *walk {
	w := &walk{r: rand.New(rand.NewPCG(seed, seed)), room: walkTopics}
	o := twitch.PubSubOptions{
		Options:             upstream.Options{Seed: seed, Rate: 2, Connections: walkSlots},
		TopicsPerConnection: walkTopics, BadTopics: []string{"bad.*"},
	}
	if seed%2 == 0 {
		o.ServerErrors, o.ResponseLoss, o.PongLoss = 0.1, 0.1, 0.1
	}
	if seed%3 == 0 {
		o.ResponseDelay = 200 * time.Millisecond
	}
	w.scene = play(t, o, w.wishes(), func(o *Options) {
		o.Conn.Share = share(walkSlots, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
		o.Conn.Connections, o.TopicsPerConnection = walkSlots, walkTopics
		o.Conn.SubscribeBatch = 5
		o.Conn.Seed = seed
		o.Placement = []shard.Placement{shard.Pack, shard.Spread}[seed/2%2]
		w.gate.guard(o)
	})
	return w
}

// wishes are topics of which a third is left out, a few are dear, and some cannot be had.
func (w *walk) wishes() (list []shard.Wanted) {
	for i := range walkNames {
		if w.r.IntN(3) > 0 {
			list = append(list, shard.Wanted{Topic: shard.Topic(fmt.Sprintf("raid.%d", i)), Priority: w.r.IntN(20) / 18})
		}
	}
	if w.r.IntN(3) == 0 {
		list = append(list, shard.Wanted{Topic: "bad.1", Priority: 2}, shard.Wanted{Topic: "whispers.1", Priority: 1})
	}
	return list
}

// step does one thing, or a few that the conns may not see one by one.
func (w *walk) step() {
	switch w.r.IntN(14) {
	case 0, 1, 2:
		w.wish()
	case 3, 4: // conns that are stuck in a write see the last wish only
		w.gate.shut()
		w.wish()
		same := w.wishes()
		w.pool.Want(same)
		synctest.Wait()
		w.pool.Want(append(named("dear", w.r.IntN(walkTopics), 3), same...)) // some lose their place
		synctest.Wait()
		w.pool.Want(same) // and get it back
	case 5:
		w.pool.Want(nil)
	case 6:
		w.net.SetRefuse(w.r.IntN(2) == 0)
	case 7:
		w.net.SetHang(w.r.IntN(2) == 0)
	case 8:
		if w.up.Open() > 0 {
			w.up.ResetAll()
		}
	case 9:
		w.reload()
	default:
		w.strike()
	}
}

// wish wants something else, or for a moment only.
func (w *walk) wish() {
	for range 1 + w.r.IntN(3) {
		w.pool.Want(w.wishes())
		if w.r.IntN(2) == 0 {
			synctest.Wait()
		}
	}
}

// reload changes settings, of all connections or of those to come.
func (w *walk) reload() {
	w.room = 1 + w.r.IntN(walkTopics)
	w.configure(func(s *Settings) {
		s.TopicsPerConnection, s.Placement = w.room, []shard.Placement{shard.Pack, shard.Spread}[w.r.IntN(2)]
		s.Conn.SubscribeBatch = 1 + w.r.IntN(10)
		s.Conn.PingInterval = time.Duration(20+w.r.IntN(40)) * time.Second
		s.Conn.Backoff.Max = time.Duration(10+w.r.IntN(120)) * time.Second
	})
	if w.r.IntN(2) == 0 {
		w.pool.Renew()
	}
}

// strike lets a fault happen to one connection, if one is open.
func (w *walk) strike() {
	synctest.Wait()
	open := slices.DeleteFunc(w.up.Conns(), func(c twitch.ConnRecord) bool {
		return c.Upgraded.IsZero() || !c.Ended.IsZero() || c.Why != "" || c.Muted
	})
	if len(open) == 0 {
		return
	}
	id := open[w.r.IntN(len(open))].ID
	faults := []func(id int) bool{
		w.up.Reset, w.up.FIN, w.up.Mute, w.up.BadFrame, w.up.Garbage, w.up.Reconnect,
		func(id int) bool { return w.up.Close(id, 1012, "restart") },
	}
	if i := w.r.IntN(len(faults)); !faults[i](id) {
		w.t.Errorf("fault %d does not strike connection %d", i, id)
	}
}

// check looks at what must hold at any moment.
func (w *walk) check() {
	w.t.Helper()
	got := w.status()
	if open := w.up.Open(); got.Account.Connections > walkSlots || got.Account.Connections < open {
		w.t.Errorf("the account counts %d connections of %d, the upstream %d", got.Account.Connections, walkSlots, open)
	}
	states, dark := make(map[topic.State]int), 0
	onSlot := make(map[shard.Slot]int)
	for _, line := range got.Ledger {
		states[line.State]++
		if !line.DarkSince.IsZero() && line.Slot != nil {
			dark++
		}
		if line.State == topic.Confirmed && !line.DarkSince.IsZero() {
			w.t.Errorf("confirmed and dark: %+v", line)
		}
		if line.Slot != nil {
			onSlot[*line.Slot]++
		}
	}
	for _, state := range topic.States() {
		if states[state] != got.Topics.In(state) {
			w.t.Errorf("%d topics are %s, counted %d", states[state], state, got.Topics.In(state))
		}
	}
	if len(got.Ledger) != got.Topics.Wanted || dark != got.Dark {
		w.t.Errorf("%d lines for %d topics; %d are dark, counted %d", len(got.Ledger), got.Topics.Wanted, dark, got.Dark)
	}
	for _, slot := range got.Slots {
		if n := onSlot[slot.Slot]; n > w.room || slot.Confirmed > 0 && slot.State != slots.Live && slot.State != slots.Leaving {
			w.t.Errorf("%d topics on slot %+v", n, slot)
		}
	}
}

// letPlannedFaultsHappen goes on until none was planned in vain, and then ends them all.
func (w *walk) letPlannedFaultsHappen() {
	w.net.SetRefuse(false)
	w.net.SetHang(false)
	w.pool.Want(w.wishes())
	certain := func(share *float64) {
		if *share > 0 {
			*share = 1
		}
	}
	for range 20 {
		unfired := w.up.Unfired()
		if len(unfired) == 0 {
			break
		}
		w.up.Change(func(o *twitch.PubSubOptions) {
			certain(&o.ServerErrors)
			certain(&o.ResponseLoss)
			certain(&o.PongLoss)
		})
		time.Sleep(time.Minute)
	}
	w.up.Change(func(o *twitch.PubSubOptions) {
		o.ServerErrors, o.ResponseLoss, o.PongLoss, o.Rate = 0, 0, 0, 0
	})
}

// arrive looks at what must hold once all is quiet.
func (w *walk) arrive() {
	w.t.Helper()
	got, listening := w.status(), w.up.Listening()
	for _, line := range got.Ledger {
		sent := len(listening[string(line.Topic)])
		switch line.State {
		case topic.Confirmed:
			if sent != 1 {
				w.t.Errorf("%s is confirmed; %d connections listen to it", line.Topic, sent)
			}
		case topic.Assigned, topic.Asked:
			w.t.Errorf("after 12 quiet minutes: %+v", line)
		}
	}
	most := min(got.Topics.Wanted-got.Topics.Refused, walkSlots*w.room)
	if n := got.Topics.Confirmed; n != most || n != len(listening) {
		w.t.Errorf("%d of %d topics are confirmed, and the upstream sends %d", n, most, len(listening))
	}
	if n := w.up.MaxOpen(); n > walkSlots {
		w.t.Errorf("%d sockets were open at once", n)
	}
	if v := w.up.Violations(); len(v) > 0 {
		w.t.Errorf("rules broken: %v", v)
	}
	dials := w.net.Dials()
	for i := 1; i < len(dials); i++ {
		if d := dials[i].Sub(dials[i-1]); d < 2*time.Second {
			w.t.Errorf("dials %d and %d are %v apart", i-1, i, d)
		}
	}
}
