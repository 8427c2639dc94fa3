// Package dialect is what the daemon must know of a protocol beside what the protocol says of itself: how it is made for a feed,
// where its wanted topics come from, and what its subjects are made of.
package dialect

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/instruments"
	"feedmux/internal/protocol"
	"feedmux/internal/secret"
	"feedmux/internal/subject"
	"feedmux/shard"
)

// Dialect is what the daemon must know of a protocol beside what a protocol.Protocol says of itself. What has no note is
// required. Its functions are given feeds whose configuration was checked.
type Dialect struct {
	// New makes the protocol of a feed. The secret is the feed's, or nil.
	New func(*config.Feed, *secret.Secret) (protocol.Protocol, error)

	// Source finds what a feed wants. store remembers things beyond the end of the process; nil: nothing does. nil: a
	// feed wants its topics as they are.
	Source func(f *config.Feed, store instruments.Store, log *slog.Logger) (Source, error)

	// Variables are those of a subject beside {feed} and {topic}. Values are what they are for a topic, in their order; what
	// is nil, or beyond the end, each event has of its own. nil: nothing is known of a topic.
	Variables []string
	Values    func(shard.Wanted) [][]byte

	// Note says what people should know of a topic whose options change; before may be nil. nil: nothing.
	Note func(before, now any) string

	// Start is the position from which a feed begins that never ran; nil, as a function or as what it gives: from now on.
	Start func(*config.Feed) []byte

	// Scope says in words what a feed's positions belong to: the host, and what else tells streams apart there. nil: the
	// protocol has no positions.
	Scope func(*config.Feed) string

	// TokenDies is the first time after a given one at which a feed's token dies, in the time zone for people; zero: nobody
	// knows. nil: tokens do not die at a time of day.
	TokenDies func(f *config.Feed, after time.Time) time.Time
}

// Source is where a feed's wanted topics come from. Its methods may be called from any goroutine.
type Source interface {
	// Wanted is what is wanted now. The caller does not change it.
	Wanted() []shard.Wanted

	// Follow says that the feed's configuration lists other topics from now on: f's. Where they have to be looked up, Watch
	// tells of them.
	Follow(f *config.Feed)

	// Reread says that people take what topics are looked up in as it is now, as a reload does. Watch tells of what it changes.
	Reread()

	// Watch calls changed, and waits for it, each time that something else is wanted by itself, until ctx ends. It is called
	// once.
	Watch(ctx context.Context, changed func())
}

// listed is a Source of what the configuration lists.
type listed struct {
	wanted func(*config.Feed) []shard.Wanted
	now    atomic.Pointer[[]shard.Wanted]
}

// Listed is a Source of what f lists, as wanted reads it.
func Listed(f *config.Feed, wanted func(*config.Feed) []shard.Wanted) Source {
	l := &listed{wanted: wanted}
	l.Follow(f)
	return l
}

func (l *listed) Wanted() []shard.Wanted { return *l.now.Load() }

func (l *listed) Follow(f *config.Feed) {
	wanted := l.wanted(f)
	l.now.Store(&wanted)
}

func (l *listed) Reread() {}

func (l *listed) Watch(ctx context.Context, _ func()) { <-ctx.Done() }

// Wanted is the topics that a feed's configuration wants.
func Wanted(f *config.Feed) []shard.Wanted {
	wanted := make([]shard.Wanted, len(f.Topics))
	for i, t := range f.Topics {
		wanted[i] = shard.Wanted{Topic: shard.Topic(t.Name), Priority: t.Priority}
	}
	return wanted
}

// SourceOf is where f's wanted topics come from.
func (d Dialect) SourceOf(f *config.Feed, store instruments.Store, log *slog.Logger) (Source, error) {
	if d.Source != nil {
		return d.Source(f, store, log)
	}
	return Listed(f, Wanted), nil
}

// StartOf is the position from which f begins if it never ran; nil: from now on.
func (d Dialect) StartOf(f *config.Feed) []byte {
	if d.Start == nil {
		return nil
	}
	return d.Start(f)
}

// ScopeOf says what f's positions belong to; "": it has none.
func (d Dialect) ScopeOf(f *config.Feed) string {
	if d.Scope == nil {
		return ""
	}
	return d.Scope(f)
}

// Subjects are those of one feed.
type Subjects struct {
	feed     string
	template subject.Template
	values   func(shard.Wanted) [][]byte
}

// SubjectsOf reads the template of f.
func (d Dialect) SubjectsOf(f *config.Feed) (Subjects, error) {
	t, err := subject.Parse(f.Subject, d.Variables...)
	return Subjects{f.Name, t, d.Values}, err
}

// Template is what the subjects are made by.
func (s Subjects) Template() subject.Template { return s.template }

// Topic is where a topic's events are published. Where these fill some variables in by themselves, it is what their subjects
// have in common, with * in the place of the rest.
func (s Subjects) Topic(w shard.Wanted) (string, error) {
	var values [][]byte
	if s.values != nil {
		values = s.values(w)
	}
	return s.template.Pattern(s.feed, string(w.Topic), values...)
}

// Event is where an event of a topic is published that has values of its own.
func (s Subjects) Event(t shard.Topic, values [][]byte) (string, error) {
	return s.template.Subject(s.feed, string(t), values...)
}

// Aside is where something is published that no topic is about.
func (s Subjects) Aside(t shard.Topic, values [][]byte) (string, error) {
	return s.template.Aside(s.feed, string(t), values...)
}
