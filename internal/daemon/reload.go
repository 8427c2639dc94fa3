package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/config"
	"feedmux/internal/control/local"
	"feedmux/internal/daemon/answer"
	"feedmux/internal/daemon/network"
	"feedmux/internal/daemon/settings"
	"feedmux/internal/daemon/wants"
	"feedmux/pool"
)

// Reload is local.Daemon's. A configuration that is bad, or that would be bad beside what waits for a restart, changes nothing.
// While a feed that was taken away closes its connections, it waits.
func (d *Daemon) Reload(ctx context.Context, who string) (local.ReloadResult, error) {
	ctx, leave, err := d.enter(ctx, "a reload by "+who)
	if err != nil {
		return local.ReloadResult{}, err
	}
	defer leave()
	if d.Load == nil {
		return local.ReloadResult{}, &local.Error{Kind: local.Conflict, Text: "this daemon was started without a configuration that it could read again"}
	}
	r, err := d.reload(ctx)
	if err != nil && ctx.Err() != nil {
		return local.ReloadResult{}, givenUp(ctx)
	}
	d.reloaded.Store(&answer.Last{At: time.Now(), Err: err})
	if err != nil {
		text := "the reload changed nothing: the configuration is bad"
		if errors.Is(err, answer.ErrBeside) {
			text = "the reload changed nothing: it needs a restart"
		}
		d.Log.Error(text, "by", who, "config", d.Path, "error", err)
		return local.ReloadResult{Problems: answer.Problems(err)}, nil
	}
	answer.Log(d.Log, who, r)
	return r, nil
}

// reload reads the configuration and lets all of it count that may. An error means that nothing has changed.
func (d *Daemon) reload(ctx context.Context) (r local.ReloadResult, err error) {
	since := time.Now()
	loaded, err := d.Load()
	if err != nil {
		return r, err
	}
	loaded, back, err := d.keepBack(ctx, loaded, since)
	if err != nil {
		return r, err
	}
	p := d.planReload(loaded)
	now, out, err := d.withAdded(ctx, p.beside)
	if err != nil {
		return r, fmt.Errorf("%w: %w", answer.ErrBeside, err)
	}
	apply := make(map[string]func(), len(now.Feeds))
	var gone []*feed
	for _, f := range d.feeds.all() {
		if p.goes(f) {
			gone = append(gone, f)
			continue
		}
		c := wants.FeedOf(now, f.name)
		s, err := settings.Of(c, f.limits)
		if err != nil {
			return r, fmt.Errorf("feed %s: %w", f.name, err)
		}
		apply[f.name] = func() { d.apply(f, c, s, back[f.name] != "") }
	}
	cannot := d.cannotBegin(p.comes, gone)
	for _, c := range p.comes {
		why, isNew := cannot[c.Name], !slices.ContainsFunc(d.counting.loaded.Feeds, func(f *config.Feed) bool { return f.Name == c.Name })
		if why != nil && isNew && len(gone) > 0 {
			return r, fmt.Errorf("%w: feed %s cannot begin before (%w), and feed %s would be gone until then: a restart does both",
				answer.ErrBeside, c.Name, why, gone[0].name)
		}
	}

	// From here on nothing fails but the beginning of a new feed, which then waits for a restart.
	r = answer.Of(config.Diff(d.counting.loaded, loaded))
	r.Held = d.heldFiles(loaded, back)
	for _, c := range loaded.Feeds {
		if why := back[c.Name]; why != "" {
			r.Warnings = append(r.Warnings, why)
		}
	}
	for _, f := range d.feeds.all() {
		if !p.goes(f) {
			apply[f.name]()
		}
	}
	d.stop(gone)
	for _, c := range p.comes {
		err := cannot[c.Name]
		if err == nil {
			err = d.begin(wants.FeedOf(now, c.Name))
		}
		if err != nil {
			d.Log.Warn("a feed cannot begin without a restart", "feed", c.Name, "error", err)
			r.Applied = slices.DeleteFunc(r.Applied, func(l local.ChangeLine) bool { return l.Key == "feed."+c.Name })
			r.Restart = append(r.Restart, local.ChangeLine{Key: "feed." + c.Name, Old: "does not run", New: err.Error()})
			now.Feeds = slices.DeleteFunc(now.Feeds, func(f *config.Feed) bool { return f.Name == c.Name })
		}
	}
	d.counting.loaded, d.counting.now, d.counting.out = loaded, now, out
	d.feeds.order(now.Feeds)
	for _, f := range d.feeds.all() {
		if f.secret != nil {
			r.Warnings = append(r.Warnings, f.secretless(SecretSource(f.config).Check())...)
		}
	}
	if d.Level != nil {
		d.Level.Set(logLevel(loaded))
	}
	d.ready.Store(&loaded.HTTP.Ready)
	r.Restart = append(r.Restart, d.waitFor(loaded)...)
	d.waits.Store(&r.Restart)
	return r, nil
}

// cannotBegin says which of the feeds that come cannot begin before a restart, once those that go are gone, and why.
func (d *Daemon) cannotBegin(comes []*config.Feed, gone []*feed) map[string]error {
	why := make(map[string]error)
	var parts []*account.Share
	for _, f := range gone {
		parts = append(parts, f.share)
	}
	room := d.accounts.Without(parts)
	for _, c := range comes {
		if err := room.Take(c.Limits.Connections, settings.Account(c)); err != nil {
			why[c.Name] = err
		}
		if root, err := d.rootOf(c); d.embedded != nil && (err != nil || !slices.Contains(d.roots, root)) {
			why[c.Name] = cmp.Or(err, fmt.Errorf("nobody may read %s.> on the embedded NATS server, which was told of its subjects at the start", root))
		}
	}
	return why
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
		if a := settings.Account(f.config); d.accounts.Has(a) && f.config.Shared != nil {
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

// apply lets a feed run by what c says. Secrets are read again, and what was refused is asked for again. keptBack says that c
// does not have what the file of topics says now.
func (d *Daemon) apply(f *feed, c *config.Feed, s pool.Settings, keptBack bool) {
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
	d.want(f, c)
	f.source.Reread()
	if f.secret != nil {
		f.secret.Use(SecretSource(c), c.Auth.RefreshBefore)
		f.secret.Reload()
	}
	if c.TopicsFile != file {
		d.follow(f)
	} else if follower := f.file.Load(); follower != nil && !keptBack {
		follower.Taken()
	}
}

// Renew is local.Daemon's.
func (d *Daemon) Renew(_ context.Context, who, feed string) error {
	f := d.feeds.named(feed)
	if f == nil {
		return d.noFeed(feed)
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
