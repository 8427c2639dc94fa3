// Package packaging_test builds the packages and takes them through install, upgrade, removal and purge, on a copy of the
// machine that is thrown away.
package packaging_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// build makes the packages of a version, as folder/feedmux.deb and .rpm. The variables are more for the environment.
func build(t *testing.T, version string, variables ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	c := exec.Command("./build", folder)
	c.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000", "ARCH=", "CONFIG=")
	c.Env = append(c.Env, variables...)
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
	// The second version comes with another configuration: what an upgrade does with one that was edited shows only then.
	config, err := os.ReadFile("config.toml")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(other, append(config, "# of the second version\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	one, two := build(t, "1.0.0"), build(t, "2.0.0-rc.1", "CONFIG="+other)
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
	"/usr/share/doc/feedmux/docs/troubleshooting.md", // which the manual page and status name
	"/usr/share/doc/feedmux/newer-systemd.conf",
	"/usr/share/doc/feedmux/third-party-licenses",
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

// ours are the files and folders in there that have our name.
func (m *copied) ours() string {
	m.t.Helper()
	return m.must("find", "/usr", "/etc", "-name", "*feedmux*")
}

// linksLeadSomewhere follows the links between the pages that are installed.
func (m *copied) linksLeadSomewhere() {
	m.t.Helper()
	link := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	followed := 0
	for page := range strings.Lines(m.must("find", "/usr/share/doc/feedmux", "-name", "*.md")) {
		page = strings.TrimSpace(page)
		text, err := os.ReadFile(m.root + page)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, to := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(to[1], "://") {
				continue
			}
			followed++
			if !m.exists(filepath.Join(filepath.Dir(page), to[1])) {
				m.t.Errorf("%s leads to %s, which is not installed", page, to[1])
			}
		}
	}
	if followed < 50 {
		m.t.Errorf("only %d links were found", followed)
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
	dpkg := func(args ...string) (out string) {
		t.Helper()
		return m.must(append([]string{"dpkg", "--no-triggers", "--force-confold"}, args...)...)
	}
	before := m.ours()

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
	m.linksLeadSomewhere()
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

	m.put("/run/active", "", 0o644)

	dpkg("--install", m.bring(two, "deb"))
	m.isComplete("2.0.0-rc.1")
	asked := []string{"is-enabled --quiet feedmux.service", "is-active --quiet feedmux.service"}
	m.told(append([]string{"daemon-reload", "try-restart feedmux.service"}, asked...)...)
	if !m.isEdited() || !m.exists("/etc/feedmux/config.toml.dpkg-dist") {
		t.Error("the upgrade overwrote the configuration, or does not bring its own")
	}
	dpkg("--remove", "feedmux")
	m.told("stop feedmux.service", "daemon-reload", "reset-failed feedmux.service")
	if m.exists("/usr/bin/feedmux") || !m.isEdited() || !m.exists("/var/lib/private/feedmux/ledger") {
		t.Error("removal leaves the program, or takes the configuration or the state")
	}

	// Removed, it was stopped. It is enabled still, and whoever installs it again is told that it does not run.
	out := dpkg("--install", m.bring(two, "deb"))
	m.told(append([]string{"daemon-reload", "try-restart feedmux.service"}, asked...)...)
	if !strings.Contains(out, "systemctl start feedmux\n") {
		t.Errorf("installed again, it does not say that it does not run:\n%s", out)
	}
	dpkg("--purge", "feedmux")
	if after := m.ours(); after != before || m.exists("/var/lib/private/feedmux") || m.exists("/var/lib/feedmux") {
		t.Errorf("purge leaves its state, or of\n%s", after)
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
	before := m.ours()
	m.must("mkdir", "-p", "/run/systemd/system")
	rpm("--install", m.bring(one, "rpm"))
	m.isComplete("1.0.0")
	m.told("daemon-reload")
	m.linksLeadSomewhere()
	m.configure()
	rpm("--upgrade", m.bring(two, "rpm"))
	m.isComplete("2.0.0-rc.1")
	m.told("daemon-reload", "daemon-reload", "try-restart feedmux.service")
	if !m.isEdited() || !m.exists("/etc/feedmux/config.toml.rpmnew") {
		t.Error("the upgrade overwrote the configuration, or does not bring its own")
	}
	rpm("--erase", "feedmux")
	m.told("--no-reload disable --now feedmux.service", "daemon-reload")
	if !m.exists("/etc/feedmux/config.toml.rpmsave") {
		t.Error("removal takes the configuration that was edited")
	}
	m.must("rm", "-r", "/etc/feedmux")
	if after := m.ours(); after != before {
		t.Errorf("removal leaves, of\n%s", after)
	}
}
