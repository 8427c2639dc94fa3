package main

import (
	"io/fs"
	"os"
	"path/filepath"
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
	if len(shown) < 12 || len(described) != 25 {
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
	values = append(values, wordsOfReaders(t)...)
	for _, v := range values {
		if !strings.Contains(string(page), "`"+v+"`") {
			t.Errorf("the value %s is not on the page", v)
		}
	}
}

// wordsOfReaders is the reasons and kinds that protocols and readers count under. Each has its own, and no list of all
// exists but in their sources.
func wordsOfReaders(t *testing.T) []string {
	t.Helper()
	word := regexp.MustCompile(`\b(?:skip|odd)[A-Z]\w* += "(\w+)"|\bTally\.Skip\("(\w+)"\)`)
	var words []string
	for _, dir := range []string{"protocol", "reader", "resume"} {
		err := filepath.WalkDir("../../internal/"+dir, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			for _, m := range word.FindAllStringSubmatch(string(text), -1) {
				words = append(words, m[1]+m[2])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, known := range []string{"unknown_nonce", "high_below_low", "late", "left_out"} {
		if !slices.Contains(words, known) {
			t.Errorf("%s was not found in the sources: words are declared in another way now", known)
		}
	}
	return words
}
