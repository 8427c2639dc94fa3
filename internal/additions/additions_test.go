package additions

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"feedmux/internal/config"
)

func topics(names ...string) []config.Topic {
	list := make([]config.Topic, len(names))
	for i, name := range names {
		list[i] = config.Topic{Name: name}
	}
	return list
}

func names(l List) string {
	list := make([]string, len(l))
	for i, t := range l {
		list[i] = t.Name
	}
	return strings.Join(list, " ")
}

func wantDone(t *testing.T, d Done, added, removed, changed, unchanged string) {
	t.Helper()
	got := [4]string{strings.Join(d.Added, " "), strings.Join(d.Removed, " "), strings.Join(d.Changed, " "), strings.Join(d.Unchanged, " ")}
	if want := [4]string{added, removed, changed, unchanged}; got != want {
		t.Errorf("added, removed, changed, unchanged: %q, want %q", got, want)
	}
}

func TestChangesSayWhatTheyDid(t *testing.T) {
	before := List(topics("a", "b", "c"))
	more := topics("b", "d", "c")
	more[0].Priority = 5
	next, d := before.Add(more)
	wantDone(t, d, "d", "", "b", "c")
	if names(next) != "a b c d" || next[1].Priority != 5 {
		t.Errorf("after Add: %v", next)
	}
	next, d = before.Remove(topics("c", "x", "a"))
	wantDone(t, d, "", "c a", "", "x")
	if names(next) != "b" {
		t.Errorf("after Remove: %s", names(next))
	}
	next, d = before.Set(topics("e", "a"))
	wantDone(t, d, "e", "b c", "", "a")
	if names(next) != "e a" {
		t.Errorf("after Set: %s", names(next))
	}
	if names(before) != "a b c" || before[1].Priority != 0 {
		t.Errorf("the list before is %v now", before)
	}
}

func TestWhatIsBadIsLeftOutAndTheRestStays(t *testing.T) {
	checks := 0
	good, bad, err := List(topics("a", "b", "c", "d", "e", "f", "g", "h")).Good(t.Context(), func(l List) error {
		checks++
		for _, t := range l {
			if t.Name == "c" || t.Name == "h" {
				return errors.New("no")
			}
		}
		return nil
	})
	if err != nil || names(good) != "a b d e f g" || len(bad) != 2 || bad[0].Topic != "c" || bad[0].Err.Error() != "no" {
		t.Errorf("good: %s; bad: %v", names(good), bad)
	}
	if checks > 13 {
		t.Errorf("%d checks", checks)
	}
	checks = 0
	List(topics("a", "b")).Good(t.Context(), func(List) error { checks++; return nil })
	if checks != 1 {
		t.Errorf("%d checks where nothing was bad", checks)
	}
}

func TestTheSearchForWhatIsBadEndsWithItsContext(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	checks := 0
	_, _, err := List(topics("a", "b", "c", "d", "e", "f", "g", "h")).Good(ctx, func(List) error {
		if checks++; checks == 2 {
			end(errors.New("enough"))
		}
		return errors.New("no")
	})
	if err == nil || !strings.Contains(err.Error(), "enough") || checks != 2 {
		t.Errorf("%v after %d checks", err, checks)
	}
}

// shelf is a Store.
type shelf struct{ text []byte }

func (s *shelf) Load(v any) error {
	if s.text == nil {
		return fs.ErrNotExist
	}
	return json.Unmarshal(s.text, v)
}

func (s *shelf) Save(v any) (err error) {
	s.text, err = json.Marshal(v)
	return err
}

func TestAListOutlivesTheProcess(t *testing.T) {
	var s shelf
	if l, err := Load(&s); len(l) > 0 || err != nil {
		t.Fatalf("at first: %v, %v", l, err)
	}
	l := List(topics("a", "b"))
	l[1].Priority, l[1].Options = -3, map[string]any{"mode": "full"}
	if err := l.Save("x", &s); err != nil {
		t.Fatal(err)
	}
	got, err := Load(&s)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, l, same) || names(got) != names(l) {
		t.Errorf("%v, want %v", got, l)
	}
	s.text = []byte("{")
	if _, err := Load(&s); err == nil {
		t.Error("a damaged file is no error")
	}
}
