package shelf

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"feedmux/internal/sink"
	"feedmux/internal/state"
	"feedmux/pool"
)

// A crash is announced as a gap from the last time on when the daemon said that it is alive. What else must outlive it is
// written sooner, if it changed.
const (
	keepEvery = time.Second
	aliveFor  = 5 * time.Second
)

// Options say what a Keeper keeps.
type Options struct {
	Dir   *state.Dir
	Core  *sink.Core
	Feeds func() []Feed // those that there are: they may come and go
	Log   *slog.Logger
}

// Feed is one whose topics are to be known to the next run.
type Feed struct {
	Name string
	Pool *pool.Pool // another one of the same name is another feed
}

// Keeper writes what must outlive the daemon.
type Keeper struct {
	Options
	written map[*pool.Pool]uint64 // version of each feed's snapshot
	alive   time.Time             // when that was last written
	waiting bool                  // there are notices in the file of those that wait
	said    *rate.Limiter

	failing atomic.Pointer[string] // why something could not be kept when it was last tried; nil: it could
}

// NewKeeper keeps nothing before Run.
func NewKeeper(o Options) *Keeper {
	return &Keeper{
		Options: o, written: make(map[*pool.Pool]uint64), waiting: true, said: rate.NewLimiter(rate.Every(time.Minute), 1),
	}
}

// Run keeps until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.keep(ctx, false)
		case <-ctx.Done():
			return
		}
	}
}

// End keeps a last time, exactly. It is called after Run has returned and every pool has ended.
func (k *Keeper) End(ctx context.Context) { k.keep(ctx, true) }

// keep writes what changed, and every aliveFor, or at the end, that the daemon is alive. What NATS has not confirmed counts
// as dark: if the daemon ended now, nobody would be told.
func (k *Keeper) keep(ctx context.Context, end bool) {
	ctx, cancel := context.WithTimeout(ctx, aliveFor)
	defer cancel()
	now := alive{At: time.Now()}
	unconfirmed := k.Core.Unconfirmed()
	var failure error
	tried := false // to write something
	written := make(map[*pool.Pool]uint64)
	for _, f := range k.Feeds() {
		now.Feeds = append(now.Feeds, f.Name)
		s, err := f.Pool.Snapshot(ctx)
		if err != nil {
			return // it ends, or its loop hangs: then it is not alive
		}
		version, before := k.written[f.Pool]
		if before && version == s.Version && !end {
			written[f.Pool] = version
			continue
		}
		tried = true
		if err := (Value{k.Dir, "feed", f.Name}).Save(s.Since(unconfirmed)); err != nil {
			failure = err
			continue
		}
		written[f.Pool] = s.Version
	}
	k.written = written // no feed that is gone
	if left := k.Core.Unsent(); len(left) > 0 || k.waiting {
		tried = true
		if err := k.Dir.Save(waitingFile, left); err != nil {
			failure = err
		}
		k.waiting = len(left) > 0
	}
	if end || now.At.Sub(k.alive) >= aliveFor {
		k.alive = now.At
		if !unconfirmed.IsZero() && unconfirmed.Before(now.At) {
			now.At = unconfirmed
		}
		tried = true
		if err := k.Dir.Save(aliveFile, now); err != nil {
			failure = err
		}
	}
	if tried {
		k.say(failure)
	}
}

// Failing says why something could not be kept when that was last tried; "": it could. Any goroutine may ask.
func (k *Keeper) Failing() string {
	if why := k.failing.Load(); why != nil {
		return *why
	}
	return ""
}

// say logs that keeping fails, once a minute while it does, and that it works again.
func (k *Keeper) say(failure error) {
	if failure == nil {
		if k.failing.Swap(nil) != nil {
			k.Log.Info("what should outlive a restart is kept again")
		}
		return
	}
	why := failure.Error()
	k.failing.Store(&why)
	if k.said.Allow() {
		k.Log.Warn("what should outlive a restart cannot be kept", "error", failure)
	}
}
