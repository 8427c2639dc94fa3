package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/control/local"
	"feedmux/internal/daemon/network"
	"feedmux/internal/daemon/wants"
	"feedmux/pool"
)

// Reload is local.Daemon's. A configuration that is bad, or that would be bad beside what waits for a restart, changes nothing.
// While a feed that was taken away closes its connections, it waits.
func (d *Daemon) Reload(ctx context.Context, who string) (local.ReloadResult, error) {
	if err := d.enter(ctx); err != nil {
		return local.ReloadResult{}, err
	}
	defer d.gate.leave()
	if d.Load == nil {
		return local.ReloadResult{}, &local.Error{Kind: local.Conflict, Text: "this daemon was started without a configuration that it could read again"}
	}
	r, err := d.reload()
	d.reloaded.Store(&reloaded{good: err == nil, at: time.Now()})
	if err != nil {
		d.Log.Error("the reload changed nothing: the configuration is bad", "by", who, "error", err)
		return local.ReloadResult{Problems: problemsOf(err)}, nil
	}
	d.Log.Info("reloaded", "by", who, "now", len(r.Applied), "next_life", len(r.NextLife), "restart", len(r.Restart))
	for _, c := range r.Restart {
		d.Log.Warn("a change waits for a restart", "key", c.Key)
	}
	return r, nil
}

// reloaded is what became of the last reload, or of the start.
type reloaded struct {
	good bool
	at   time.Time
}

// errBeside says that what was loaded is good, but not beside what goes on as it was.
var errBeside = errors.New("with what waits for a restart, this would be wrong")

// problemsOf is every line of what is wrong.
func problemsOf(err error) (list []string) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []string{err.Error()}
	}
	if errors.Is(err, errBeside) {
		list = append(list, errBeside.Error()+":")
	}
	for _, p := range problems {
		list = append(list, p.String())
	}
	return list
}

// reload reads the configuration and lets all of it count that may. An error means that nothing has changed.
func (d *Daemon) reload() (r local.ReloadResult, err error) {
	loaded, err := d.Load()
	if err != nil {
		return r, err
	}
	p := d.planReload(loaded)
	now, err := d.withAdded(p.beside)
	if err != nil {
		return r, fmt.Errorf("%w: %w", errBeside, err)
	}
	settings := make(map[string]func(), len(now.Feeds))
	for _, f := range d.feeds.all() {
		if p.goes(f) {
			continue
		}
		c := wants.FeedOf(now, f.name)
		s, err := settingsOf(c, f.limits)
		if err != nil {
			return r, fmt.Errorf("feed %s: %w", f.name, err)
		}
		settings[f.name] = func() { d.apply(f, c, s) }
	}

	// From here on nothing fails but the beginning of a new feed, which then waits for a restart.
	for _, c := range config.Diff(d.counting.loaded, loaded) {
		line := local.ChangeLine{Key: c.Key, Old: c.Old, New: c.New}
		switch c.Reach {
		case config.Now:
			r.Applied = append(r.Applied, line)
		case config.NextLife:
			r.NextLife = append(r.NextLife, line)
		}
	}
	r.Held = d.heldFiles(loaded)
	var gone []*feed
	for _, f := range d.feeds.all() {
		if p.goes(f) {
			gone = append(gone, f)
			continue
		}
		settings[f.name]()
	}
	d.stop(gone)
	for _, c := range p.comes {
		if err := d.begin(wants.FeedOf(now, c.Name)); err != nil {
			d.Log.Warn("a feed cannot begin without a restart", "feed", c.Name, "error", err)
			r.Applied = slices.DeleteFunc(r.Applied, func(l local.ChangeLine) bool { return l.Key == "feed."+c.Name })
			r.Restart = append(r.Restart, local.ChangeLine{Key: "feed." + c.Name, New: err.Error()})
			now.Feeds = slices.DeleteFunc(now.Feeds, func(f *config.Feed) bool { return f.Name == c.Name })
		}
	}
	d.counting.loaded, d.counting.now = loaded, now
	d.feeds.order(now.Feeds)
	if d.Level != nil {
		d.Level.Set(logLevel(loaded))
	}
	d.ready.Store(&loaded.HTTP.Ready)
	r.Restart = append(r.Restart, d.waitFor(loaded)...)
	d.waits.Store(&r.Restart)
	return r, nil
}

// waitFor is what is different from what the daemon, and each of its feeds, began with, and waits for a restart.
func (d *Daemon) waitFor(loaded *config.Config) (list []local.ChangeLine) {
	began := *d.Config
	began.Feeds = nil
	for _, f := range d.feeds.all() {
		began.Feeds = append(began.Feeds, f.began)
	}
	running := make(map[string]bool) // accounts that came with their feeds
	for _, f := range d.feeds.all() {
		if a := accountOf(f.config); d.accounts.Has(a) && f.config.Shared != nil {
			running[f.config.Shared.Key] = true
		}
	}
	for _, c := range config.Diff(&began, loaded) {
		whole := c.Old == "" && running[c.Key]
		if c.Reach == config.Restart && !whole {
			list = append(list, local.ChangeLine{Key: c.Key, Old: c.Old, New: c.New})
		}
	}
	return list
}

// plan is what a reload is to do with feeds.
type plan struct {
	beside *config.Config  // what counts then: what was loaded, beside what waits for a restart
	comes  []*config.Feed  // of beside
	stays  map[string]bool // by name
}

func (p *plan) goes(f *feed) bool { return !p.stays[f.name] }

func (d *Daemon) planReload(loaded *config.Config) plan {
	beside := *loaded
	beside.Accounts = d.counting.now.Accounts
	beside.Feeds = nil
	p := plan{beside: &beside, stays: make(map[string]bool)}
	for _, c := range loaded.Feeds {
		if f := d.feeds.named(c.Name); f != nil {
			p.stays[c.Name] = true
			beside.Feeds = append(beside.Feeds, reloadedFeed(f.config, c))
			continue
		}
		p.comes = append(p.comes, c)
		beside.Feeds = append(beside.Feeds, c)
	}
	return p
}

// apply lets a feed run by what c says. Files and secrets are read again, and what was refused is asked for again.
func (d *Daemon) apply(f *feed, c *config.Feed, s pool.Settings) {
	file := f.config.TopicsFile
	if err := f.pool.Configure(s); err != nil { // a checked configuration cannot come to this
		d.Log.Error("the settings of a feed cannot be used: it goes on with those that it has", "feed", f.name, "error", err)
	}
	if f.way != nil {
		f.way.Use(network.Transport(c, s.Conn))
	}
	f.before.Store(int64(c.Auth.RefreshBefore))
	if f.expiry != nil {
		f.expiry.Before(c.Auth.RefreshBefore)
	}
	f.pool.Pardon()
	f.want(c)
	f.source.Reread()
	if f.secret != nil {
		f.secret.Use(SecretSource(c), c.Auth.RefreshBefore)
		f.secret.Reload()
	}
	if c.TopicsFile != file {
		d.follow(f)
	} else if follower := f.file.Load(); follower != nil {
		follower.Taken()
	}
}

// heldFiles are the files of topics that were held, and that loaded takes.
func (d *Daemon) heldFiles(loaded *config.Config) (list []local.HeldFile) {
	for _, c := range loaded.Feeds {
		f := d.feeds.named(c.Name)
		if f == nil || c.TopicsFile != f.config.TopicsFile || f.held() == "" {
			continue
		}
		list = append(list, local.HeldFile{
			Feed: c.Name, File: c.TopicsFile, Old: len(f.config.FromFile), New: len(c.FromFile),
		})
	}
	return list
}

// Renew is local.Daemon's.
func (d *Daemon) Renew(_ context.Context, who, feed string) error {
	f := d.feeds.named(feed)
	if f == nil {
		return noFeed(feed)
	}
	f.pool.Renew()
	d.Log.Info("every connection is handed over", "feed", feed, "by", who)
	return nil
}

func logLevel(c *config.Config) (level slog.Level) {
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}
