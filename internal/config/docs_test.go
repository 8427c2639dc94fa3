package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestThePageOfKeysIsTheTableOfKeys: each with when it counts, and no other.
func TestThePageOfKeysIsTheTableOfKeys(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]Reach{}
	row := regexp.MustCompile("(?m)^\\| `([a-zA-Z_.]+)` \\|.*\\| ([a-z ]+) \\|$")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		if _, twice := told[m[1]]; twice {
			t.Errorf("%s has two rows", m[1])
		}
		told[m[1]] = Reach(m[2])
	}
	for _, k := range Keys() {
		if strings.HasPrefix(k.Path, "feed.auth.token.") {
			continue // the same as feed.auth, as the page says
		}
		if told[k.Path] != k.Reach {
			t.Errorf("%s: the page says %q, and it is %q", k.Path, told[k.Path], k.Reach)
		}
		delete(told, k.Path)
	}
	for path := range told {
		t.Errorf("%s has a row and is no key", path)
	}
}
