package shelf

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"feedmux/internal/state"
)

func TestAPositionThatDoesNotCountAnyMoreIsTold(t *testing.T) {
	dir, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	told := func(feed, scope string) string {
		var text bytes.Buffer
		Positions{dir, feed, scope}.TellOthers(slog.New(slog.NewTextHandler(&text, nil)))
		return text.String()
	}
	if got := told("f", "host a"); got != "" {
		t.Errorf("at the very first start: %s", got)
	}
	if err := (Positions{dir, "f", "host a"}).Save([]byte("5")); err != nil {
		t.Fatal(err)
	}
	for _, quiet := range [][2]string{{"f", "host a"}, {"g", "host a"}} {
		if got := told(quiet[0], quiet[1]); got != "" {
			t.Errorf("%v: %s", quiet, got)
		}
	}
	if got := told("f", "host b"); strings.Count(got, "begins anew") != 1 || !strings.Contains(got, "host a") {
		t.Errorf("with another scope: %q", got)
	}
}
