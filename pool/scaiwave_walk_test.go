package pool

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/bubble"
	"feedmux/internal/sim"
	"feedmux/internal/sim/scaiwave"
	"feedmux/internal/sim/upstream"
)

// Events a second, usually and in a flood: in minutes of that there are more than can be held back.
const usual, flood = 5, 60

// voyage is a sea to which chance does things.
type voyage struct {
	*sea
	r      *rand.Rand
	once   bool // nothing has happened yet that may bring an event twice
	tokens int
	did    map[string]int

	severed map[int]bool // streams whose line was cut without a word: the upstream waits for a pong in vain
}

// Fifty things happen to the line, the upstream, NATS and the daemon, at random moments under load; then everything that the
// upstream kept must be there, in order in each room: once, unless NATS or the daemon broke, or a clean end had to go back
// for an event that the upstream showed late. FEEDMUX_WALKS sets how many walks there are.
func TestAScaiWaveFeedIsWholeWhateverHappens(t *testing.T) {
	walks := 8
	if bubble.Raced {
		walks = 3
	}
	if n, err := strconv.Atoi(os.Getenv("FEEDMUX_WALKS")); err == nil {
		walks = n
	}
	for seed := range uint64(walks) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := sail(t, seed)
				for range 50 {
					v.step()
					time.Sleep(time.Duration(v.r.Int64N(int64(20 * time.Second))))
				}
				v.calm()
				v.hush()
				events, repeats := v.whole(v.once)
				c := v.status().Counters
				t.Logf("%d events, %d repeats, %d streams, %d requests, %d runs, the last with %v; %v",
					events, repeats, len(v.up.Conns()), len(v.up.Syncs()), v.runs, c.Disconnects, v.did)
				for _, broken := range v.up.Violations() {
					other := 0 // of a duplicate: to the upstream its line may be there still
					_, _ = fmt.Sscanf(broken.Detail, "conn %d", &other)
					if !v.severed[broken.Conn] && !v.severed[other] {
						t.Errorf("rule broken: %+v", broken)
					}
				}
			})
		})
	}
}

func sail(t *testing.T, seed uint64) *voyage {
	v := &voyage{r: rand.New(rand.NewPCG(seed, seed)), once: true, did: make(map[string]int), severed: make(map[int]bool)}
	o := scaiwave.Options{
		Options: upstream.Options{Seed: seed, Rate: usual},
		Others:  0.3, Chunks: 0.1, Typing: 0.1, Presence: 0.02, Holes: 0.2, Duplicate: 0.05, Unknown: 0.02,
		Keep: -1, EndSockets: seed%3 == 0, JSONPing: seed%4 == 1, Race: seed%5 < 3,
		SyncErrors: 0.1, SyncLimits: 0.05, SyncCuts: 0.05, SyncResets: 0.05, SyncSilences: 0.01,
	}
	if seed%2 == 0 {
		o.SyncDelay = 300 * time.Millisecond
	}
	if seed%4 == 3 {
		o.LateEvery = 20 * time.Second
	}
	v.sea = embark(t, o, func(s *sea) {
		s.up.SetToken(s.token)
		s.start, s.breaks = "0", true
	}, "*")
	v.confirmed(1, time.Minute)
	return v
}

// step does one thing.
func (v *voyage) step() {
	do := []func(){
		v.reset, v.fin, v.close, v.pingTimeout, v.takeover, v.expire, v.mute, v.badFrame, v.garbage, v.oversize,
		v.refuse, v.refuseStatus, v.hang, v.acceptThenClose, v.noHello, v.lateHello, v.blackHole, v.deaf,
		v.syncGoneWrong, v.slowSync, v.freeze, v.full, v.lose, v.restart, v.restart, v.kill, v.stopInCatchUp, v.newToken, v.storm,
	}
	do[v.r.IntN(len(do))]()
}

func (v *voyage) note(what string) { v.did[what]++ }

// strike is a fault of the stream, where there is one.
func (v *voyage) strike(what string, f func(id int) bool) {
	if id := v.conn(); id != 0 {
		v.note(what)
		f(id)
	}
}

func (v *voyage) reset()    { v.strike("RST", v.up.Reset) }
func (v *voyage) fin()      { v.strike("FIN", v.up.FIN) }
func (v *voyage) mute()     { v.strike("silence", v.up.Mute); v.wait(time.Minute) }
func (v *voyage) badFrame() { v.strike("bad frame", v.up.BadFrame) }
func (v *voyage) garbage()  { v.strike("garbage", v.up.Garbage) }
func (v *voyage) oversize() { v.strike("oversize", v.up.Oversize) }
func (v *voyage) pingTimeout() {
	v.strike("ping_timeout", v.up.PingTimeout)
}

func (v *voyage) takeover() {
	v.strike("duplicate_connection", v.up.TakeOver)
	v.wait(16 * time.Minute)
}

func (v *voyage) close() {
	codes := []int{1000, 1001, 1002, 1008, 1011, 1012, 1013, 4003, 4999}
	v.strike("Close", func(id int) bool { return v.up.Close(id, codes[v.r.IntN(len(codes))], "so it is") })
}

func (v *voyage) storm() {
	if v.conn() != 0 && v.up.ResetAll() > 0 {
		v.note("storm")
	}
}

func (v *voyage) expire() {
	if id := v.conn(); id != 0 {
		v.note("4001")
		v.up.Expire(id)
		time.Sleep(time.Minute)
		v.next()
	}
}

// next gives the feed a new token.
func (v *voyage) next() {
	v.tokens++
	token := fmt.Sprintf("token-%d", 1+v.tokens)
	v.up.SetToken(token)
	v.wait(time.Minute)
	v.renew(token)
}

func (v *voyage) newToken() { v.note("new token"); v.next() }

func (v *voyage) wait(most time.Duration) { time.Sleep(time.Duration(v.r.Int64N(int64(most)))) }

// cut makes sure that something is dialled soon.
func (v *voyage) cut(what string) {
	v.note(what)
	if id := v.conn(); id != 0 {
		v.up.Reset(id)
	}
}

// mode lets all dials go wrong until it has happened, and for a while.
func (v *voyage) mode(what string, f upstream.Fault, on, off func(o *scaiwave.Options)) {
	before := v.up.Fired()[f]
	v.up.Change(on)
	v.cut(what)
	for range 3 * 60 { // more than the longest pause of a feed
		if v.up.Fired()[f] > before {
			break
		}
		time.Sleep(10 * time.Second)
	}
	v.wait(time.Minute)
	v.up.Change(off)
}

// sever notes the streams whose line is about to be cut.
func (v *voyage) sever() []*sim.Conn {
	for _, c := range v.up.Conns() {
		if c.Ended.IsZero() {
			v.severed[c.ID] = true
		}
	}
	return v.net.Conns()
}

func (v *voyage) refuse() {
	v.net.SetRefuse(true)
	v.cut("refused")
	v.wait(3 * time.Minute)
	v.net.SetRefuse(false)
}

func (v *voyage) hang() {
	v.net.SetHang(true)
	v.cut("hanging dials")
	v.wait(time.Minute)
	v.net.SetHang(false)
}

func (v *voyage) refuseStatus() {
	status := []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusNotFound, upstream.EndRST}[v.r.IntN(4)]
	v.mode("handshake refused", upstream.FaultRefuse,
		func(o *scaiwave.Options) { o.Refuse, o.RefuseStatus = 1, status },
		func(o *scaiwave.Options) { o.Refuse, o.RefuseStatus = 0, 0 })
}

func (v *voyage) acceptThenClose() {
	v.mode("accepted and closed", upstream.FaultAcceptThenClose,
		func(o *scaiwave.Options) { o.AcceptThenClose = true }, func(o *scaiwave.Options) { o.AcceptThenClose = false })
}

func (v *voyage) noHello() {
	v.mode("no hello", scaiwave.FaultHelloLoss,
		func(o *scaiwave.Options) { o.HelloLoss = 1 }, func(o *scaiwave.Options) { o.HelloLoss = 0 })
}

func (v *voyage) lateHello() {
	late := 1 + time.Duration(v.r.Int64N(int64(3*time.Second)))
	v.mode("late hello", scaiwave.FaultHelloDelay,
		func(o *scaiwave.Options) { o.HelloDelay = late }, func(o *scaiwave.Options) { o.HelloDelay = 0 })
}

// blackHole is a line that is gone without a word, and a network with it.
func (v *voyage) blackHole() {
	v.note("black hole")
	for _, c := range v.sever() {
		c.Cut()
	}
	v.net.SetHang(true)
	v.wait(2 * time.Minute)
	v.net.SetHang(false)
}

// deaf is a line of which one way is gone.
func (v *voyage) deaf() {
	v.note("one way gone")
	for _, c := range v.sever() {
		if v.r.IntN(2) == 0 {
			c.CutIn()
		} else {
			c.CutOut()
		}
	}
	v.wait(2 * time.Minute)
}

func (v *voyage) syncGoneWrong() {
	f := []upstream.Fault{
		scaiwave.FaultSyncCut, scaiwave.FaultSyncError, scaiwave.FaultSyncLimit, scaiwave.FaultSyncReset, scaiwave.FaultSyncSilence,
	}[v.r.IntN(5)]
	v.up.FailSync(f, 1+v.r.IntN(3))
	v.cut("sync: " + string(f))
}

func (v *voyage) slowSync() {
	old := time.Duration(0)
	v.mode("slow sync", scaiwave.FaultSyncDelay,
		func(o *scaiwave.Options) { old, o.SyncDelay = o.SyncDelay, 10*time.Second },
		func(o *scaiwave.Options) { o.SyncDelay = old })
}

func (v *voyage) freeze() {
	v.note("NATS frozen")
	v.bus.set(0, true)
	v.wait(time.Minute)
	v.bus.set(0, false)
}

// full is a buffer that is too small for as long as NATS is frozen.
func (v *voyage) full() {
	v.note("buffer full")
	v.bus.set(1+v.r.IntN(100), true)
	v.up.Change(func(o *scaiwave.Options) { o.Rate = flood })
	v.wait(8 * time.Minute)
	v.up.Change(func(o *scaiwave.Options) { o.Rate = usual })
	if v.r.IntN(2) == 0 {
		v.cut("cut while the buffer was full")
		v.wait(time.Minute)
	}
	v.bus.set(1+v.r.IntN(100), false)
	v.wait(time.Minute)
	v.bus.set(0, false)
}

func (v *voyage) lose() {
	v.note("NATS broke")
	v.once = false
	v.bus.lose()
}

func (v *voyage) restart() {
	v.note("restart")
	v.stop()
	v.wait(time.Minute)
	v.run()
}

func (v *voyage) kill() {
	v.note("crash")
	v.once = false
	v.crash()
	v.wait(time.Minute)
	v.run()
}

// stopInCatchUp stops the daemon while it fetches.
func (v *voyage) stopInCatchUp() {
	v.note("restart while catching up")
	v.stop()
	v.wait(10 * time.Minute)
	v.run()
	time.Sleep(time.Duration(v.r.Int64N(int64(5 * time.Second))))
	v.stop()
	v.run()
}

// calm ends all trouble, once every fault has happened.
func (v *voyage) calm() {
	if v.up.Fired()[scaiwave.FaultSyncSilence] == 0 { // it is rare
		v.up.FailSync(scaiwave.FaultSyncSilence, 1)
	}
	for i := 0; len(v.up.Unfired()) > 0 && i < 100; i++ {
		v.cut("for what has not happened yet")
		time.Sleep(10 * time.Second)
	}
	v.up.Change(func(o *scaiwave.Options) {
		o.SyncErrors, o.SyncLimits, o.SyncCuts, o.SyncResets, o.SyncSilences = 0, 0, 0, 0, 0
		o.LateEvery = 0
	})
}
