package diagnosis

import (
	"fmt"
	"strings"
)

// Own are the troubles of the daemon as a whole.
func (r *Report) Own() (list []Trouble) {
	for _, err := range r.Errors {
		list = append(list, Trouble{Grade: Bad, Label: "stuck", Text: err,
			Advice: Advice{"a loop stands still: see its log; under systemd the watchdog restarts it", aboutStuck}})
	}
	for _, note := range r.Notes {
		list = append(list, Trouble{Grade: Warn, Label: "note", Text: note})
	}
	if len(r.Feeds) == 0 && len(r.Errors) == 0 {
		list = append(list, Trouble{Grade: Warn, Label: "feeds", Text: r.feedless()})
	}
	return list
}

// The beginning of a note that says by its key what waits for a restart; that of a feed as a whole is feed.NAME.
const waitsFor = "waits for a restart: "

// feedless says why no feed runs.
func (r *Report) feedless() string {
	n := 0
	for _, note := range r.Notes {
		if strings.HasPrefix(note, waitsFor+"feed.") {
			n++
		}
	}
	switch n {
	case 0:
		return "none: add [[feed]] tables to the configuration"
	case 1:
		return "none runs; the one of the configuration waits for a restart"
	}
	return fmt.Sprintf("none runs; the %s of the configuration wait for a restart", Count(n))
}

// NotesOf are the notes that are about a feed.
func (r *Report) NotesOf(f *Feed) (list []Trouble) {
	for _, note := range r.Notes {
		text, ofFeed := strings.CutPrefix(note, "feed "+f.Feed+": ")
		if ofFeed || strings.HasPrefix(note, waitsFor+"feed."+f.Feed+".") {
			list = append(list, Trouble{Grade: Warn, Feed: f.Feed, Label: "note", Text: text})
		}
	}
	return list
}
