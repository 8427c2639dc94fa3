// Package packaging_test builds the packages and takes them through install, upgrade, removal and purge, on a copy of the
// machine that is thrown away.
package packaging_test

import (
	"bufio"
	"bytes"
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

// build makes the packages of a version, as folder/feedmux.deb and .rpm.
func build(t *testing.T, version string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	c := exec.Command("./build", folder)
	c.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000", "ARCH=")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, kind := range []string{"deb", "rpm"} {
		found, err := filepath.Glob(filepath.Join(folder, "*."+kind))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s files: %q, %v", kind, found, err)
		}
		if err := os.Rename(found[0], filepath.Join(folder, "feedmux."+kind)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestPackages(t *testing.T) {
	if os.Getenv("FEEDMUX_PACKAGE_TEST") == "" {
		t.Skip("packages take a while: make package-test builds and tries them")
	}
	one, two := build(t, "1.0.0"), build(t, "2.0.0-rc.1")
	t.Run("the same sources give the same bytes", func(t *testing.T) { theSameAgain(t, one) })
	t.Run("the .deb comes and goes", func(t *testing.T) { debComesAndGoes(t, one, two) })
	t.Run("the .rpm comes and goes", func(t *testing.T) { rpmComesAndGoes(t, one, two) })
}

func theSameAgain(t *testing.T, one string) {
	again := build(t, "1.0.0")
	for _, name := range []string{"feedmux.deb", "feedmux.rpm"} {
		a, err := os.ReadFile(filepath.Join(one, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(again, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two builds differ", name)
		}
	}
}

// installed is what both kinds of package put where it is looked for.
var installed = []string{
	"/usr/bin/feedmux",
	"/usr/lib/systemd/system/feedmux.service",
	"/etc/feedmux/config.toml",
	"/usr/share/man/man1/feedmux.1.gz",
	"/usr/share/man/man1/feedmux-run.1.gz",
	"/usr/share/bash-completion/completions/feedmux",
	"/usr/share/fish/vendor_completions.d/feedmux.fish",
	"/usr/share/doc/feedmux/README.md",
	"/usr/share/doc/feedmux/config.example.toml",
	"/usr/share/doc/feedmux/newer-systemd.conf",
	"/usr/share/doc/feedmux/third-party-licenses",
}

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
	// Whatever a package says to systemd is written down.
	m.put("/usr/bin/systemctl", "#!/bin/sh\necho \"$*\" >>/run/calls\n", 0o755)
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

func (m *copied) must(args ...string) {
	m.t.Helper()
	if out, code := m.run(args...); code != 0 {
		m.t.Fatalf("%q: exit %d\n%s", args, code, out)
	}
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

// isComplete looks for all that belongs to an installed package.
func (m *copied) isComplete(version string) {
	m.t.Helper()
	for _, name := range installed {
		if !m.exists(name) {
			m.t.Errorf("%s is not there", name)
		}
	}
	if out, code := m.run("feedmux", "version"); code != 0 || !strings.HasPrefix(out, "feedmux "+version+" ") {
		m.t.Errorf("feedmux version: exit %d, %s", code, out)
	}
}

// configure checks that the packaged configuration is bad only for want of a feed, and edits it.
func (m *copied) configure() {
	m.t.Helper()
	const config = "/etc/feedmux/config.toml"
	out, code := m.run("feedmux", "check")
	if code != 78 || !strings.Contains(out, "at least one [[feed]]") || !strings.Contains(out, "\n1 problem\n") {
		m.t.Errorf("feedmux check of the packaged configuration: exit %d\n%s", code, out)
	}
	text, err := os.ReadFile(m.root + config)
	if err != nil {
		m.t.Fatal(err)
	}
	before, feed, found := strings.Cut(string(text), "# [[feed]]\n")
	if !found {
		m.t.Fatal("the packaged configuration has no feed to uncomment")
	}
	m.put(config, before+"# edited\n[[feed]]\n"+strings.ReplaceAll("\n"+feed, "\n# ", "\n"), 0o644)
	m.must("feedmux", "check")
}

func (m *copied) isEdited() bool {
	text, err := os.ReadFile(m.root + "/etc/feedmux/config.toml")
	return err == nil && strings.Contains(string(text), "# edited\n")
}

func debComesAndGoes(t *testing.T, one, two string) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("dpkg is not installed; the .deb is tried on systems that have it")
	}
	m := copyOfTheMachine(t)
	dpkg := func(args ...string) { t.Helper(); m.must(append([]string{"dpkg", "--no-triggers"}, args...)...) }

	// In a chroot no systemd listens, and nobody tries to speak to it.
	m.must("rm", "-rf", "/run/systemd/system")
	dpkg("--install", m.bring(one, "deb"))
	m.isComplete("1.0.0")
	m.told()
	dpkg("--purge", "feedmux")
	m.told()

	m.must("mkdir", "-p", "/run/systemd/system")
	dpkg("--install", m.bring(one, "deb"))
	m.isComplete("1.0.0")
	m.told("daemon-reload") // it is neither enabled nor started: it has no feed
	if _, err := exec.LookPath("systemd-analyze"); err == nil {
		if out, code := m.run("systemd-analyze", "verify", "feedmux.service"); code != 0 || strings.Contains(out, "feedmux") {
			t.Errorf("systemd-analyze verify: exit %d\n%s", code, out)
		}
	}
	m.configure()
	m.put("/var/lib/private/feedmux/ledger", "state", 0o600)
	m.must("ln", "-s", "private/feedmux", "/var/lib/feedmux")
	m.must("mkdir", "-p", "/etc/systemd/system/multi-user.target.wants")
	m.must("ln", "-s", "/lib/systemd/system/feedmux.service", "/etc/systemd/system/multi-user.target.wants/feedmux.service")

	dpkg("--install", m.bring(two, "deb"))
	m.isComplete("2.0.0-rc.1")
	m.told("daemon-reload", "try-restart feedmux.service")
	if !m.isEdited() {
		t.Error("the upgrade overwrote the configuration")
	}
	dpkg("--remove", "feedmux")
	m.told("stop feedmux.service", "daemon-reload", "reset-failed feedmux.service")
	if m.exists("/usr/bin/feedmux") || !m.isEdited() || !m.exists("/var/lib/private/feedmux/ledger") {
		t.Error("removal leaves the program, or takes the configuration or the state")
	}
	dpkg("--purge", "feedmux")
	for _, name := range append([]string{
		"/etc/feedmux", "/var/lib/private/feedmux", "/var/lib/feedmux", "/usr/share/doc/feedmux",
		"/etc/systemd/system/multi-user.target.wants/feedmux.service",
	}, installed...) {
		if m.exists(name) {
			t.Errorf("purge leaves %s", name)
		}
	}
}

func rpmComesAndGoes(t *testing.T, one, two string) {
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Skip("rpm is not installed; the .rpm is tried on systems that have it")
	}
	m := copyOfTheMachine(t)
	// A database of its own: this may be a system of other packages.
	rpm := func(args ...string) {
		t.Helper()
		m.must(append([]string{"rpm", "--dbpath=/run/rpm", "--nodeps"}, args...)...)
	}
	m.must("mkdir", "-p", "/run/systemd/system")
	rpm("--install", m.bring(one, "rpm"))
	m.isComplete("1.0.0")
	m.told("daemon-reload")
	m.configure()
	rpm("--upgrade", m.bring(two, "rpm"))
	m.isComplete("2.0.0-rc.1")
	m.told("daemon-reload", "daemon-reload", "try-restart feedmux.service")
	if !m.isEdited() {
		t.Error("the upgrade overwrote the configuration")
	}
	rpm("--erase", "feedmux")
	m.told("--no-reload disable --now feedmux.service", "daemon-reload")
	if m.exists("/usr/bin/feedmux") {
		t.Error("removal leaves the program")
	}
}
