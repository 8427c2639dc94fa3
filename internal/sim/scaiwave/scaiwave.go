package scaiwave

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"feedmux/internal/sim/split"
	"feedmux/internal/sim/upstream"
)

// ScaiWave is a ScaiWave server, simulated. Its methods may be called by any goroutine. A later call of Serve goes on with
// the log of the one before.
type ScaiWave struct {
	*upstream.Server

	// Guarded by the server's lock.
	o       Options         // with defaults
	spent   map[string]bool // tokens that were good
	refused map[string]bool // tokens that a stream was closed for; bounded
	port    *split.Port     // nil: not serving
	streams []*client       // sockets with a good token, in the order of their handshakes
	log     eventLog
	events  *rand.Rand       // of what happens
	chance  *rand.Rand       // of what befalls requests to sync
	due     []upstream.Fault // of the next requests to sync, before any chance
	syncs   []SyncRecord
	raced   bool // Race had its event after a sync since the last registration
	scratch []byte
}

// New returns a simulator that nothing listens for yet. In a synctest bubble it must be made inside the bubble.
func New(o Options) *ScaiWave {
	w := &ScaiWave{
		o:       o,
		spent:   map[string]bool{},
		refused: map[string]bool{},
		log:     newEventLog(o.Seed),
		events:  rand.New(rand.NewPCG(o.Seed, 1)),
		chance:  rand.New(rand.NewPCG(o.Seed, 3)),
	}
	w.Server = upstream.NewServer(o.Seed, o.Log, w)
	w.Change(func(*Options) {})
	return w
}

// Change changes rules and faults while the simulator runs. They hold for what happens from now on; a timer that runs
// already keeps its old length. Seed and Log stay what they were. change is called with the simulator's lock held.
func (w *ScaiWave) Change(change func(*Options)) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	change(&w.o)
	w.o = w.o.WithDefaults()
	own := w.o.Options
	own.Saturate = false
	if w.o.JSONPing {
		own.WSPing = 0 // the sessions' own timers do it
	}
	w.ConfigureLocked(own, w.plansLocked())
}

// Serve accepts connections from l until ctx ends or l fails, and returns when all that it started has ended. It closes l.
// One call at a time.
func (w *ScaiWave) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	port := split.NewPort(l, w)
	w.setPort(port)
	defer w.setPort(nil)
	var serving sync.WaitGroup
	var failed error
	serving.Go(func() {
		defer cancel()
		failed = port.Serve(ctx)
	})
	err := w.Server.Serve(ctx, port.WebSockets())
	cancel()
	serving.Wait()
	return errors.Join(failed, err)
}

func (w *ScaiWave) setPort(p *split.Port) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.port = p
}

// SetToken makes token the only good one from now on; the one before has expired. With EndSockets its sockets are closed.
func (w *ScaiWave) SetToken(token string) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if w.o.Token != "" {
		w.spent[w.o.Token] = true
	}
	w.o.Token = token
	delete(w.spent, token)
	delete(w.refused, token)
	if !w.o.EndSockets {
		return
	}
	for i := len(w.streams) - 1; i >= 0; i-- {
		if c := w.streams[i]; !w.isGoodLocked(c.rec.Token) {
			c.CloseLocked(closeBadToken, codeInvalidToken)
		}
	}
}

func (w *ScaiWave) isGoodLocked(token string) bool {
	return token != "" && (w.o.Token == "" || token == w.o.Token)
}

// Publish lets an event happen and returns what is on record of it. For a type that has no position the record is not
// complete: it has room, type and time only. body is the text of a message or chunk, the emoji of a reaction, the name, the
// reason.
func (w *ScaiWave) Publish(room, typ, body string) Event {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return w.publishLocked(time.Now(), room, typ, body)
}

// Rebuild is a server that starts over, its data lost: positions begin at 1 again, sync has nothing, and every socket is
// reset.
func (w *ScaiWave) Rebuild() {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.PlanLocked(FaultRebuild, 1)
	w.CountLocked(FaultRebuild)
	w.rebuildLocked()
}

func (w *ScaiWave) rebuildLocked() {
	w.Log.Warn("rebuilt", "position", w.log.position)
	w.log.rebuild()
	for _, c := range w.ClientsLocked() {
		if c.RecordLocked().Ended.IsZero() {
			c.DismissLocked(upstream.EndRST, "the server is rebuilt")
		}
	}
	if w.port != nil {
		w.port.Reset()
	}
}

// JoinLocked is for the server.
func (w *ScaiWave) JoinLocked(c *upstream.Client) upstream.Session { return newClient(w, c) }
