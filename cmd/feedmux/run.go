package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"feedmux/internal/config"
	"feedmux/internal/daemon"
	"feedmux/internal/dialects"
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
			// A hang-up while the daemon starts is a reload once it has started, and one while it ends is nothing. There is no
			// signal.Stop: after it, a hang-up ends the process.
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			cfg, err := loadConfig(path)
			if err != nil {
				return failed(err)
			}
			whole, err := filepath.Abs(path)
			if err != nil {
				return failed(fmt.Errorf("finding %s: %w", path, err))
			}
			dir, err := stateDir()
			if err != nil {
				return failed(err)
			}
			log, level := newLogger(c.ErrOrStderr(), cfg.Log)
			d, err := newDaemon(daemon.Options{
				Config: cfg, Path: whole, Dir: dir, RuntimeDir: os.Getenv("RUNTIME_DIRECTORY"), Log: log, Level: level,
				Load: func() (*config.Config, error) { return loadConfigAgain(path) },
			})
			if err != nil {
				return failed(err)
			}
			d.Log.Info("starting", "version", version(), "config", whole)
			sayPlan(d)
			ctx, stop := context.WithCancel(c.Context())
			var beside sync.WaitGroup
			beside.Go(func() { answerHangups(d, ctx, hangup) })
			err = d.Run(ctx, func() {
				notify(d, systemd.SdNotifyReady)
				beside.Go(func() {
					feedWatchdog(d, ctx)
					notify(d, systemd.SdNotifyStopping)
				})
			})
			stop()
			beside.Wait()
			sayEnd(d)
			return failed(err)
		},
	}
	c.Flags().StringVarP(&path, "config", "c", defaultConfig, "the configuration `file`")
	return c
}

// sayPlan logs what is about to be done, and what cannot be done.
func sayPlan(d *daemon.Daemon) {
	if at := d.Addr(); at != nil {
		d.Log.Info("answering HTTP", "url", "http://"+at.String())
	}
	switch c := d.Config.NATS; {
	case !c.IsEmbedded() && c.Context != "":
		d.Log.Info("external NATS", "context", c.Context)
	case !c.IsEmbedded():
		d.Log.Info("external NATS", "url", config.RedactURLs(c.URL))
	case d.NATSAddr() == nil:
		d.Log.Info("embedded NATS, for nobody outside of the process")
	default:
		d.Log.Info("embedded NATS", "listen", d.NATSAddr())
	}
	plans, err := planOf(d.Counting())
	if err != nil {
		return // the pools say what is wrong
	}
	for _, p := range plans {
		level := slog.LevelInfo
		if p.Unplaced > 0 || p.Topics == 0 {
			level = slog.LevelWarn
		}
		d.Log.Log(context.Background(), level, "plan", "feed", p.Feed, "upstream", p.URL, "topics", p.Topics,
			"placed", p.Placed, "unplaced", p.Unplaced, "connections", p.Connections,
			"confirmed_after", time.Duration(p.Seconds*float64(time.Second)).Round(time.Second))
	}
}

// answerHangups reloads at each SIGHUP, until ctx ends. What comes of it is in the log.
func answerHangups(d *daemon.Daemon, ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-hangup:
			if _, err := d.Reload(ctx, "SIGHUP"); err != nil && ctx.Err() == nil {
				d.Log.Error("the reload failed", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// sayEnd logs what became of all events.
func sayEnd(d *daemon.Daemon) {
	var published, dropped uint64
	for _, f := range d.Stats().Feeds {
		published += f.Published
		for _, n := range f.Dropped {
			dropped += n
		}
	}
	d.Log.Info("ended", "published", published, "dropped", dropped, "ran", time.Since(d.Started()).Round(time.Second))
}

// notify tells the service manager, if there is one.
func notify(d *daemon.Daemon, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.Log.Warn("telling the service manager failed", "state", state, "error", err)
	}
}

// feedWatchdog tells the service manager that all loops turn, as often as it wants to know, until ctx ends. Whether an
// upstream or NATS can be reached does not matter here: a restart would not cure that.
func feedWatchdog(d *daemon.Daemon, ctx context.Context) {
	every, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		d.Log.Warn("the service manager's watchdog is set wrongly", "error", err)
	}
	if every <= 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(every / 3)
	defer ticker.Stop()
	for {
		if err := d.Turning(ctx); err == nil {
			notify(d, systemd.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			d.Log.Error("watchdog", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// newDaemon makes the daemon with every protocol there is.
func newDaemon(o daemon.Options) (*daemon.Daemon, error) {
	o.Version, o.Dialects, o.LoadOptions = version(), dialects.Daemon(), dialects.LoadOptions()
	return daemon.New(o)
}

// stateDir is where the daemon keeps what must outlive it.
func stateDir() (string, error) {
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "feedmux"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a state directory: %w: set STATE_DIRECTORY", err)
	}
	return filepath.Join(home, ".local", "state", "feedmux"), nil
}
