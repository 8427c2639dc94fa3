package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
)

const exampleFile = "../../config.example.toml"

func TestExampleFileLoadsWithAnEmptyEnvironment(t *testing.T) {
	opts := options()
	opts.Env = func(string) (string, bool) { return "", false }
	if _, err := Load(exampleFile, opts); err != nil {
		t.Error(err)
	}
}

// A setting that cannot stand beside another is in a comment: # and the setting without a space between.
func TestExampleFileNamesEveryKeyAndNoOther(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	lines, twice, _, err := marks.Lines(regexp.MustCompile(`(?m)^#(\S)`).ReplaceAll(text, []byte("$1")))
	if err != nil || twice != nil {
		t.Fatal(err, twice)
	}
	named := map[string]bool{}
	for path := range lines {
		path = strings.Replace(path, "account.example", "account.NAME", 1)
		named[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")] = true
	}
	for _, key := range strict.Keys((&loader{}).rootFields(defaults())) {
		if !named[key] {
			t.Errorf("%s is missing", key)
		}
		delete(named, key)
	}
	for key := range named {
		t.Errorf("%s is unknown", key)
	}
}

func TestExampleFileShowsTheDefaults(t *testing.T) {
	c, err := Load(exampleFile, options())
	if err != nil {
		t.Fatal(err)
	}
	want := mustParse(t, `
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
topics = ["x"]
`)
	want.Feeds[0].Topics = c.Feeds[0].Topics
	if !reflect.DeepEqual(counts(c), counts(want)) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", c, c.Feeds[0], want, want.Feeds[0])
	}
}
