package console

import (
	"io"
	"os"

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
	return Look{Width: min(int(size.Col), widest), Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}, true
}

// Redraw is page so that it takes the place of the one before on a terminal, without flicker.
func Redraw(page string) string {
	out := make([]byte, 0, len(page)+len(page)/16)
	out = append(out, "\x1b[H"...) // to the top
	for _, c := range []byte(page) {
		if c == '\n' {
			out = append(out, "\x1b[K"...) // the rest of an older, longer line
		}
		out = append(out, c)
	}
	return string(append(out, "\x1b[J"...)) // and older lines below
}
