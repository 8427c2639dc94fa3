package state

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// The test binary runs itself again as another process: these variables say as what, and with which directory.
const (
	childVar = "FEEDMUX_STATE_TEST_CHILD"
	dirVar   = "FEEDMUX_STATE_TEST_DIR"
)

func TestMain(m *testing.M) {
	does := os.Getenv(childVar)
	if does == "" {
		os.Exit(m.Run())
	}
	go func() { // whatever becomes of the parent, the child ends with it
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	d, err := Open(os.Getenv(dirVar))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	switch does {
	case "hold":
		fmt.Println("locked")
		select {}
	case "save":
		for n := 0; ; n++ {
			if err := d.Save("whole", record(n)); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(n)
		}
	case "fill the disk":
		signal.Ignore(syscall.SIGXFSZ) // then a write past the limit fails, as on a full disk
		limit := syscall.Rlimit{Cur: 1000, Max: 1000}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("saved with:", d.Save("whole", record(20_000)))
		fmt.Println("small one saved with:", d.Save("small", 1))
	}
}

// value can be told whole from torn.
type value struct {
	N    int
	Fill string
}

// record makes values of very different lengths, up to about 200 kB.
func record(n int) value {
	return value{n, strings.Repeat(letter(n), 1+n*7919%200_000)}
}

func letter(n int) string { return string(rune('a' + n%26)) }

func (v value) whole() bool { return v.Fill == record(v.N).Fill }

// child starts this binary again and gives its output, line by line.
func child(t *testing.T, does, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childVar+"="+does, dirVar+"="+dir, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait() // an error if the test has waited, or killed it
	})
	return cmd, bufio.NewScanner(out)
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
}

func line(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("the child says no more: %v", lines.Err())
	}
	return lines.Text()
}

// open opens dir for the time of the test.
func open(t *testing.T, dir string) *Dir {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func save(t *testing.T, d *Dir, name string, v any) {
	t.Helper()
	if err := d.Save(name, v); err != nil {
		t.Fatal(err)
	}
}

// files are the names in a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
