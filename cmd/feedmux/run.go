package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"feedmux/internal/config"
)

func runCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Run holds the configured feeds and publishes their events on NATS until it is told
to end (SIGTERM or SIGINT; a second one ends it at once).

It does not exit because an upstream, a token or NATS is missing: it says so in its
log, status and notices, and goes on trying. A bad configuration is exit code 78.`,
		Example: "  feedmux run --config config.toml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return failed(err)
			}
			dir, err := stateDir()
			if err != nil {
				return failed(err)
			}
			d := &daemon{config: cfg, state: dir, log: newLogger(c.ErrOrStderr(), cfg.Log)}
			if err := d.start(); err != nil {
				return failed(err)
			}
			d.log.Info("starting", "version", version(), "config", path)
			d.sayPlan()
			ctx, stop := context.WithCancel(c.Context())
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			var beside sync.WaitGroup
			beside.Go(func() { d.answerHangups(ctx, hangup) })
			err = d.run(ctx, func() {
				d.notify(systemd.SdNotifyReady)
				beside.Go(func() {
					d.feedWatchdog(ctx)
					d.notify(systemd.SdNotifyStopping)
				})
			})
			stop()
			beside.Wait()
			d.sayEnd()
			return failed(err)
		},
	}
	c.Flags().StringVarP(&path, "config", "c", defaultConfig, "the configuration `file`")
	return c
}

// sayPlan logs what is about to be done, and what cannot be done.
func (d *daemon) sayPlan() {
	if d.http != nil {
		d.log.Info("answering HTTP", "url", "http://"+d.http.Addr().String())
	}
	if d.embedded != nil {
		d.log.Info("embedded NATS", "listen", d.embedded.Addr())
	} else {
		d.log.Info("external NATS", "url", config.RedactURL(d.config.NATS.URL))
	}
	for _, f := range d.config.Feeds {
		p, err := planFeed(f)
		if err != nil {
			continue // the pool says what is wrong
		}
		level := slog.LevelInfo
		if p.Unplaced > 0 || p.Topics == 0 {
			level = slog.LevelWarn
		}
		d.log.Log(context.Background(), level, "plan", "feed", p.Feed, "upstream", p.URL, "topics", p.Topics,
			"placed", p.Placed, "unplaced", p.Unplaced, "connections", p.Connections,
			"confirmed_after", time.Duration(p.Seconds*float64(time.Second)).Round(time.Second))
	}
}

// answerHangups says that a reload is not to be had, until ctx ends: unanswered, the signal would end the daemon without
// a word.
func (d *daemon) answerHangups(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-hangup:
			d.log.Warn("SIGHUP: there is no reload yet; restart to read the configuration anew")
		case <-ctx.Done():
			return
		}
	}
}

// sayEnd logs what became of all events.
func (d *daemon) sayEnd() {
	var published, dropped uint64
	for _, f := range d.core.Stats().Feeds {
		published += f.Published
		for _, n := range f.Dropped {
			dropped += n
		}
	}
	d.log.Info("ended", "published", published, "dropped", dropped, "ran", time.Since(d.started).Round(time.Second))
}

// notify tells the service manager, if there is one.
func (d *daemon) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.log.Warn("telling the service manager failed", "state", state, "error", err)
	}
}

// feedWatchdog tells the service manager that all loops turn, as often as it wants to know, until ctx ends. Whether an
// upstream or NATS can be reached does not matter here: a restart would not cure that.
func (d *daemon) feedWatchdog(ctx context.Context) {
	every, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		d.log.Warn("the service manager's watchdog is set wrongly", "error", err)
	}
	if every <= 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(every / 3)
	defer ticker.Stop()
	for {
		if err := d.turning(ctx); err == nil {
			d.notify(systemd.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			d.log.Error("watchdog", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
