package control

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestWhoAsksForAFeedThatIsNotThereIsToldWhichAre(t *testing.T) {
	var many []string
	for i := range 13 {
		many = append(many, fmt.Sprintf("f%d", i))
	}
	for want, there := range map[string][]string{
		`there is no feed "x"; there is none at all`:                    nil,
		`there is no feed "x"; there is a`:                              {"a"},
		`there is no feed "x"; there are a and b`:                       {"a", "b"},
		`there is no feed "x"; there are a, b and c`:                    {"a", "b", "c"},
		`; there are f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 and 3 more`: many,
	} {
		if got := NoFeed("x", there); !strings.HasSuffix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}

	w := get(Handler(options(answering(twitch()))), "/api/status?feed=nope")
	wantCode(t, w, http.StatusNotFound)
	if want := `{"error":"there is no feed \"nope\"; there is twitch","field":"feed"}` + "\n"; w.Body.String() != want {
		t.Errorf("got %s, want %s", w.Body, want)
	}
}
