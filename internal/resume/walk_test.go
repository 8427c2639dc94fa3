package resume

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
)

// faults counts what a walk did to a Stream.
type faults struct {
	mu sync.Mutex
	n  map[string]int
}

func (f *faults) fired(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n[name]++
}

// every fault that the walks must have met, all of them together.
var planned = []string{
	"cut", "long cut", "cut before live", "in flight", "503", "429", "cut body", "hang", "nonsense", "denied",
	"full", "left out", "lost", "clean restart", "crash",
	"404", "late", "without id", "without position", "rebuilt", "another token", "unvouched",
}

func TestNothingIsLostThatTheUpstreamStillHas(t *testing.T) {
	fired := &faults{n: make(map[string]int)}
	seeds := uint64(8)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		for _, crashes := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := &walk{T: t, rig: bareRig(), rand: rand.New(rand.NewPCG(seed, 1)), faults: fired, crashes: crashes, chance: rand.New(rand.NewPCG(seed, 2))}
				w.run()
				if t.Failed() {
					t.Fatalf("seed %d, crashes %v", seed, crashes)
				}
			})
		}
	}
	for _, name := range planned {
		if fired.n[name] == 0 {
			t.Errorf("no walk met %q: %v", name, fired.n)
		}
	}
	t.Log(fired.n)
}

// walk does to a Stream what comes to its mind.
type walk struct {
	*testing.T
	*rig
	rand    *rand.Rand
	faults  *faults
	crashes bool
	chance  *rand.Rand // of the HTTP side

	at        int
	history   int             // of the upstream, from 0 on
	past      []said          // of the histories before
	late      map[string]bool // ids of events that were shown after one with a higher position
	typed     int             // events without a position
	tokens    int
	live      map[string]bool // tokens that a life was live with
	back      bool            // the position went back at a clean end: what came after it comes once more
	listening bool            // the upstream sends the life what it has
	got       []string        // by NATS, of the processes before
	mild      atomic.Bool     // no faults any more
}

func (w *walk) run() {
	w.late, w.live = make(map[string]bool), make(map[string]bool)
	w.up.needsLife = w.rand.IntN(2) == 0
	w.up.fault = w.fault
	w.store.check = w.checkSaved
	w.tune = func() { w.Stream.maxHeld = 12 * eventSize }
	w.begin("0")
	for i := range 400 {
		if i == 200 {
			w.rebuild()
		}
		w.step()
		time.Sleep(time.Duration(w.rand.IntN(200)) * time.Millisecond)
		w.look()
	}
	w.calm()
	if !w.State().CaughtUp || !w.State().Filled.All {
		w.Errorf("at the end: %+v", w.State())
	}
	w.publish()
	synctest.Wait()
	w.Ended()
	w.stop()
	w.taker.confirm(1 << 20)
	if err := w.KeepPosition(); err != nil {
		w.Error(err)
	}
	if got := w.store.position(); got != fmt.Sprint(w.at) {
		w.Errorf("saved %s, the last is %d", got, w.at)
	}
	w.judge()
}

// calm lets everything go well until the Stream has all there is.
func (w *walk) calm() {
	w.mild.Store(true)
	w.up.mu.Lock()
	w.up.dead = false
	w.up.mu.Unlock()
	w.taker.setRoom(-1)
	w.Renewed()
	if w.listening {
		w.listening = false
		w.Ended()
	}
	w.connect()
	for range 40 {
		time.Sleep(10 * time.Second)
		w.taker.confirm(1 << 20)
	}
}

// rebuild lets the upstream forget everything and count from 0 on.
func (w *walk) rebuild() {
	w.calm()
	w.listening = false
	w.Ended()
	w.Gaps()
	w.up.mu.Lock()
	w.past, w.up.events = append(w.past, w.up.events...), nil
	w.up.mu.Unlock()
	w.history++
	w.at = 0
	w.listening = true
	w.begun(w.opened())
	synctest.Wait()
	w.publish()
	time.Sleep(time.Minute)
	if gaps := w.Gaps(); len(gaps) != 1 || gaps[0].Cause != cause.Rebuilt {
		w.Errorf("gaps after it was rebuilt: %+v", gaps)
	}
	w.faults.fired("rebuilt")
	w.mild.Store(false)
}

// checkSaved holds that all up to a saved position is done with.
func (w *walk) checkSaved(p []byte) {
	w.taker.mu.Lock()
	done := make(map[string]bool)
	for _, e := range w.taker.done {
		done[e.id] = true
	}
	w.taker.mu.Unlock()
	for _, id := range w.got {
		done[id] = true
	}
	w.up.mu.Lock()
	defer w.up.mu.Unlock()
	for _, e := range w.up.events {
		if e.At <= number(p) && !done[e.ID] && !w.late[e.ID] {
			w.Errorf("saved %s, and %s is not done with", p, e.ID)
			return
		}
	}
}

func (w *walk) step() {
	switch n := w.rand.IntN(100); {
	case n < 60:
		for range 1 + w.rand.IntN(6) {
			w.publish()
		}
	case n < 70:
		w.taker.confirm(w.rand.IntN(20))
	case n < 74:
		w.taker.setRoom(w.rand.IntN(4))
	case n < 80:
		w.taker.setRoom(-1)
		w.taker.confirm(1 << 20)
	case n < 83:
		if w.taker.lose() {
			w.faults.fired("lost")
		}
	case n < 90:
		w.reconnect()
	case n < 92:
		w.up.mu.Lock()
		w.up.dead = true
		w.up.mu.Unlock()
	case n < 96:
		w.up.mu.Lock()
		w.up.dead = false
		w.up.mu.Unlock()
		if w.State().Denied {
			w.faults.fired("denied")
		}
		w.Renewed()
	case n < 97:
		w.restart()
	case n < 98:
		w.tokens++
		w.up.mu.Lock()
		w.up.token = fmt.Sprint(secret, w.tokens)
		w.up.mu.Unlock()
		w.Renewed()
		w.faults.fired("another token")
	default:
		if w.taker.says > 0 {
			w.faults.fired("full")
		}
		w.Stream.mu.Lock()
		if w.Stream.leaving {
			w.faults.fired("left out")
		}
		w.Stream.mu.Unlock()
	}
}

func (w *walk) publish() {
	if w.listening && w.rand.IntN(10) == 0 {
		w.faults.fired("without position")
		w.typed++
		w.tell(said{ID: fmt.Sprintf("t%d", w.typed), Room: "r", Bare: w.rand.IntN(2) == 0})
	}
	if w.listening && w.rand.IntN(15) == 0 {
		w.publishLate()
	}
	w.at += 1 + w.rand.IntN(3)
	w.say(w.at, w.rand.IntN(8) == 0)
}

// publishLate publishes an event in a hole below others.
func (w *walk) publishLate() {
	w.up.mu.Lock()
	taken := make(map[int]bool)
	for _, e := range w.up.events {
		taken[e.At] = true
	}
	w.up.mu.Unlock()
	at := w.at - 1 - w.rand.IntN(10)
	if at < 1 || taken[at] || len(taken) == 0 {
		return
	}
	w.faults.fired("late")
	w.late[w.id(at)] = true
	w.say(at, false)
}

func (w *walk) id(at int) string { return fmt.Sprintf("%d-%d", w.history, at) }

func (w *walk) say(at int, bare bool) {
	if bare {
		w.faults.fired("without id")
	}
	e := said{ID: w.id(at), Room: fmt.Sprint("r", w.rand.IntN(3)), At: at, Bare: bare}
	w.up.say(e)
	if w.listening {
		w.tell(e)
	}
}

// connect begins a life. When the upstream begins to send to it is for the upstream to say, but no later than its first frame.
func (w *walk) connect() {
	token := w.opened()
	for range w.rand.IntN(3) {
		time.Sleep(time.Duration(w.rand.IntN(50)) * time.Millisecond)
		w.publish()
	}
	if !w.mild.Load() && w.rand.IntN(5) == 0 {
		w.faults.fired("cut before live")
		w.Ended()
		return
	}
	w.listening = true
	w.publish()
	w.begun(token)
}

// opened begins a life, which is not live yet.
func (w *walk) opened() (token string) {
	w.life++
	e, err := w.up.Endpoint(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	w.Opened(w.life, 0, e.Token)
	return e.Token
}

// begun lets it be live.
func (w *walk) begun(token string) {
	w.faults.mu.Lock()
	w.live[token] = true
	w.faults.mu.Unlock()
	w.Live()
}

func (w *walk) reconnect() {
	if w.listening {
		w.listening = false
		for range w.rand.IntN(3) { // what was on its way
			w.faults.fired("in flight")
			w.publish()
		}
		w.faults.fired("cut")
		w.Ended()
	}
	if w.rand.IntN(4) == 0 {
		w.faults.fired("long cut")
		for range 20 {
			time.Sleep(3 * time.Second)
			w.publish()
			w.taker.confirm(w.rand.IntN(5))
		}
	}
	w.connect()
}

func (w *walk) restart() {
	crash := w.crashes && w.rand.IntN(2) == 0
	if _, lost := w.taker.Progress(); lost && !crash {
		return // no end is clean now
	}
	if w.listening {
		w.listening = false
		w.Ended()
	}
	w.stop()
	if crash {
		w.faults.fired("crash")
		w.taker.confirm(w.rand.IntN(10))
	} else {
		w.faults.fired("clean restart")
		w.taker.confirm(1 << 20)
		if err := w.KeepPosition(); err != nil {
			w.Error(err)
		}
		if c := w.Stream.cursor; len(w.late) > 0 && c != nil && w.store.position() != string(c) {
			w.back = true // for a late event that did not get through
		}
	}
	for _, e := range w.taker.done {
		w.got = append(w.got, e.id)
	}
	w.begin("0")
}

// look holds what is true at any time.
func (w *walk) look() {
	w.Stream.mu.Lock()
	defer w.Stream.mu.Unlock()
	s := w.Stream
	if s.unvouched && s.live {
		w.faults.fired("unvouched")
	}
	if s.saved != nil && !s.unsaved && number(s.cursor) < number(s.saved) {
		w.Errorf("the cursor %s is below the saved position %s", s.cursor, s.saved)
	}
	if s.heldBytes > s.maxHeld {
		w.Errorf("%d bytes are held", s.heldBytes)
	}
}

func (w *walk) fault(int, time.Duration) *http.Response {
	w.faults.mu.Lock()
	if r := w.up.request(w.up.asks() - 1); w.up.NeedsLife() && !w.live[r.token] {
		w.Errorf("asked with %s, which no life was live with", r.token)
	}
	w.faults.mu.Unlock()
	if w.mild.Load() {
		return nil
	}
	w.faults.mu.Lock()
	n := w.chance.IntN(20)
	w.faults.mu.Unlock()
	switch n {
	case 0:
		w.faults.fired("503")
		return answer(503, "")
	case 1:
		w.faults.fired("429")
		resp := answer(429, "")
		resp.Header.Set("Retry-After", "3")
		return resp
	case 2:
		w.faults.fired("nonsense")
		return answer(200, "<html>")
	case 3:
		w.faults.fired("hang")
		time.Sleep(time.Minute)
	case 5:
		w.faults.fired("404")
		return answer(404, "")
	case 4:
		w.faults.fired("cut body")
		resp := answer(200, "")
		resp.Body = cutBody{strings.NewReader(`{"Events":[{"ID":`)}
		return resp
	}
	time.Sleep(time.Duration(n) * time.Millisecond)
	return nil
}

// judge compares what NATS has with what the upstream said.
func (w *walk) judge() {
	got := slices.Clone(w.got)
	for _, e := range w.taker.done {
		got = append(got, e.id)
	}
	times := make(map[string]int)
	var first []string
	for _, id := range got {
		if times[id]++; times[id] == 1 {
			first = append(first, id)
		}
	}
	first = slices.DeleteFunc(first, func(id string) bool { return w.late[id] || id[0] == 't' })
	var all []string
	for _, e := range slices.Concat(w.past, w.up.events) {
		n := times[e.ID]
		delete(times, e.ID)
		if n == 0 && (!w.late[e.ID] || !w.crashes) {
			w.Errorf("%s is lost, late: %v", e.ID, w.late[e.ID])
		}
		if n > 1 && !w.crashes && !w.back {
			w.Errorf("%s came %d times", e.ID, n)
		}
		if !w.late[e.ID] {
			all = append(all, e.ID)
		}
	}
	if !slices.Equal(first, all) {
		w.Errorf("not in order, or not all of them: %d of %d, got\n%v, want\n%v", len(first), len(all), first, all)
	}
	for id, n := range times {
		if id[0] != 't' || n > 1 {
			w.Errorf("%s, which nobody said, or not so often, came %d times", id, n)
		}
	}
}

type cutBody struct{ *strings.Reader }

func (b cutBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil {
		err = fmt.Errorf("the connection was cut")
	}
	return n, err
}

func (b cutBody) Close() error { return nil }
