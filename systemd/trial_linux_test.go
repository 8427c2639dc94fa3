package systemd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// boot makes a process the first one of a system of its own, with its own processes, mounts, names and control groups,
// and a systemd that knows the units of the trial and no others. Whatever it writes is on file systems that end with it:
// all that it shares with the machine is the network, which the trial uses on loopback alone, with ports that the kernel
// chooses. The arguments are the folder with what the trial needs, and systemd.
const boot = `set -eu
mount --make-rprivate /
mount --bind "$1" /mnt
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/systemd/system /run/credstore /run/trial
cp -R /mnt/. /run/trial/
umount /mnt
for dir in /tmp /var/tmp /var/lib /var/log; do
	mount -t tmpfs -o mode=1777 tmpfs "$dir"
done
chmod 755 /var/lib /var/log
umount -l /sys/fs/cgroup
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --make-rshared /
export container=trial SYSTEMD_UNIT_PATH=/run/trial/units SYSTEMD_LOG_TARGET=null
exec "$2" --system --unit=trial.target --show-status=no
`

// trial is a systemd of our own.
type trial struct {
	t    *testing.T
	pid  int    // of systemd, as the machine sees it
	root string // its file system
}

// startTrial starts a systemd that has the unit, with the binary and the configuration in places of the trial's own.
// The test is skipped where that is not to be had.
func startTrial(t *testing.T, config string) *trial {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start a systemd; the service is tried where root runs the tests")
	}
	found := map[string]string{}
	for _, name := range []string{"unshare", "nsenter", "systemctl", "go"} {
		where, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed; the service is tried on systems that have it", name)
		}
		found[name] = where
	}
	for _, where := range []string{"/lib/systemd/systemd", "/usr/lib/systemd/systemd"} {
		if _, err := os.Stat(where); err == nil {
			found["systemd"] = where
		}
	}
	if found["systemd"] == "" {
		t.Skip("systemd is not installed; the service is tried on systems that have it")
	}
	group, err := makeControlGroup(t)
	if err != nil {
		t.Skipf("no control group can be made here, which a systemd needs: %v", err)
	}

	dir := t.TempDir()
	build := exec.Command(found["go"], "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "feedmux"), "feedmux/cmd/feedmux")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	shipped, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(
		"=/usr/bin/feedmux ", "=/run/trial/feedmux ", "--config /etc/feedmux/", "--config /run/trial/",
	).Replace(string(shipped))
	if strings.Count(text, "/run/trial/") != 4 {
		t.Fatal("the unit does not name its binary and configuration as it did; mend this test")
	}
	for name, text := range map[string]string{
		"units/feedmux.service":              text,
		"units/feedmux.service.d/trial.conf": dropIn,
		"units/trial.target":                 "[Unit]\nDefaultDependencies=no\n",
		"config.toml":                        config,
		"environment":                        "UPSTREAM=ws://127.0.0.1:1\n",
	} {
		put(t, filepath.Join(dir, name), text)
	}

	// The shell joins the control group, so that it is the root of the new system's.
	c := exec.Command("/bin/sh", "-c", `echo $$ >"$1/cgroup.procs" || exit; shift; exec "$@"`, "sh", group,
		found["unshare"], "--kill-child=KILL", "--fork", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--mount-proc",
		"/bin/sh", "-c", boot, "boot", dir, found["systemd"])
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // whatever becomes of the test
	var words strings.Builder
	c.Stdout, c.Stderr = &words, &words
	if err := c.Start(); err != nil {
		t.Skipf("no systemd can be started here: %v", err)
	}
	ended := make(chan struct{})
	go func() { // ends with the process
		defer close(ended)
		c.Wait()
	}()
	t.Cleanup(func() {
		c.Process.Kill() // and with it, everything in there
		<-ended
	})

	tr := &trial{t: t}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		select {
		case <-ended:
			t.Skipf("no systemd can be started here: %s", words.String())
		default:
		}
		if tr.pid = childOf(c.Process.Pid); tr.pid != 0 {
			if state, _ := tr.ctl("is-system-running"); state == "running" || state == "degraded" {
				tr.root = fmt.Sprintf("/proc/%d/root", tr.pid)
				return tr
			}
		}
		if time.Now().After(deadline) {
			t.Skip("a systemd was started, but it does not get going here")
		}
	}
}

// dropIn makes the service quicker to try, and lets a group in.
const dropIn = `[Unit]
DefaultDependencies=no
[Service]
WatchdogSec=2s
RestartSec=200ms
StandardOutput=append:/run/trial/log
LoadCredential=upstream-token
EnvironmentFile=/run/trial/environment
Group=daemon
`

// makeControlGroup makes a control group, which ends with the test.
func makeControlGroup(t *testing.T) (dir string, err error) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if before, after, _ := strings.Cut(line, " - "); strings.HasPrefix(after, "cgroup2 ") {
			dir = strings.Fields(before)[4]
		}
	}
	if dir == "" {
		return "", fmt.Errorf("no cgroup2 is mounted")
	}
	if dir, err = os.MkdirTemp(dir, "feedmux-trial-"); err != nil {
		return "", err
	}
	t.Cleanup(func() {
		// Its processes were killed; the kernel may take a moment to bury them.
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			err := removeControlGroup(dir)
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("a control group is left: %v", err)
				return
			}
		}
	})
	return dir, nil
}

func removeControlGroup(dir string) error {
	below, err := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, file := range below {
		if err := removeControlGroup(filepath.Dir(file)); err != nil {
			return err
		}
	}
	return syscall.Rmdir(dir)
}

// childOf is the process that another one started, 0 if it has none.
func childOf(pid int) int {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(children), " ")
	child, _ := strconv.Atoi(first)
	return child
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// in is a command in there; options of nsenter may come first.
func (tr *trial) in(args ...string) *exec.Cmd {
	return exec.CommandContext(tr.t.Context(), "nsenter",
		append([]string{"-t", strconv.Itoa(tr.pid), "-p", "-m", "-i", "-u", "-C"}, args...)...)
}

// ctl is systemctl in there.
func (tr *trial) ctl(args ...string) (out string, err error) {
	b, err := tr.in(append([]string{"systemctl", "--no-pager"}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(b)), err
}

func (tr *trial) must(args ...string) {
	tr.t.Helper()
	if out, err := tr.ctl(args...); err != nil {
		tr.t.Fatalf("systemctl %s: %v\n%s\n%s", strings.Join(args, " "), err, out, tr.log())
	}
}

// show is a property of the service.
func (tr *trial) show(property string) string {
	tr.t.Helper()
	out, err := tr.ctl("show", "--value", "--property="+property, "feedmux")
	if err != nil {
		tr.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

func (tr *trial) log() string {
	log, err := os.ReadFile(tr.root + "/run/trial/log")
	if err != nil {
		return err.Error()
	}
	return string(log)
}

func (tr *trial) eventually(what string, holds func() bool) {
	tr.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			status, _ := tr.ctl("status", "feedmux")
			tr.t.Fatalf("waited in vain: %s\n%s\nlog:\n%s", what, status, tr.log())
		}
	}
}

// serves is what must hold between the steps: the service is up, as another process than before or as the same.
func (tr *trial) serves(before string, same bool) (pid string) {
	tr.t.Helper()
	pid = tr.show("MainPID")
	if state := tr.show("ActiveState"); state != "active" || pid == "0" || (pid == before) != same {
		tr.t.Fatalf("it is %s as process %s, before %s\nlog:\n%s", state, pid, before, tr.log())
	}
	return pid
}

// uidOf is the user of a process in there.
func (tr *trial) uidOf(pid string) int {
	tr.t.Helper()
	var s syscall.Stat_t
	if err := syscall.Stat(tr.root+"/proc/"+pid, &s); err != nil {
		tr.t.Fatal(err)
	}
	return int(s.Uid)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
