package topics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"feedmux/internal/config/strict"
)

func TestATopicOfARequestIsReadAsStrictlyAsOneOfTheFile(t *testing.T) {
	for text, want := range map[string]any{
		`"raid.1"`:                                      Topic{Name: "raid.1"},
		`{"topic": "raid.1", "priority": 3}`:            Topic{Name: "raid.1", Priority: 3},
		`{"topic": "x", "mode": {"a": [1, 1.5, true]}}`: Topic{Name: "x", Options: map[string]any{"mode": map[string]any{"a": []any{int64(1), 1.5, true}}}},
		`{"topic": "${HOME}"}`:                          Topic{Name: "${HOME}"},
		`""`:                                            `topic: "" must not be empty`,
		`7`:                                             `topic: must be a string or { topic = "…", priority = … }, not a whole number`,
		`null`:                                          `topic: must be a string or { topic = "…", priority = … }, not null`,
		`{}`:                                            "topic.topic: is missing",
		`{"topic": "x", "priority": 1.5}`:               "topic.priority: must be a whole number, not a number",
		`{"topic": "x", "priority": 1e300}`:             "topic.priority: must be a whole number, not a number",
		`{"topic": "x", "priority": 3000000000}`:        "topic.priority: 3000000000 is more than 2147483647",
		`{"topic": ["x"], "colour": "red", "prority": 1}`: "topic.colour: unknown key; a topic has topic, priority and mode\n" +
			"topic.prority: unknown key; a topic has topic, priority and mode\n" +
			"topic.topic: must be a string, not an array",
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		got, err := One([]string{"mode"}, v)
		if topic, good := want.(Topic); good {
			topic.Place = strict.Place{Key: RunTime}
			if err != nil || !reflect.DeepEqual(got, topic) {
				t.Errorf("%s: %+v, %v", text, got, err)
			}
		} else if err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestAFileHasATopicALine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topics.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("\ufeff# all\r\n a b \t# why\r\n\n#c\nd#e\nf")
	got, err := Read(file)
	at := func(name string, line int) Topic {
		return Topic{Name: name, Place: strict.Place{File: file, Line: line}}
	}
	if want := []Topic{at("a b", 2), at("d#e", 5), at("f", 6)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	write("")
	if got, err := Read(file); err != nil || got != nil {
		t.Errorf("an empty file: %+v, %v", got, err)
	}
	write("a\xff")
	if _, err := Read(file); err == nil || !strings.Contains(err.Error(), "is not UTF-8 text") {
		t.Errorf("another text: %v", err)
	}
	if _, err := Read(file + ".none"); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}
