package console

import (
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// LookFor is the Look for what is written to w: as wide as the terminal, and in colour unless $NO_COLOR is set; 80 columns
// without colour where w is no terminal.
func LookFor(w io.Writer) (l Look, terminal bool) {
	file, ok := w.(*os.File)
	if !ok {
		return Look{}, false
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return Look{}, false
	}
	const widest = 120
	return Look{
		Width: min(int(size.Col), widest), Height: int(size.Row),
		Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}, true
}

// Redraw is page so that it takes the place of the one before on a terminal that looks like l, without flicker. Where the
// page is taller, its end is left out: a terminal that scrolls would show the end of each page and nothing else.
func (l Look) Redraw(page string) string {
	var rows []string
	for _, line := range strings.Split(strings.TrimSuffix(page, "\n"), "\n") {
		rows = append(rows, fold(line, l.Width)...)
	}
	// The cursor stays below the page.
	if most := l.Height - 1; l.Height > 0 && len(rows) > most {
		shown := max(most-1, 0)
		more := "… " + Counted(len(rows)-shown, "more line")
		if l.Width > 0 {
			more = cut(more, l.Width)
		}
		if l.Color { // what was cut off may have ended a colour
			more = reset + more
		}
		rows = append(rows[:shown], more)
	}
	var b strings.Builder
	b.WriteString("\x1b[H") // to the top
	for _, row := range rows {
		// The older line goes first: after one that fills the terminal, the cursor is still on its last character.
		b.WriteString("\x1b[K" + row + "\n")
	}
	b.WriteString("\x1b[J") // and older lines below
	return b.String()
}

// fold divides a line after each n columns, as a terminal would; 0: it does not. Colours take none.
func fold(line string, n int) (rows []string) {
	if n <= 0 {
		return []string{line}
	}
	begin, used, colour := 0, 0, false
	for i, r := range line {
		switch {
		case r == '\x1b':
			colour = true
		case colour:
			colour = r != 'm'
		default:
			w := width(string(r))
			if used += w; used > n && i > begin {
				rows = append(rows, line[begin:i])
				begin, used = i, w
			}
		}
	}
	return append(rows, line[begin:])
}
