package believed

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"feedmux/internal/config"
)

// store is a Store.
type store struct {
	text  []byte
	saves int
}

func (s *store) Load(v any) error {
	if s.text == nil {
		return fs.ErrNotExist
	}
	return json.Unmarshal(s.text, v)
}

func (s *store) Save(v any) (err error) {
	s.saves++
	s.text, err = json.Marshal(v)
	return err
}

func feed(file string, names ...string) *config.Feed {
	f := &config.Feed{Key: "feed[0]", Name: "a", TopicsFile: file}
	for i, name := range names {
		f.FromFile = append(f.FromFile, config.Topic{Name: name, Place: config.Place{File: file, Line: i + 1}})
	}
	return f
}

func TestAFileThatLostOverHalfBetweenTwoRunsIsNotBelieved(t *testing.T) {
	s := new(store)
	before := func(what string, f *config.Feed, want string) {
		t.Helper()
		topics, why := Before(s, f)
		if (why == nil) != (want == "") || why != nil && (!strings.Contains(why.Error(), want) || len(topics) != 4 || topics[3].Place.Line != 4) {
			t.Errorf("%s: %v, %v", what, topics, why)
		}
	}
	keep := func(f *config.Feed, saves int) {
		t.Helper()
		if err := Keep(s, f); err != nil || s.saves != saves {
			t.Errorf("%v; saved %d times, want %d", err, s.saves, saves)
		}
	}
	keep(feed(""), 0) // nothing to say
	before("at first", feed("topics.txt", "x"), "")
	keep(feed("topics.txt", "a", "b", "c", "d"), 1)
	keep(feed("topics.txt", "a", "b", "c", "d"), 1)
	before("the same", feed("topics.txt", "a", "b", "c", "d"), "")
	before("half of it", feed("topics.txt", "a", "b"), "")
	before("less", feed("topics.txt", "a"), "would lose 3 of its 4 topics")
	before("nothing", feed("topics.txt"), "would lose 4 of its 4 topics")
	before("another file", feed("other.txt", "a"), "")
	before("no file", feed(""), "")
	keep(feed(""), 2)
	before("one that was away", feed("topics.txt", "a"), "")
	s.text = []byte("{")
	before("after damage", feed("topics.txt", "a"), "")
	keep(feed("topics.txt", "a"), 3)
}
