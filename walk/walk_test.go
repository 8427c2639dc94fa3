// Package walk proves what the parts promise together: seeded random walks in virtual time through changes of topics, faults
// of every kind, outages of NATS, restarts and crashes. The parts are the real ones from the account to the NATS client; the
// networks, the upstream and the NATS server are simulated. An observer that sees what the upstream and the NATS server
// saw, and nothing of the inside, holds the promises against it.
//
// The short form runs with all other tests. The long form, and one walk again with its steps:
//
//	FEEDMUX_WALKS=100000 go test -timeout 0 -run Walk ./walk
//	FEEDMUX_WALK_SEED=n FEEDMUX_WALK_TOPIC=raid.001 go test -v -run Walk ./walk
//
// What happens at one moment has no order in a bubble, so a seed may need a few runs to fail again.
package walk

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/topic"
)

const (
	walkSteps = 20
	maxFailed = 10
	quiet     = 3 * time.Minute // more than anything waits
)

func TestWalkKeepsEveryPromise(t *testing.T) {
	walks, first := shortForm, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("FEEDMUX_WALKS")); err == nil {
		walks = n
	}
	if n, err := strconv.ParseUint(os.Getenv("FEEDMUX_WALK_SEED"), 10, 64); err == nil {
		walks, first = 1, n
	}
	failed := 0
	for seed := first; seed < first+uint64(walks) && failed < maxFailed; seed++ {
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { walk(t, seed, walks == 1) }) {
			failed++
		}
	}
	if walks >= 100 && failed == 0 {
		for f := range fired {
			if fired[f].Load() == 0 {
				t.Errorf("in %d walks the fault %s never happened", walks, f)
			}
		}
	}
}

// waits are the faults that need an occasion, which may not come on each walk.
var waits = map[upstream.Fault]bool{
	upstream.FaultLag: true, upstream.FaultStarve: true, twitch.FaultCap: true, twitch.FaultServerError: true,
	twitch.FaultResponseLoss: true, twitch.FaultPongLoss: true, twitch.FaultResponseDelay: true,
}

// fired counts the faults of all walks.
var fired = map[upstream.Fault]*atomic.Int64{}

func init() {
	for _, f := range []upstream.Fault{
		upstream.FaultReset, upstream.FaultFIN, upstream.FaultClose, upstream.FaultSilence, upstream.FaultBadFrame,
		upstream.FaultStorm, upstream.FaultRefuse, upstream.FaultLag, upstream.FaultStarve,
		twitch.FaultGarbage, twitch.FaultOversize, twitch.FaultReconnect, twitch.FaultCap, twitch.FaultServerError,
		twitch.FaultResponseLoss, twitch.FaultResponseDelay, twitch.FaultPongLoss,
	} {
		fired[f] = new(atomic.Int64)
	}
}

func walk(t *testing.T, seed uint64, loud bool) {
	defer func() { // the NATS client keeps timers in a sync.Pool, and those of a bubble must not come up in the next
		runtime.GC()
		runtime.GC()
	}()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		defer func() {
			if t.Failed() || loud {
				t.Logf("%+v\n%s", w.o, strings.Join(w.trace, "\n"))
			}
		}()
		for range walkSteps {
			w.step()
			w.check()
			w.pause(12 * time.Second)
			w.check()
		}
		w.arrive()
	})
}

// check looks at what must hold at every moment.
func (w *world) check() {
	w.t.Helper()
	synctest.Wait()
	for i, p := range w.run.feeds {
		got, err := p.Status(w.t.Context(), true)
		if err != nil {
			w.t.Fatal(err)
		}
		states, dark := make(map[topic.State]int), 0
		for _, line := range got.Ledger {
			states[line.State]++
			if !line.DarkSince.IsZero() && line.Slot != nil {
				dark++
				if line.State == topic.Confirmed {
					w.t.Errorf("confirmed and dark: %+v", line)
				}
			}
		}
		sum := 0
		for _, state := range topic.States() {
			if sum += states[state]; states[state] != got.Topics.In(state) {
				w.t.Errorf("%d topics are %s, counted %d", states[state], state, got.Topics.In(state))
			}
		}
		if n := len(w.wishes[i]); sum != n || got.Topics.Wanted != n || dark != got.Dark {
			w.t.Errorf("feed %s: %d topics are wanted; %d lines, counted %+v; %d dark, counted %d",
				w.o.feeds[i].name, n, sum, got.Topics, dark, got.Dark)
		}
	}
}

// arrive ends all faults, waits until all is quiet, and holds the whole walk against the promises.
func (w *world) arrive() {
	w.t.Helper()
	w.note("no more faults")
	w.up.Change(func(o *twitch.PubSubOptions) { o.ServerErrors, o.ResponseLoss, o.PongLoss, o.RetryAfter = 0, 0, 0, 0 })
	for _, id := range w.capped {
		w.up.SetCap(id, 0)
	}
	for _, c := range w.open() { // what lives take fewer topics, nobody knows from outside
		if slices.Contains(w.capped, c.ID) {
			w.up.Reset(c.ID)
		}
	}
	time.Sleep(quiet)
	w.check()
	w.confirmed()
	for _, v := range w.up.Violations() {
		if !w.excused(v) {
			w.t.Errorf("a rule of the upstream is broken: %+v", v)
		}
	}
	for _, f := range w.up.Unfired() {
		if !waits[f] {
			w.t.Errorf("the fault %s was planned and did not happen", f)
		}
	}
	for f, n := range w.up.Fired() {
		if fired[f] != nil {
			fired[f].Add(int64(n))
		}
	}
	w.note("the end")
	w.run.end()
	for _, r := range w.crashed {
		r.wait()
	}
	h := w.history()
	for _, text := range h.check() {
		w.t.Error(text)
	}
	if topic := os.Getenv("FEEDMUX_WALK_TOPIC"); topic != "" {
		w.t.Log(topic + "\n" + h.topics[topic].String())
	}
}

// confirmed looks whether every topic that can be is confirmed, and the upstream agrees.
func (w *world) confirmed() {
	w.t.Helper()
	listening := w.up.Listening()
	for i, p := range w.run.feeds {
		got, err := p.Status(w.t.Context(), true)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, line := range got.Ledger {
			n := 0
			for _, id := range listening[string(line.Topic)] {
				if c := w.up.Conns()[id-1]; w.deaf[c.Remote].IsZero() && c.Ended.IsZero() {
					n++
				}
			}
			switch line.State {
			case topic.Confirmed:
				if n != 1 && !(n == 2 && w.o.maxAge > 0) { // a hand-over may be under way
					w.t.Errorf("%s is confirmed, and %d connections listen to it", line.Topic, n)
				}
			case topic.Assigned, topic.Asked:
				if time.Since(line.Since) > 10*time.Second { // else its turn has just come
					w.t.Errorf("when all was quiet: %+v", line)
				}
			}
		}
		if free := min(got.Topics.Wanted-got.Topics.Refused, got.Capacity) - got.Topics.Placeable(); free > 0 {
			w.t.Errorf("feed %s: %d places are left: %+v of %d", w.o.feeds[i].name, free, got.Topics, got.Capacity)
		}
	}
}

// excused says whether a rule was broken because the walk saw to it that nothing came through.
func (w *world) excused(v upstream.Violation) bool {
	c := w.up.Conns()[v.Conn-1]
	return w.cutOff[c.Remote]
}
