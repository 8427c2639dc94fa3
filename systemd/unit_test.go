// Package systemd_test holds the unit file to what the daemon and its operators rely on.
package systemd_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const unit, newer = "feedmux.service", "newer-systemd.conf"

// read returns what each key of a file is set to, in order; a key is written as Section.Key.
func read(t *testing.T, file string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string][]string)
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			key, value, found := strings.Cut(line, "=")
			if !found {
				t.Fatalf("neither a key, a section nor a comment: %s", line)
			}
			keys[section+"."+key] = append(keys[section+"."+key], value)
		}
	}
	return keys
}

func TestTheUnitHoldsWhatTheDaemonReliesOn(t *testing.T) {
	keys := read(t, unit)
	for key, want := range map[string]string{
		"Service.Type":         "notify", // READY=1 says when it runs
		"Service.NotifyAccess": "main",
		"Service.ExecStart":    "/usr/bin/feedmux run --config /etc/feedmux/config.toml",

		"Service.Restart":                  "on-failure",
		"Service.RestartPreventExitStatus": "78", // bad configuration
		"Service.WatchdogSignal":           "SIGABRT",
		"Service.KillSignal":               "SIGTERM", // drains

		"Service.DynamicUser":          "yes",
		"Service.StateDirectory":       "feedmux", // $STATE_DIRECTORY
		"Service.RuntimeDirectory":     "feedmux", // $RUNTIME_DIRECTORY: the control socket
		"Service.RuntimeDirectoryMode": "0750",    // a group may be let in
		"Service.UMask":                "0077",

		"Service.CapabilityBoundingSet":   "",
		"Service.NoNewPrivileges":         "yes",
		"Service.ProtectSystem":           "strict",
		"Service.RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
		"Service.SystemCallErrorNumber":   "EPERM", // Go asks for more open files when it starts

		"Install.WantedBy": "multi-user.target",
	} {
		if got := keys[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q once", key, got, want)
		}
	}
	for _, key := range []string{"WatchdogSec", "TimeoutStartSec", "TimeoutStopSec", "RestartSec", "MemoryMax", "TasksMax"} {
		if len(keys["Service."+key]) != 1 {
			t.Errorf("%s is not set once", key)
		}
	}
	if got, want := keys["Service.ExecReload"], []string{
		"/usr/bin/feedmux check --quiet --config /etc/feedmux/config.toml", // a bad configuration ends here
		"/bin/kill -HUP $MAINPID",
	}; !slices.Equal(got, want) {
		t.Errorf("Service.ExecReload is %q, want %q", got, want)
	}
	for key, why := range map[string]string{
		"ExecStartPre":   "its exit status cannot prevent a restart",
		"LoadCredential": "the service would not start where the file is missing",
		"User":           "DynamicUser= makes one",
		"ProcSubset":     "it hides when the machine started, which process_start_time_seconds needs",
		"PrivateUsers":   "it hides who asks at the control socket",
	} {
		if keys["Service."+key] != nil {
			t.Errorf("%s is set: %s", key, why)
		}
	}
}

func TestSystemdUnderstandsTheUnitAndFindsItSafe(t *testing.T) {
	file, verify := standIn(t)
	if out, err := verify(); err != nil || strings.Contains(out, unit) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// The exposure level is 1.2 of 10 with systemd 252; more is too much.
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=12", "--no-pager", file).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestTheDropInForNewerSystemdsIsOne: each of its keys came with systemd 254, and a systemd that is as new takes them.
func TestTheDropInForNewerSystemdsIsOne(t *testing.T) {
	known := []string{"Service.ImportCredential", "Service.RestartMaxDelaySec", "Service.RestartSteps"}
	keys := read(t, newer)
	if got := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, known) {
		t.Errorf("it sets %q, want %q", got, known)
	}
	file, verify := standIn(t)
	text, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file+".d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(file+".d", newer), text, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := verify()
	if err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	complaints := 0
	for line := range strings.Lines(out) {
		if strings.Contains(line, newer) {
			complaints++
			if systemdVersion(t) >= 254 || !strings.Contains(line, "Unknown key") {
				t.Errorf("systemd-analyze verify: %s", line)
			}
		}
	}
	if systemdVersion(t) < 254 && complaints != len(known) {
		t.Errorf("an older systemd has %d complaints, so it did not read the file:\n%s", complaints, out)
	}
}

// standIn writes the unit into a folder of its own, for systemd-analyze to look at. It insists on a binary that exists, so
// this test's own stands in for ours. Keys that it does not know are warnings to it. To us they are errors: each is a
// promise that is not kept.
func standIn(t *testing.T) (file string, verify func() (out string, err error)) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed; the unit is checked on systems that have it")
	}
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), unit)
	changed := strings.ReplaceAll(string(text), "=/usr/bin/feedmux ", "="+self+" ")
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, func() (string, error) {
		out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
		return string(out), err
	}
}

// systemdVersion is that of this machine, such as 252.
func systemdVersion(t *testing.T) (version int) {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(out), "systemd %d ", &version); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return version
}
