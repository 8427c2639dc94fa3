package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"feedmux/internal/sim/twitch"
)

// TestTheStatusPageInABrowser lets Chromium look at the page of a daemon, while its upstream breaks and in the end it is
// gone itself. What is looked at is in page.test.mjs.
func TestTheStatusPageInABrowser(t *testing.T) {
	const topics, connections = 620, 10
	folder := filepath.Join(root, "internal", "page", "browser")
	node := needsBrowser(t, folder)

	// The last ones, and so without a place; what no topic may hold is tried where the page is tested alone.
	hostile := []string{`"</a><script>console.error(1)</script>"`, `"` + strings.Repeat("W", 256) + `"`}
	var o twitch.PubSubOptions
	o.Seed, o.Rate = 7, 400
	up, address := upstream(t, o)
	d, end := startDaemon(t, fmt.Sprintf(`
[nats.embedded]
listen = "127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://%s"
topics = [%s%s]
[feed.dial]
rate = "20/1s"
[feed.ping]
interval = "5s"
timeout = "2s"
`, address, manyTopics(topics-len(hostile)), strings.Join(hostile, ",")))
	eventually(t, "all topics that have a place", func() bool { return confirmed(t, d) == connections*50 })

	// What the browser's test may ask for.
	faults := http.NewServeMux()
	faults.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { // one connection, which does not come back
		up.Change(func(o *twitch.PubSubOptions) { o.Refuse = 1 })
		for _, c := range up.Conns() {
			if c.Ended.IsZero() {
				up.Reset(c.ID)
				return
			}
		}
		t.Error("no connection is open that could be cut")
	})
	faults.HandleFunc("POST /mend", func(http.ResponseWriter, *http.Request) {
		up.Change(func(o *twitch.PubSubOptions) { o.Refuse = 0 })
	})
	faults.HandleFunc("POST /end", func(http.ResponseWriter, *http.Request) { end() })
	broker := httptest.NewServer(faults)
	defer broker.Close()

	began := time.Now()
	run := exec.CommandContext(t.Context(), node, "page.test.mjs", "http://"+d.Addr().String()+"/", broker.URL)
	run.Dir = folder
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	t.Logf("%v:\n%s", time.Since(began).Round(time.Millisecond), out)
}

// needsBrowser skips the test where something is missing that only it needs.
func needsBrowser(t *testing.T, folder string) (node string) {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("the status page is not looked at: there is no node here")
	}
	if version, err := exec.CommandContext(t.Context(), node, "-p", "parseInt(process.versions.node)").Output(); err != nil {
		t.Fatal(err)
	} else if major, err := strconv.Atoi(strings.TrimSpace(string(version))); err != nil || major < 20 {
		t.Skipf("the status page is not looked at: node is version %s here, and what drives the browser wants 20", bytes.TrimSpace(version))
	}
	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = "/usr/bin/chromium"
	}
	if _, err := os.Stat(chromium); err != nil {
		t.Skipf("the status page is not looked at: there is no %s here (CHROMIUM names another)", chromium)
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "playwright-core")); err != nil {
		t.Skipf("the status page is not looked at: run npm ci in %s first", folder)
	}
	return node
}
