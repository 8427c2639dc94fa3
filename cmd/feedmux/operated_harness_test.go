package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/control/local"
	"feedmux/internal/daemon"
	"feedmux/internal/sim/twitch"
	"feedmux/pool"
)

// operated is a daemon whose files the test changes.
type operated struct {
	*daemon.Daemon
	t     *testing.T
	path  string // of its configuration
	level slog.LevelVar
	end   func()

	mu  sync.Mutex
	log bytes.Buffer
}

func (o *operated) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log.Write(p)
}

func (o *operated) logged(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(o.log.String(), text)
}

// runOperated runs a daemon with the configuration that is the file in dir. rest is what it has beside NATS and HTTP.
func runOperated(t *testing.T, dir, stateDir, rest string) *operated {
	t.Helper()
	o := &operated{t: t, path: filepath.Join(dir, "config.toml")}
	o.configure(rest)
	cfg, err := loadConfig(o.path)
	if err != nil {
		t.Fatal(err)
	}
	o.Daemon, err = newDaemon(daemon.Options{
		Config: cfg, Dir: stateDir, Level: &o.level, Log: slog.New(slog.NewTextHandler(o, &slog.HandlerOptions{Level: &o.level})),
		Load: func() (*config.Config, error) { return loadConfig(o.path) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- o.Run(ctx, func() { close(ready) }) }()
	<-ready
	o.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("daemon: %v", err)
		}
	})
	t.Cleanup(o.end)
	return o
}

func (o *operated) configure(rest string) {
	o.t.Helper()
	put(o.t, o.path, "[nats.embedded]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n"+rest)
}

// reload reads the configuration again, with this in it.
func (o *operated) reload(rest string) local.ReloadResult {
	o.t.Helper()
	o.configure(rest)
	r := o.reloadAsItIs()
	if len(r.Problems) > 0 {
		o.t.Fatalf("%q\n%s", r.Problems, rest)
	}
	return r
}

func (o *operated) reloadAsItIs() local.ReloadResult {
	o.t.Helper()
	r, err := o.Reload(o.t.Context(), "the operator")
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

// status is that of one feed.
func (o *operated) status(feed string) pool.Status {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	list, err := o.Status(ctx)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, s := range list {
		if s.Feed == feed {
			return s
		}
	}
	o.t.Fatalf("there is no feed %s", feed)
	return pool.Status{}
}

// confirms waits until so many topics of a feed are confirmed, and so many wanted.
func (o *operated) confirms(feed string, confirmed, wanted int) {
	o.t.Helper()
	var s pool.Status
	eventually(o.t, fmt.Sprintf("%d of %d topics of %s", confirmed, wanted, feed), func() bool {
		s = o.status(feed)
		return s.Topics.Confirmed == confirmed && s.Topics.Wanted == wanted
	})
}

func (o *operated) topics(verb local.Verb, feed string, topics ...local.Topic) (local.ChangeResult, error) {
	return o.ChangeTopics(o.t.Context(), "the operator", local.Change{Feed: feed, Verb: verb, Topics: topics})
}

func named(names ...string) (topics []local.Topic) {
	for _, n := range names {
		topics = append(topics, local.Topic{Name: n})
	}
	return topics
}

// twitchFeed is a feed that dials as fast as may be: more are lines of its table.
func twitchFeed(name, address, topics, more string) string {
	return fmt.Sprintf("[[feed]]\nname = %q\nprotocol = \"twitch-pubsub\"\nurl = \"ws://%s\"\ntopics = [%s]\n"+
		"dial.rate = \"100/1s\"\nbackoff.base = \"10ms\"\n%s\n", name, address, topics, more)
}

// listening is what one connection of the upstream listens to.
func listening(up *twitch.PubSub) (lists []string) {
	for _, c := range up.Conns() {
		if c.Ended.IsZero() {
			lists = append(lists, strings.Join(c.Topics, " "))
		}
	}
	return lists
}

func listens(t *testing.T, up *twitch.PubSub, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("listening: %q, want %q", got, want)
		}
	}()
	eventually(t, fmt.Sprintf("%q", want), func() bool { got = listening(up); return slices.Equal(got, want) })
}
