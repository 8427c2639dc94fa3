package daemon

import (
	"slices"
	"sync"

	"feedmux/internal/additions"
	"feedmux/internal/config"
)

// feeds are those that run, in the order of the configuration that counts.
type feeds struct {
	mu   sync.RWMutex
	list []*feed
}

// all may be called by any goroutine. The list is the caller's.
func (f *feeds) all() []*feed {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Clone(f.list)
}

func (f *feeds) named(name string) *feed {
	for _, one := range f.all() {
		if one.name == name {
			return one
		}
	}
	return nil
}

func (f *feeds) set(list []*feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

// order gives the feeds the order that they have in a configuration.
func (f *feeds) order(like []*config.Feed) {
	at := make(map[string]int, len(like))
	for i, c := range like {
		at[c.Name] = i
	}
	list := f.all()
	slices.SortStableFunc(list, func(a, b *feed) int { return at[a.name] - at[b.name] })
	f.set(list)
}

// counting is what counts of all that was read. Whoever is in the gate may use it.
type counting struct {
	loaded *config.Config             // as the files said when they were read last, without run-time topics
	now    *config.Config             // what the feeds run by: what waits for a restart is as it was before
	added  map[string]additions.List  // the run-time topics, by feed, as they are kept; those of feeds that are gone too
	out    map[string][]additions.Bad // those of them that are left out of now, by feed
	ends   bool                       // nothing is changed any more
}

// reloadedFeed is what counts of a feed after a reload: what it runs by, with all that need not wait for a restart. The
// configuration says of each key which it is; a test holds the two together.
func reloadedFeed(runs, loaded *config.Feed) *config.Feed {
	f := *runs
	f.Key = loaded.Key // where problems are told
	f.Listed, f.FromFile, f.Topics, f.TopicsFile = loaded.Listed, loaded.FromFile, loaded.Topics, loaded.TopicsFile
	f.Dwell, f.Placement, f.MaxMessage, f.MaxAge = loaded.Dwell, loaded.Placement, loaded.MaxMessage, loaded.MaxAge
	f.Limits.TopicsPerConnection = loaded.Limits.TopicsPerConnection
	f.Limits.SubscribeBatch, f.Limits.SubscribeRate = loaded.Limits.SubscribeBatch, loaded.Limits.SubscribeRate
	f.Dial.Timeout, f.Ping, f.Backoff, f.TLS = loaded.Dial.Timeout, loaded.Ping, loaded.Backoff, loaded.TLS
	if runs.Auth.IsSet() && loaded.Auth.IsSet() {
		f.Auth = loaded.Auth
	}
	return &f
}
