package console

import (
	"slices"
	"strings"
	"testing"

	"feedmux/internal/diagnosis"
)

func TestRedrawCoversTheOlderPage(t *testing.T) {
	// Erasing comes before each line: after one that fills the terminal, the cursor still stands on its last character.
	if got, want := (Look{}).Redraw("a\nb\n"), "\x1b[H\x1b[Ka\n\x1b[Kb\n\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPageThatIsTallerThanTheTerminalIsCut(t *testing.T) {
	const page = "one\ntwo\nthree\nfour\nfive\n"
	all := []string{"one", "two", "three", "four", "five"}
	for name, c := range map[string]struct {
		look Look
		rows []string
	}{
		"room to spare":   {Look{Width: 80, Height: 24}, all},
		"just room":       {Look{Width: 80, Height: 6}, all},
		"a row too few":   {Look{Width: 80, Height: 5}, []string{"one", "two", "three", "… 2 more lines"}},
		"three rows":      {Look{Width: 80, Height: 3}, []string{"one", "… 4 more lines"}},
		"one row":         {Look{Width: 80, Height: 1}, []string{"… 5 more lines"}},
		"no size":         {Look{}, all},
		"no width":        {Look{Height: 4}, []string{"one", "two", "… 3 more lines"}},
		"narrow":          {Look{Width: 4, Height: 9}, []string{"one", "two", "thre", "e", "four", "five"}},
		"narrow and low":  {Look{Width: 4, Height: 5}, []string{"one", "two", "thre", "… 3…"}},
		"a colour is cut": {Look{Width: 80, Height: 4, Color: true}, []string{"one", "two", reset + "… 3 more lines"}},
	} {
		drawn, cleared := strings.CutSuffix(c.look.Redraw(page), "\n\x1b[J")
		rows, home := strings.CutPrefix(drawn, "\x1b[H\x1b[K")
		if got := strings.Split(rows, "\n\x1b[K"); !cleared || !home || !slices.Equal(got, c.rows) {
			t.Errorf("%s: %q, want %q", name, got, c.rows)
		}
	}
}

// What a terminal shows of a page takes no more rows than it has, at any size.
func TestARedrawnPageFitsIntoTheTerminal(t *testing.T) {
	page := Overview(read(t, "outage"), Look{Width: 80, Color: true})
	for _, size := range []Look{{Width: 80, Height: 10}, {Width: 40, Height: 24}, {Width: 7, Height: 5}, {Width: 2, Height: 2}, {Width: 120, Height: 60}} {
		size.Color = true
		text := size.Redraw(page)
		for _, code := range append([]string{bold, reset, "\x1b[H", "\x1b[J", "\x1b[K"}, colours[diagnosis.Bad], colours[diagnosis.Good], colours[diagnosis.Warn]) {
			text = strings.ReplaceAll(text, code, "")
		}
		rows := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(rows) >= size.Height {
			t.Errorf("%+v: %d rows", size, len(rows))
		}
		for _, row := range rows {
			if width(row) > size.Width {
				t.Errorf("%+v: %q is too wide", size, row)
			}
		}
	}
}
