package config

import (
	"reflect"
	"strings"
	"testing"
)

const running = `
[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics = ["raid.1"]
limits = { connections = 1, topics_per_connection = 2 }
overflow = "reject"
[[feed]]
name = "b"
protocol = "particular"
topics = ["x"]
subject = "b.{topic}"
auth.env = "TOKEN"
`

func atRunTime(names ...string) (list []Topic) {
	for _, name := range names {
		list = append(list, Topic{Name: name, Place: RunTime()})
	}
	return list
}

func TestOtherTopicsMakeAnotherConfiguration(t *testing.T) {
	c := mustParse(t, running)
	with, err := c.WithTopics(options(), map[string][]Topic{"a": atRunTime("raid.2", "raid.3")})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Feeds[0].Topics) != 1 || c.Feeds[0].Topics[0].Name != "raid.1" {
		t.Errorf("the configuration was changed: %+v", c.Feeds[0].Topics)
	}
	if got := with.Feeds[0].Topics; len(got) != 2 || got[1].Name != "raid.3" || with.Feeds[0].Account != c.Feeds[0].Account {
		t.Errorf("the feed is %+v", with.Feeds[0])
	}
	if !reflect.DeepEqual(with.Feeds[1], c.Feeds[1]) {
		t.Errorf("the other feed became %+v", with.Feeds[1])
	}
	if changes := Diff(c, with); len(changes) != 1 || changes[0].New != "2 topics: 2 added, 1 removed" {
		t.Errorf("the difference is %+v", changes)
	}
	if _, err := with.WithTopics(options(), nil); err != nil {
		t.Errorf("the same topics again: %v", err)
	}
}

func TestOtherTopicsAreCheckedAsThoseOfTheFile(t *testing.T) {
	c := mustParse(t, running)
	for _, try := range []struct {
		feed   string
		topics []Topic
		want   string
	}{
		{"a", atRunTime("bad.1"), `run-time: "bad.1" is not a topic`},
		{"a", append(c.Feeds[0].Topics, atRunTime("bad.1")...), `run-time: "bad.1" is not a topic`},
		{"a", atRunTime("1", "2", "3"), "config.toml:7: feed[0].overflow: 3 topics are more than (1 - 0) × 2 = 2, which is " +
			`(connections - reserve) × topics_per_connection; the first without a place is "3" (run-time)`},
		{"b", []Topic{{Name: "x", Options: map[string]any{"mode": "half"}, Place: RunTime()}}, "run-time: must be full"},
		{"b", atRunTime("x", "x"), "run-time: has the subject of run-time"},
		{"c", nil, "run-time: there are topics for a feed that is not there"},
	} {
		_, err := c.WithTopics(options(), map[string][]Topic{try.feed: try.topics})
		if _, ok := err.(Problems); !ok || err.Error() != try.want {
			t.Errorf("%v\nwant %s", err, try.want)
		}
	}
}

func TestTopicsOfAFileAndOfTheRunTimeAreMerged(t *testing.T) {
	p := options().Protocols["particular"]
	c := mustParse(t, strings.Replace(running, `topics = ["x"]`, `topics = [{ topic = "x", mode = "full" }, "raid.4"]`+
		"\ntopics_file = \"testdata/topics.txt\"", 1))
	f := c.Feeds[1]
	if len(f.Listed) != 2 || len(f.FromFile) != 4 || len(f.Topics) != 5 {
		t.Fatalf("%d listed, %d of the file, %d topics", len(f.Listed), len(f.FromFile), len(f.Topics))
	}
	file, err := ReadTopics("testdata/topics.txt")
	if err != nil || len(file) != 4 || file[1].Name != "raid.4" || file[1].Place != (Place{File: "testdata/topics.txt", Line: 4}) {
		t.Errorf("the file is %+v, %v", file, err)
	}
	late, err := DecodeTopic(p, map[string]any{"topic": "x", "priority": float64(7), "mode": "full"})
	if err != nil {
		t.Fatal(err)
	}
	merged, err := MergeTopics(p, f.Listed, f.FromFile, []Topic{late, {Name: "new"}})
	if err != nil || len(merged) != 6 || merged[0].Name != "x" || merged[0].Priority != 7 || merged[5].Name != "new" {
		t.Errorf("merged are %+v, %v", merged, err)
	}
	if f.Listed[0].Priority != 0 {
		t.Error("the list of the file was changed")
	}
	other := Topic{Name: "x", Options: map[string]any{"mode": "half"}, Place: RunTime()}
	merged, err = MergeTopics(p, f.Listed, []Topic{other})
	if want := `run-time: "x" has other options at config.toml:11: feed[1].topics[0]`; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if len(merged) != 2 || merged[0].Options["mode"] != "full" {
		t.Errorf("merged are %+v", merged)
	}
}
