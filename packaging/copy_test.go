package packaging_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const setUp = `set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount --bind /dev dev
for dir in usr var etc; do # where they are file systems of their own, the copy would be without them
	[ -e "$dir/." ] && [ -n "$(ls -A "$dir")" ]
done
exec chroot . /bin/sh -c 'echo ready; read -r end'
`

// copied is a copy of the machine. What is written there is gone with it.
type copied struct {
	t    *testing.T
	pid  int
	root string
}

func copyOfTheMachine(t *testing.T) *copied {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a copy of the machine; packages are tried where root runs the tests")
	}
	for _, name := range []string{"unshare", "nsenter", "chroot"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed; packages are tried on systems that have it", name)
		}
	}
	c := exec.Command("unshare", "--kill-child=KILL", "--fork", "--mount", "--pid", "--mount-proc",
		"/bin/sh", "-c", setUp, "sh", t.TempDir())
	end, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Skipf("no copy of the machine can be made here: %v", err)
	}
	t.Cleanup(func() {
		end.Close() // ends the shell, and it everything in there
		c.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		end.Close()
		c.Wait()
		t.Skipf("no copy of the machine can be made here: %s", errs.String())
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.Process.Pid))
	if err != nil {
		t.Skipf("the first process of the copy cannot be found: %v", err)
	}
	m := &copied{t: t}
	if m.pid, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
		t.Fatal(err)
	}
	m.root = fmt.Sprintf("/proc/%d/root", m.pid)
	if there, here := device(t, m.root+"/usr"), device(t, "/usr"); there == here {
		t.Fatal("the copy of the machine is the machine itself")
	}
	// Whatever a package says to systemd is written down. The service is active while there is a file that says so.
	m.put("/usr/bin/systemctl", `#!/bin/sh
echo "$*" >>/run/calls
case $1 in
is-active) [ -e /run/active ] ;;
stop) rm -f /run/active ;;
esac
`, 0o755)
	m.must("chmod", "755", "/usr/bin/systemctl")
	return m
}

// device is the file system that a folder is on.
func device(t *testing.T, name string) uint64 {
	t.Helper()
	var s syscall.Stat_t
	if err := syscall.Stat(name, &s); err != nil {
		t.Fatal(err)
	}
	return uint64(s.Dev)
}

func (m *copied) put(name, text string, mode os.FileMode) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.root+name), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.root+name, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

// bring copies a package there.
func (m *copied) bring(folder, kind string) (name string) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, "feedmux."+kind))
	if err != nil {
		m.t.Fatal(err)
	}
	m.put("/run/feedmux."+kind, string(b), 0o644)
	return "/run/feedmux." + kind
}

// run runs a command there; code is its exit code.
func (m *copied) run(args ...string) (out string, code int) {
	m.t.Helper()
	c := exec.CommandContext(m.t.Context(), "nsenter", append([]string{"-t", strconv.Itoa(m.pid), "-m", "-p", "-r", "-w"}, args...)...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}
	b, err := c.CombinedOutput()
	if c.ProcessState == nil {
		m.t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

func (m *copied) must(args ...string) (out string) {
	m.t.Helper()
	out, code := m.run(args...)
	if code != 0 {
		m.t.Fatalf("%q: exit %d\n%s", args, code, out)
	}
	return out
}

func (m *copied) exists(name string) bool {
	_, err := os.Lstat(m.root + name)
	return err == nil
}

// told takes what systemd was told since the last call.
func (m *copied) told(want ...string) {
	m.t.Helper()
	calls, err := os.ReadFile(m.root + "/run/calls")
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	if got := strings.FieldsFunc(string(calls), func(r rune) bool { return r == '\n' }); !slices.Equal(got, want) {
		m.t.Errorf("systemd was told %q, want %q", got, want)
	}
	m.put("/run/calls", "", 0o644)
}
