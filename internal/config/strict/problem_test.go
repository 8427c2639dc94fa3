package strict

import (
	"fmt"
	"strings"
	"testing"
)

func TestAFileWithAGreatManyProblemsShowsTheFirstAndCountsTheRest(t *testing.T) {
	d := New("main.toml", nil)
	made := 0
	for i := range 1_000_000 {
		d.ReportAt(Place{File: "topics.txt", Line: i + 1, Key: "feed[0].topics_file"}, "%v", counted{&made})
	}
	for i := range 103 {
		d.ReportAt(Place{File: "main.toml", Line: 200 - i, Key: fmt.Sprint("k", i)}, "%s", strings.Repeat("ü", 1000))
	}
	all, _ := d.Err().(Problems)
	if len(all) != 101+21 || all.Count() != 1_000_103 || made != 20 {
		t.Fatalf("%d problems for %d; %d messages made", len(all), all.Count(), made)
	}
	if all[0].Line != 101 || all[0].Message != strings.Repeat("ü", 250)+"…" {
		t.Errorf("the first is %s", all[0])
	}
	if got := all[100].String(); got != "main.toml: and 3 more problems, which are not shown" {
		t.Errorf("after those of the configuration: %s", got)
	}
	if got := all[121].String(); all[120].Line != 20 || got != "topics.txt: and 999980 more problems, which are not shown" {
		t.Errorf("at the end: %s and %s", all[120], got)
	}
	if d.Clean("k102") || d.Clean("feed[0]") || !d.Clean("other") || !d.Told().Concern("k102.x") {
		t.Error("what is wrong with keys past the bound is forgotten")
	}
	if d.Again().Err() != nil {
		t.Error("checks that are made later find the problems of the first")
	}
}

// counted counts how often it is shown.
type counted struct{ n *int }

func (c counted) String() string { *c.n++; return "shown" }
