package protocoltest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADifferenceNamesItsLine(t *testing.T) {
	script, err := parse("ping\n> ?\n\n# so\n< text ok a\nsettled a refused\n")
	if err != nil {
		t.Fatal(err)
	}
	played, err := script.play(fake{}.Limits(), fake{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := differences(script, played)
	if len(got) != 1 || !strings.HasPrefix(got[0], "5: < text ok a\n") ||
		!strings.Contains(got[0], "confirmed") || !strings.Contains(got[0], "refused") {
		t.Errorf("%q", got)
	}
	if got := differences(played, played); got != nil {
		t.Errorf("a transcript differs from itself: %q", got)
	}
}

func TestUpdateRewritesTheFileAndRunThenPasses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dialogue.txt")
	wrong := strings.ReplaceAll(dialogue, "confirmed", "refused")
	if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func(before bool) { *update = before }(*update)
	*update = true
	Run(t, fake{}, file, nil)
	if got, err := os.ReadFile(file); err != nil || string(got) != dialogue {
		t.Errorf("rewritten to (%v)\n%s", err, got)
	}
	*update = false
	Run(t, fake{}, file, nil)
}
