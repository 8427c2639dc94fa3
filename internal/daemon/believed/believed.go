// Package believed remembers what counted of a feed's file of topics, over the end of the process: a crash or a restart says
// as little as a look does that a file is meant that has lost over half of its topics.
package believed

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"feedmux/internal/config"
	"feedmux/internal/topicfile"
)

// Store keeps a value. Load fails with fs.ErrNotExist where nothing was saved.
type Store interface {
	Load(v any) error
	Save(v any) error
}

// kept is what is stored.
type kept struct {
	Feed   string  `json:"feed"` // for people
	File   string  `json:"file"`
	Topics []entry `json:"topics"`
}

type entry struct {
	Topic string `json:"topic"`
	Line  int    `json:"line"`
}

func keptOf(f *config.Feed) kept {
	k := kept{Feed: f.Name, File: f.TopicsFile, Topics: []entry{}}
	for _, t := range f.FromFile {
		k.Topics = append(k.Topics, entry{t.Name, t.Place.Line})
	}
	return k
}

// Keep remembers what counts of f's file now. It writes only what is not stored already; of a feed without a file, only that
// there is none any more.
func Keep(s Store, f *config.Feed) error {
	var before kept
	err, now := s.Load(&before), keptOf(f)
	if f.TopicsFile == "" && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && before.File == now.File && slices.Equal(before.Topics, now.Topics) {
		return nil
	}
	if err := s.Save(now); err != nil {
		return fmt.Errorf("keeping what a topics file said: %w", err)
	}
	return nil
}

// Before is what counted of f's file when the last run ended, if the file, as it was loaded, is not to be believed beside that:
// why says so. nil, nil: f goes on with its file.
func Before(s Store, f *config.Feed) (topics []config.Topic, why error) {
	var before kept
	if f.TopicsFile == "" || s.Load(&before) != nil || before.File != f.TopicsFile { // nothing to hold it against
		return nil, nil
	}
	for _, e := range before.Topics {
		at := config.Place{Key: f.Key + ".topics_file", File: f.TopicsFile, Line: e.Line}
		topics = append(topics, config.Topic{Name: e.Topic, Place: at})
	}
	follower := topicfile.New(topicfile.Options[config.Topic]{
		File: f.TopicsFile, Name: func(t config.Topic) string { return t.Name }, Now: func() []config.Topic { return topics },
	})
	if why := follower.TooFew(f.FromFile); why != nil {
		return topics, why
	}
	return nil, nil
}

// Same says whether two files list the same topics.
func Same(a, b []config.Topic) bool {
	return slices.EqualFunc(a, b, func(a, b config.Topic) bool { return a.Name == b.Name })
}
