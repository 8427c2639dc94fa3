package daemon

import (
	"context"
	"fmt"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/control/local"
	"feedmux/internal/daemon/believed"
	"feedmux/internal/daemon/shelf"
	"feedmux/internal/daemon/wants"
	"feedmux/internal/topicfile"
	"feedmux/pool"
)

// follow begins to follow f's file of topics, if there is one, until Run ends or f.unfollow is called.
func (d *Daemon) follow(f *feed) {
	f.unfollow()
	file := f.config.TopicsFile
	if file == "" {
		f.unfollow = func() {}
		f.file.Store(nil)
		return
	}
	ctx, unfollow := context.WithCancel(d.feeding)
	f.unfollow = unfollow
	var within context.Context // of a look
	follower := topicfile.New(topicfile.Options[config.Topic]{
		File: file,
		Read: config.ReadTopics,
		Name: func(t config.Topic) string { return t.Name },
		Alone: func(look func()) {
			var leave func()
			var err error
			if within, leave, err = d.enter(ctx, "the file "+file); err != nil {
				return // it ends, or nobody follows this file any more
			}
			defer leave()
			look()
		},
		Now:  func() []config.Topic { return f.config.FromFile },
		Take: func(topics []config.Topic) error { return d.takeFile(within, f, topics) },
		Log:  d.Log.With("feed", f.name),
	})
	f.file.Store(follower)
	f.watching.Go(func() { follower.Watch(ctx) })
}

// held says in a sentence that f's file of topics is not taken as it is; "": it is.
func (f *feed) held() string {
	if follower := f.file.Load(); follower != nil {
		return follower.Held()
	}
	return ""
}

// takeFile lets f want what its file says now. The caller is in the gate.
func (d *Daemon) takeFile(ctx context.Context, f *feed, topics []config.Topic) error {
	if believed.Same(topics, f.config.FromFile) {
		return nil
	}
	before := len(f.config.FromFile)
	loaded, _, err := d.rules().WithFile(ctx, d.counting.loaded, f.name, topics, nil)
	if err != nil {
		return err // a restart would find it bad
	}
	now, bad, err := d.rules().WithFile(ctx, d.counting.now, f.name, topics, d.added(f.name))
	if err != nil {
		return err
	}
	d.sayLeftOut(f.name, bad)
	d.counting.loaded, d.counting.now, d.counting.out[f.name] = loaded, now, bad
	d.want(f, wants.FeedOf(now, f.name))
	d.Log.Info("the topics file has changed", "feed", f.name, "file", f.config.TopicsFile, "topics", len(topics), "before", before)
	return nil
}

// believed is c with what counted when the last run ended, of each file of topics that is not to be believed beside that: it is
// held from the first look on. last is what the run before left of each feed; nil: it did not run then.
func (d *Daemon) believed(c *config.Config, last map[string]*pool.Snapshot) *config.Config {
	for _, f := range c.Feeds {
		topics, why := believed.Before(d.keptOf(f), f)
		if why == nil || last[f.Name] == nil {
			continue
		}
		with, _, err := d.rules().WithFile(context.Background(), c, f.Name, topics, nil)
		if err != nil {
			d.Log.Error("a topics file is taken though it should be held: what it said in the last run cannot be wanted any more",
				"feed", f.Name, "held", why, "error", err)
			continue
		}
		c = with
	}
	return c
}

func (d *Daemon) keptOf(f *config.Feed) shelf.Value {
	return shelf.Value{Dir: d.state, Kind: "file", Name: f.Name}
}

// keepFile lets the next run know what counts of c's file of topics.
func (d *Daemon) keepFile(c *config.Feed) {
	if err := believed.Keep(d.keptOf(c), c); err != nil {
		d.Log.Warn("a restart would believe whatever the topics file says then", "feed", c.Name, "error", err)
	}
}

// keepBack is loaded, which was read after since, with what counts of each file of topics that a reload may not take yet; and
// why not, in a sentence for each such feed.
func (d *Daemon) keepBack(ctx context.Context, loaded *config.Config, since time.Time) (with *config.Config, back map[string]string, err error) {
	with, back = loaded, make(map[string]string)
	for _, c := range loaded.Feeds {
		f := d.feeds.named(c.Name)
		if f == nil || c.TopicsFile == "" || c.TopicsFile != f.config.TopicsFile {
			continue
		}
		next, why := f.file.Load().Reload(c.FromFile, since)
		if why == nil {
			continue
		}
		if with, _, err = d.rules().WithFile(ctx, with, f.name, f.config.FromFile, nil); err != nil {
			return nil, nil, fmt.Errorf("%w, and what it said before: %w", why, err)
		}
		back[f.name] = fmt.Sprintf("feed %s: %v", f.name, why)
		if next {
			back[f.name] += "; nobody had been told, so this one did not: reload again if you mean it"
		}
	}
	return with, back, nil
}

// heldFiles are the files of topics that were held, and that loaded takes.
func (d *Daemon) heldFiles(loaded *config.Config, back map[string]string) (list []local.HeldFile) {
	for _, c := range loaded.Feeds {
		f := d.feeds.named(c.Name)
		if f == nil || back[c.Name] != "" || c.TopicsFile != f.config.TopicsFile || f.held() == "" {
			continue
		}
		list = append(list, local.HeldFile{
			Feed: c.Name, File: c.TopicsFile, Old: len(f.config.FromFile), New: len(c.FromFile),
		})
	}
	return list
}
