package topic

import (
	"errors"
	"testing"
)

func TestAFormIsMadeOnceForEachRowOfValues(t *testing.T) {
	var f Forms
	made := 0
	branch := func(t *Topic, values [][]byte) (*Topic, error) {
		if string(values[0]) == "bad" {
			return nil, errors.New("bad")
		}
		made++
		return t.Form(nil, "a subject"), nil
	}
	topic := &Topic{Name: "a"}
	rows := [][][]byte{{[]byte("b\x00"), []byte("c")}, {[]byte("b"), []byte("\x00c")}, {[]byte("b\x00c"), nil}}
	seen := make(map[*Topic]bool)
	for range 2 {
		for _, values := range rows {
			form, err := f.Of(topic, values, branch)
			if err != nil || !form.Is(topic) {
				t.Fatal(form, err)
			}
			seen[form] = true
		}
	}
	if made != len(rows) || len(seen) != len(rows) || f.Len() != len(rows) {
		t.Errorf("%d made, %d seen, %d remembered", made, len(seen), f.Len())
	}
	if _, err := f.Of(topic, [][]byte{[]byte("bad")}, branch); err == nil || f.Len() != len(rows) {
		t.Errorf("%v, %d remembered", err, f.Len())
	}
	again := &Topic{Name: "a"} // removed, and wanted again
	if form, err := f.Of(again, rows[0], branch); err != nil || !form.Is(again) || made != len(rows)+1 {
		t.Errorf("%v, %v, %d made", form, err, made)
	}
}
