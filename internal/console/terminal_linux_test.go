package console

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheLookOfATerminalIsItsSize(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	defer terminal.Close()
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	for _, c := range []struct{ rows, columns, width int }{{24, 80, 80}, {50, 200, 120}, {0, 0, 0}} {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(c.rows), Col: uint16(c.columns)}); err != nil {
			t.Fatal(err)
		}
		if got, ok := LookFor(terminal); !ok || got != (Look{Width: c.width, Height: c.rows, Color: true}) {
			t.Errorf("%d rows of %d columns: %+v, %v", c.rows, c.columns, got, ok)
		}
	}
	if got, ok := LookFor(&strings.Builder{}); ok || got != (Look{}) {
		t.Errorf("no terminal looks like %+v", got)
	}
}
