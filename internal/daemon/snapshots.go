package daemon

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"feedmux/internal/notices"
	"feedmux/pool"
)

// A crash is announced as a gap from the last time on when the daemon said that it is alive. What else must outlive it is
// written sooner, if it changed.
const (
	keepEvery = time.Second
	aliveFor  = 5 * time.Second
)

// aliveFile says when the daemon was last alive. It is a file of its own, so that what is large is written only when it
// changes.
const aliveFile = "alive.json"

// waitingFile has the notices of gaps that NATS is not known to have.
const waitingFile = "waiting.json"

type alive struct {
	At    time.Time `json:"at"`
	Feeds []string  `json:"feeds"` // that there were
}

// lastSnapshot is what the run before left of a feed; nil where it left nothing, or where the feed was not configured
// then: nobody expected its events.
func (d *Daemon) lastSnapshot(feed string) *pool.Snapshot {
	var s pool.Snapshot
	if err := d.state.Load(stateFile("feed", feed), &s); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.Log.Warn("what the last run left cannot be read: the time since then is not announced as a gap",
				"feed", feed, "error", err)
		}
		return nil
	}
	var a alive
	if err := d.state.Load(aliveFile, &a); err != nil {
		return &s // it was not kept yet, or is damaged: then the snapshot's own time is the last that is known
	}
	if !slices.Contains(a.Feeds, feed) {
		return nil
	}
	if a.At.After(s.Alive) {
		s.Alive = a.At
	}
	return &s
}

// restoreNotices queues the notices that the last run could not get to NATS.
func (d *Daemon) restoreNotices() {
	var left []notices.Left
	switch err := d.state.Load(waitingFile, &left); {
	case err == nil:
		d.core.Restore(left)
	case !errors.Is(err, fs.ErrNotExist):
		d.Log.Warn("the notices that the last run left cannot be read: they are lost", "error", err)
	}
}

// keeper writes what must outlive the daemon.
type keeper struct {
	*Daemon
	written map[string]uint64 // version of each feed's snapshot
	alive   time.Time         // when that was last written
	waiting bool              // there are notices in the file of those that wait
	failing bool              // the log says that something cannot be kept
	said    *rate.Limiter
}

func (d *Daemon) newKeeper() *keeper {
	return &keeper{Daemon: d, written: make(map[string]uint64), waiting: true, said: rate.NewLimiter(rate.Every(time.Minute), 1)}
}

// run keeps until ctx ends.
func (k *keeper) run(ctx context.Context) {
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

// keep writes what changed, and every aliveFor, or at the end, that the daemon is alive. What NATS has not confirmed counts
// as dark: if the daemon ended now, nobody would be told.
func (k *keeper) keep(ctx context.Context, end bool) {
	ctx, cancel := context.WithTimeout(ctx, aliveFor)
	defer cancel()
	now := alive{At: time.Now()}
	unconfirmed := k.core.Unconfirmed()
	var failure error
	for _, f := range k.feeds.all() {
		now.Feeds = append(now.Feeds, f.name)
		s, err := f.pool.Snapshot(ctx)
		if err != nil {
			return // it ends, or its loop hangs: then it is not alive
		}
		if s.Version == k.written[f.name] && !end {
			continue
		}
		if err := k.state.Save(stateFile("feed", f.name), s.Since(unconfirmed)); err != nil {
			failure = err
			continue
		}
		k.written[f.name] = s.Version
	}
	if left := k.core.Unsent(); len(left) > 0 || k.waiting {
		if err := k.state.Save(waitingFile, left); err != nil {
			failure = err
		}
		k.waiting = len(left) > 0
	}
	if end || now.At.Sub(k.alive) >= aliveFor {
		k.alive = now.At
		if !unconfirmed.IsZero() && unconfirmed.Before(now.At) {
			now.At = unconfirmed
		}
		if err := k.state.Save(aliveFile, now); err != nil {
			failure = err
		}
	}
	k.say(failure)
}

// say logs that keeping fails, once a minute while it does, and that it works again.
func (k *keeper) say(failure error) {
	switch {
	case failure == nil && k.failing:
		k.failing = false
		k.Log.Info("what should outlive a restart is kept again")
	case failure != nil && k.said.Allow():
		k.failing = true
		k.Log.Warn("what should outlive a restart cannot be kept", "error", failure)
	}
}
