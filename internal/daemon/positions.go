package daemon

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"feedmux/internal/state"
)

// kept is one file of the state directory.
type kept struct {
	dir  *state.Dir
	file string
}

func (k kept) Load(v any) error { return k.dir.Load(k.file, v) }
func (k kept) Save(v any) error { return k.dir.Save(k.file, v) }

// positions keeps a feed's position in its upstream's stream. One stream's positions mean nothing in another, so each scope
// has a file of its own.
type positions struct {
	dir         *state.Dir
	feed, scope string
}

// position is the file.
type position struct {
	Feed     string `json:"feed"`  // for people, as
	Scope    string `json:"scope"` // this
	Position string `json:"position"`
}

func (p positions) file() string { return stateFile("position", p.feed+"\x00"+p.scope) }

// tellOthers says that the feed has a position in another stream, which does not count here.
func (p positions) tellOthers(log *slog.Logger) {
	files, err := filepath.Glob(filepath.Join(p.dir.Path(), "position-*.json"))
	if err != nil || slices.Contains(files, filepath.Join(p.dir.Path(), p.file())) {
		return
	}
	for _, file := range files {
		var v position
		if err := p.dir.Load(filepath.Base(file), &v); err == nil && v.Feed == p.feed {
			log.Warn("the feed begins anew: its stored position is of another stream, or of other settings", "feed", p.feed,
				"position_of", v.Scope, "stream", p.scope)
		}
	}
}

func (p positions) Load() ([]byte, error) {
	var v position
	if err := p.dir.Load(p.file(), &v); err != nil {
		return nil, fmt.Errorf("reading the position of feed %s: %w", p.feed, err)
	}
	return []byte(v.Position), nil
}

func (p positions) Save(at []byte) error {
	if err := p.dir.Save(p.file(), position{p.feed, p.scope, string(at)}); err != nil {
		return fmt.Errorf("keeping the position of feed %s: %w", p.feed, err)
	}
	return nil
}

// keepPositions saves the positions a last time: NATS has had its chance to take what was handed to it.
func (d *Daemon) keepPositions() {
	for _, f := range d.feeds.all() {
		if f.stream == nil {
			continue
		}
		if err := f.stream.KeepPosition(); err != nil {
			d.Log.Warn("the next run will repeat some events", "feed", f.name, "error", err)
		}
	}
}
