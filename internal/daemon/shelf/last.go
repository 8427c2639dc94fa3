package shelf

import (
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"feedmux/internal/notices"
	"feedmux/internal/state"
	"feedmux/pool"
)

// aliveFile says when the daemon was last alive. It is a file of its own, so that what is large is written only when it
// changes.
const aliveFile = "alive.json"

type alive struct {
	At    time.Time `json:"at"`
	Feeds []string  `json:"feeds"` // that there were
}

// waitingFile has the notices of gaps that NATS is not known to have.
const waitingFile = "waiting.json"

// Last is what the run before left of a feed; nil where it left nothing, or where the feed was not configured then: nobody
// expected its events. It is to be asked before a Keeper runs.
func Last(dir *state.Dir, feed string, log *slog.Logger) *pool.Snapshot {
	var s pool.Snapshot
	if err := (Value{dir, "feed", feed}).Load(&s); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			log.Warn("what the last run left cannot be read: the time since then is not announced as a gap",
				"feed", feed, "error", err)
		}
		return nil
	}
	var a alive
	if err := dir.Load(aliveFile, &a); err != nil {
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

// Notices are those that the last run could not get to NATS.
func Notices(dir *state.Dir, log *slog.Logger) (left []notices.Left) {
	if err := dir.Load(waitingFile, &left); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			log.Warn("the notices that the last run left cannot be read: they are lost", "error", err)
		}
		return nil
	}
	return left
}
