package answer

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/control/local"
)

// Of says of each change whether it counts now or for the next life. What waits for a restart is left out.
func Of(changes []config.Change) (r local.ReloadResult) {
	for _, c := range changes {
		line := local.ChangeLine{Key: c.Key, Old: c.Old, New: c.New}
		switch c.Reach {
		case config.Now:
			r.Applied = append(r.Applied, line)
		case config.NextLife:
			r.NextLife = append(r.NextLife, line)
		}
	}
	return r
}

// most is how many changes of each kind have a line in the log; the others are counted.
const most = 50

// Log says what a reload did that who asked for. What is held, and secrets that cannot be had, are logged where they are found.
func Log(log *slog.Logger, who string, r local.ReloadResult) {
	log.Info("reloaded", "by", who, "now", len(r.Applied), "next_life", len(r.NextLife), "restart", len(r.Restart),
		"warnings", len(r.Warnings))
	each := func(say func(string, ...any), text string, lines []local.ChangeLine) {
		for _, c := range lines[:min(len(lines), most)] {
			say(text, "key", c.Key, "old", c.Old, "new", c.New)
		}
		if n := len(lines) - most; n > 0 {
			say(text, "more_keys", n)
		}
	}
	each(log.Info, "a change counts now", r.Applied)
	each(log.Info, "a change counts for connections that are dialled from now on", r.NextLife)
	each(log.Warn, "a change waits for a restart", r.Restart)
	for _, h := range r.Held {
		log.Info("a topics file that was held is taken", "feed", h.Feed, "file", h.File, "topics", h.New, "before", h.Old)
	}
}

// Last is what became of the last reload, or of the start.
type Last struct {
	At  time.Time
	Err error // why it changed nothing
}

// Note says in a sentence that somebody must do something; "": nobody must. path is that of the configuration; "": it has none.
func (l *Last) Note(path string) string {
	switch {
	case l.Err == nil:
		return ""
	case errors.Is(l.Err, ErrBeside):
		return "the last reload changed nothing: " + strings.Join(Problems(l.Err), " ")
	case path != "":
		path = " --config " + path
	}
	return "the configuration was bad when it was last read, and nothing of it counts: feedmux check" + path + " says why"
}

// ErrBeside says that what was loaded is good, but not beside what goes on as it was.
var ErrBeside = errors.New("with what waits for a restart, this would be wrong")

// Problems is every line of what is wrong.
func Problems(err error) (list []string) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []string{err.Error()}
	}
	if errors.Is(err, ErrBeside) {
		list = append(list, ErrBeside.Error()+":")
	}
	for _, p := range problems {
		list = append(list, p.String())
	}
	return list
}
