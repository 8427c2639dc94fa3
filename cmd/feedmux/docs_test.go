package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"feedmux/internal/cause"
	"feedmux/internal/sink"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
)

func TestTheMetricsPageHasEveryMetricAndLabelValue(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	d, _ := startDaemon(t, `
[nats.embedded]
listen = ""
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "a"
protocol = "twitch-pubsub"
url = "ws://127.0.0.1:1"
topics = ["raid.1"]
`)
	_, body := get(t, d, "/metrics")
	metric := regexp.MustCompile(`# TYPE (feedmux_\w+) (\w+)`)
	onPage := regexp.MustCompile("\\| `(feedmux_\\w+)[{`].*\\| (\\w+) \\|")
	var shown, described []string
	for _, m := range metric.FindAllStringSubmatch(body, -1) {
		shown = append(shown, m[1]+" "+m[2])
	}
	for _, m := range onPage.FindAllStringSubmatch(string(page), -1) {
		described = append(described, m[1]+" "+m[2])
	}
	slices.Sort(shown)
	slices.Sort(described)
	for _, m := range shown {
		if !slices.Contains(described, m) {
			t.Errorf("%s is not on the page", m)
		}
	}
	// Some appear only once something has happened; what appears at once must not be made up.
	if len(shown) < 12 || len(described) != 22 {
		t.Errorf("%d metrics shown, %d described: %v", len(shown), len(described), described)
	}

	var values []string
	for _, s := range slots.States() {
		values = append(values, s.String())
	}
	for _, s := range topic.States() {
		values = append(values, s.String())
	}
	for _, c := range cause.All() {
		values = append(values, string(c))
	}
	for _, r := range sink.Reasons() {
		values = append(values, string(r))
	}
	for _, v := range values {
		if !strings.Contains(string(page), "`"+v+"`") {
			t.Errorf("the value %s is not on the page", v)
		}
	}
}
