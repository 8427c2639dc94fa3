package shelf

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"feedmux/internal/state"
)

// Positions keeps a feed's position in its upstream's stream. One stream's positions mean nothing in another, so each scope
// has a file of its own.
type Positions struct {
	Dir         *state.Dir
	Feed, Scope string // Scope: which stream it is, for people
}

// position is the file.
type position struct {
	Feed     string `json:"feed"`  // for people, as
	Scope    string `json:"scope"` // this
	Position string `json:"position"`
}

func (p Positions) file() string { return file("position", p.Feed+"\x00"+p.Scope) }

// TellOthers says that the feed has a position in another stream, which does not count here.
func (p Positions) TellOthers(log *slog.Logger) {
	files, err := filepath.Glob(filepath.Join(p.Dir.Path(), "position-*.json"))
	if err != nil || slices.Contains(files, filepath.Join(p.Dir.Path(), p.file())) {
		return
	}
	for _, file := range files {
		var v position
		if err := p.Dir.Load(filepath.Base(file), &v); err == nil && v.Feed == p.Feed {
			log.Warn("the feed begins anew: its stored position is of another stream, or of other settings", "feed", p.Feed,
				"position_of", v.Scope, "stream", p.Scope)
		}
	}
}

func (p Positions) Load() ([]byte, error) {
	var v position
	if err := p.Dir.Load(p.file(), &v); err != nil {
		return nil, fmt.Errorf("reading the position of feed %s: %w", p.Feed, err)
	}
	return []byte(v.Position), nil
}

func (p Positions) Save(at []byte) error {
	if err := p.Dir.Save(p.file(), position{p.Feed, p.Scope, string(at)}); err != nil {
		return fmt.Errorf("keeping the position of feed %s: %w", p.Feed, err)
	}
	return nil
}
