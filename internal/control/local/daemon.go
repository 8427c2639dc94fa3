package local

import (
	"context"
	"maps"
	"net/http"

	"feedmux/internal/sink/tap"
)

// Daemon does what requests ask for. Its methods are called from many goroutines at once. who is for the log: the user and
// process that asked, as in "uid 1000 (anna), pid 4242". An [Error] says what was wrong with the request; any other error
// is a failure of the daemon's own (500).
type Daemon interface {
	// Topics lists every wanted topic of a feed, most wanted first.
	Topics(ctx context.Context, feed string) ([]TopicEntry, error)

	// ChangeTopics changes the run-time topics of a feed, all of the change or nothing.
	ChangeTopics(ctx context.Context, who string, c Change) (ChangeResult, error)

	// Renew hands every connection of a feed over to a new one. It returns once that has been ordered.
	Renew(ctx context.Context, who, feed string) error

	// Reload reads the configuration again. A result with Problems means that nothing was changed.
	Reload(ctx context.Context, who string) (ReloadResult, error)

	// Tail lets the caller look on at a feed's events: those of the given topics, or all where there are none. The
	// caller closes the stream.
	Tail(ctx context.Context, feed string, topics []string) (*tap.Stream, error)
}

// From says where a wanted topic comes from.
type From string

const (
	FromConfig  From = "config"   // the configuration
	FromFile    From = "file"     // the feed's topics_file
	FromRunTime From = "run-time" // a Change
)

// TopicEntry is one wanted topic.
type TopicEntry struct {
	Topic    string         `json:"topic"`
	Priority int            `json:"priority,omitempty"`
	Options  map[string]any `json:"options,omitempty"` // the protocol's own
	From     From           `json:"from"`
	Where    string         `json:"where,omitempty"` // config.toml:12
	State    string         `json:"state"`
	Reason   string         `json:"reason,omitempty"` // of its state
}

// Verb is what is to be done with the topics of a Change.
type Verb string

const (
	Add    Verb = "add"    // wanted too; one that is a run-time topic already gets the priority and options that are given
	Remove Verb = "remove" // not wanted at run time any more; priorities and options play no part
	Set    Verb = "set"    // the run-time topics are these, and no others
)

// Change is a request to change a feed's run-time topics. No topic is in it twice.
type Change struct {
	Feed   string
	Verb   Verb
	Topics []Topic
}

// Topic is a topic as a request gives it.
type Topic struct {
	Name     string
	Priority int

	// Options are the protocol's own: a tree of string, int64, float64, bool, []any and map[string]any, as if decoded
	// from TOML. nil: there are none.
	Options map[string]any
}

// Value is the topic as a list has it: its name, or a table with all there is to say.
func (t Topic) Value() any {
	if t.Priority == 0 && len(t.Options) == 0 {
		return t.Name
	}
	table := maps.Clone(t.Options)
	if table == nil {
		table = make(map[string]any)
	}
	table["topic"] = t.Name
	if t.Priority != 0 {
		table["priority"] = int64(t.Priority)
	}
	return table
}

// ChangeResult says what a Change did, and how the feed stands after it.
type ChangeResult struct {
	Added     []string `json:"added,omitempty"`
	Removed   []string `json:"removed,omitempty"`
	Changed   []string `json:"changed,omitempty"` // priority or options
	Unchanged []string `json:"unchanged,omitempty"`
	NotWanted []string `json:"not_wanted,omitempty"` // of Unchanged, after Remove: nobody wants them, be it because they are misspelt

	// Stay are those of Removed that are wanted all the same: a file lists them.
	Stay []ListedTopic `json:"stay,omitempty"`

	Wanted   int `json:"wanted"`   // topics of the feed, wherever they come from
	Unplaced int `json:"unplaced"` // of those: without a place
	Capacity int `json:"capacity"`
}

// ListedTopic is a topic that a file lists.
type ListedTopic struct {
	Topic string `json:"topic"`
	Where string `json:"where"` // config.toml:12
}

// ReloadResult says what became of a reload.
type ReloadResult struct {
	Applied  []ChangeLine `json:"applied,omitempty"`   // counts from now on
	NextLife []ChangeLine `json:"next_life,omitempty"` // counts for connections that are dialled from now on
	Restart  []ChangeLine `json:"restart,omitempty"`   // counts after a restart
	Held     []HeldFile   `json:"held,omitempty"`      // topics files that were held back, and are taken now
	Warnings []string     `json:"warnings,omitempty"`  // in sentences: files of topics that were not taken, secrets that cannot be had
	Problems []string     `json:"problems,omitempty"`  // why nothing was changed, each with its file, line and key
}

// ChangeLine is one key that changed. Secrets are left out of the values.
type ChangeLine struct {
	Key string `json:"key"`
	Old string `json:"old"`
	New string `json:"new"`
}

// HeldFile is a topics file that would have lost so many topics that it was held until somebody says so.
type HeldFile struct {
	Feed string `json:"feed"`
	File string `json:"file"`
	Old  int    `json:"old"` // topics in it
	New  int    `json:"new"`
}

// Kind is what is wrong with a request.
type Kind int

const (
	BadRequest Kind = http.StatusBadRequest         // it makes no sense
	NotFound   Kind = http.StatusNotFound           // there is no such feed
	Conflict   Kind = http.StatusConflict           // it makes sense, but not with what there is
	Away       Kind = http.StatusServiceUnavailable // a loop did not answer in time; it may be asked again
)

// Error is an answer that says no. Whatever does not change with it stays as it was.
type Error struct {
	Kind  Kind
	Field string // "topics[2].priority"; "" where no field is to blame
	Text  string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Text
	}
	return e.Field + ": " + e.Text
}
