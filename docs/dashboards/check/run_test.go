// Package check holds the dashboard and the alerts to what feedmux really shows: it runs feedmux, scrapes it, and
// evaluates every expression with Prometheus' own engine. It is a module of its own, so that feedmux itself does not
// depend on Prometheus' server.
package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/util/teststorage"
)

const (
	scrapes     = 12
	scrapeEvery = time.Second
)

// build makes the program, and returns its path.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "feedmux")
	c := exec.Command("go", "build", "-o", path, "./cmd/feedmux")
	c.Dir = filepath.Join("..", "..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building feedmux: %v\n%s", err, out)
	}
	return path
}

// start runs a command until the test ends, and returns what the pattern matches first in what it says: an address.
func start(t *testing.T, pattern, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, path, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 20 * time.Second
	c.Env = append(os.Environ(), "STATE_DIRECTORY="+t.TempDir(), "JOURNAL_STREAM=")
	said, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = write, write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()

	var all bytes.Buffer
	found := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(found)
		lines := bufio.NewScanner(said)
		for wanted := regexp.MustCompile(pattern); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if m := wanted.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default: // it was there before
				}
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		err := c.Wait()
		reading.Wait()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("feedmux %q: %v\n%s", args, err, &all)
		}
	})
	select {
	case address, ok := <-found:
		if !ok {
			t.Fatalf("feedmux %q ended", args)
		}
		return address
	case <-time.After(20 * time.Second):
		t.Fatalf("feedmux %q does not say its address", args)
		return ""
	}
}

// storage is what a Prometheus has that scraped one feedmux or several.
type storage struct {
	*teststorage.TestStorage
	last time.Time
	has  map[string]map[string][]string // metric, label, values
}

func newStorage(t *testing.T) *storage {
	return &storage{TestStorage: teststorage.New(t), has: make(map[string]map[string][]string)}
}

// scrape adds what is shown now, as Prometheus would.
func (s *storage) scrape(t *testing.T, instance, address string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", res.Status, err)
	}
	s.last = time.Now()
	now := s.last.UnixMilli()
	app := s.Appender(t.Context())
	add := func(series labels.Labels, value float64) {
		b := labels.NewBuilder(series)
		b.Set("job", "feedmux")
		b.Set("instance", instance)
		series = b.Labels()
		if _, err := app.Append(0, series, now, value); err != nil {
			t.Fatalf("%v: %v", series, err)
		}
		s.know(series)
	}
	add(labels.FromStrings("__name__", "up"), 1)
	p := textparse.NewPromParser(body, labels.NewSymbolTable(), false)
	for {
		switch entry, err := p.Next(); {
		case errors.Is(err, io.EOF):
			if err := app.Commit(); err != nil {
				t.Fatal(err)
			}
			return
		case err != nil:
			t.Fatal(err)
		case entry == textparse.EntrySeries:
			var series labels.Labels
			_, _, value := p.Series()
			p.Labels(&series)
			add(series, value)
		}
	}
}

func (s *storage) know(series labels.Labels) {
	name := series.Get("__name__")
	if s.has[name] == nil {
		s.has[name] = make(map[string][]string)
	}
	series.Range(func(l labels.Label) {
		if !slices.Contains(s.has[name][l.Name], l.Value) {
			s.has[name][l.Name] = append(s.has[name][l.Name], l.Value)
		}
	})
}

// runs are the storages of two Prometheus: one scraped what goes through all that can be seen in a short time, the other
// what is well.
type runs struct{ busy, well *storage }

func run(t *testing.T) runs {
	t.Helper()
	feedmux := build(t)
	const http = `http://(127\.0\.0\.1:\d+)`
	busy := start(t, http, feedmux, "demo", "--topics", "1850", "--cut-every", "1500ms")
	well := start(t, http, feedmux, "demo", "--topics", "400", "--cut-every", "0s")
	kite := start(t, `ws://(127\.0\.0\.1:\d+)`, feedmux, "sim", "kite", "--listen", "127.0.0.1:0", "--odd", "0.1", "--garbage-every", "1s")
	ticks := start(t, http, feedmux, "run", "--config", kiteConfig(t, kite))

	r := runs{busy: newStorage(t), well: newStorage(t)}
	for range scrapes {
		time.Sleep(scrapeEvery)
		r.busy.scrape(t, "busy", busy)
		r.busy.scrape(t, "ticks", ticks)
		r.well.scrape(t, "well", well)
	}
	return r
}

// kiteConfig is a configuration with a feed whose token is known to die, and whose events are odd now and then.
func kiteConfig(t *testing.T, address string) string {
	t.Helper()
	dir := t.TempDir()
	token, config := filepath.Join(dir, "token"), filepath.Join(dir, "config.toml")
	err := errors.Join(os.WriteFile(token, []byte("token"), 0o600), os.WriteFile(config, fmt.Appendf(nil, `
[nats.embedded]
listen = ""
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "ticks"
protocol = "kite"
url = "ws://%s"
topics = ["408065", "884737"]
[feed.auth]
file = %q
[feed.options]
api_key = "key"
token_dies_at = "06:00 Asia/Kolkata"
`, address, token), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return config
}
