package systemd_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// good is a configuration with an upstream that is not there and a token that is not there yet. The address of the upstream is
// in the service's environment: a reload checks the configuration there, too.
const good = `
[nats.embedded]
listen = "127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "trial"
protocol = "twitch-pubsub"
url = "${UPSTREAM}"
topics = ["raid.1"]
[feed.auth]
file = "credential:upstream-token"
`

// TestTheServiceUnderARealSystemd takes the service through its days: started without its token, edited rightly and
// wrongly, restarted, killed, hung, stopped, and started with a configuration that is no good.
func TestTheServiceUnderARealSystemd(t *testing.T) {
	tr := startTrial(t, good)
	config := tr.root + "/run/trial/config.toml"

	// Neither its upstream nor its token are there. It is up all the same, as a user of its own.
	tr.must("start", "feedmux")
	pid := tr.serves("", false)
	if uid := tr.uidOf(pid); uid < 61184 || uid > 65519 {
		t.Errorf("it runs as user %d, which is no dynamic one", uid)
	}
	tr.eventually("the log names the secret that is missing", func() bool {
		return strings.Contains(tr.log(), "upstream-token: no such file")
	})
	var run syscall.Stat_t
	if err := syscall.Stat(tr.root+"/run/feedmux", &run); err != nil {
		t.Error(err)
	} else if run.Mode&0o777 != 0o750 || run.Gid != 1 {
		t.Errorf("its runtime directory has mode %o and group %d, want 750 and that of the drop-in, 1", run.Mode&0o777, run.Gid)
	}
	if entries, err := os.ReadDir(tr.root + "/var/lib/private/feedmux"); err != nil || len(entries) == 0 {
		t.Errorf("its state directory: %v, %v", entries, err)
	}
	tr.showsWhatTheAlertsNeed()
	tr.knowsWhoAsked()

	// A good edit is taken on, a bad one leaves it as it is and says why.
	put(t, config, good+"\n[log]\nlevel = \"debug\"\n")
	tr.must("reload", "feedmux")
	pid = tr.serves(pid, true)
	tr.eventually("the daemon answers the signal", func() bool {
		return strings.Contains(strings.ToLower(tr.log()), "reload")
	})
	put(t, config, good+"\n[log]\nlevel = \"loud\"\n")
	if out, err := tr.ctl("reload", "feedmux"); err == nil {
		t.Errorf("the reload of a bad configuration succeeded: %s", out)
	}
	pid = tr.serves(pid, true)
	if log := tr.log(); !strings.Contains(log, "config.toml:15: log.level") {
		t.Errorf("what is wrong with the configuration is not in the log:\n%s", log)
	}
	put(t, config, good)

	// A restart brings the token that is there by now.
	put(t, tr.root+"/run/credstore/upstream-token", "not-a-real-token\n")
	tr.must("restart", "feedmux")
	pid = tr.serves(pid, false)
	if token := fmt.Sprintf("%s/run/credentials/feedmux.service/upstream-token", tr.root); !exists(token) {
		t.Error("the token was not handed to it")
	}
	tr.must("reload", "feedmux")
	pid = tr.serves(pid, true)

	// Killed, it comes back.
	tr.must("kill", "--kill-who=main", "--signal=KILL", "feedmux")
	back := func(restarts string) func() bool {
		return func() bool { return tr.show("NRestarts") == restarts && tr.show("ActiveState") == "active" }
	}
	tr.eventually("it is back after SIGKILL", back("1"))
	pid = tr.serves(pid, false)

	// Hung, it is ended with a dump of its goroutines, and comes back.
	tr.must("kill", "--kill-who=main", "--signal=STOP", "feedmux")
	tr.eventually("it is back after it hung", back("2"))
	tr.serves(pid, false)
	if log := tr.log(); !strings.Contains(log, "SIGABRT") || !strings.Contains(log, "goroutine 1 ") {
		t.Errorf("the log has no goroutines:\n%s", log)
	}

	// Stopped, it ends well and soon.
	begin := time.Now()
	tr.must("stop", "feedmux")
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	for property, want := range map[string]string{"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"} {
		if got := tr.show(property); got != want {
			t.Errorf("after stop its %s is %s, want %s", property, got, want)
		}
	}

	// With a bad configuration it is not tried again.
	put(t, config, good+"\n[log]\nlevel = \"loud\"\n")
	if out, err := tr.ctl("start", "feedmux"); err == nil {
		t.Errorf("it started with a bad configuration: %s", out)
	}
	tr.eventually("it gives up", func() bool { return tr.show("SubState") == "failed" })
	if status, restarts := tr.show("ExecMainStatus"), tr.show("NRestarts"); status != "78" || restarts != "0" {
		t.Errorf("a bad configuration was exit %s and %s restarts, want 78 and 0", status, restarts)
	}
	// Once mended, a start is enough.
	put(t, config, good)
	tr.must("start", "feedmux")
	tr.serves("", false)
}

// showsWhatTheAlertsNeed looks for the metrics of its process that the alerts and the dashboard name: what the unit hides from
// the service is missing there. (That the other metrics exist is tested beside the alerts.)
func (tr *trial) showsWhatTheAlertsNeed() {
	tr.t.Helper()
	var address string
	tr.eventually("the log has the address of its metrics", func() bool {
		address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(tr.log())
		return address != ""
	})
	res, err := http.Get(address + "/metrics")
	if err != nil {
		tr.t.Fatal(err)
	}
	defer res.Body.Close()
	shown, err := io.ReadAll(res.Body)
	if err != nil {
		tr.t.Fatal(err)
	}
	needed := make(map[string]bool)
	for _, file := range []string{"../docs/dashboards/alerts.yml", "../docs/dashboards/feedmux.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			tr.t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\b(?:process|go)_[a-z_]+\b`).FindAllString(string(text), -1) {
			needed[name] = true
		}
	}
	if !needed["process_start_time_seconds"] || len(needed) < 4 {
		tr.t.Errorf("the alerts and the dashboard name %v: they are not read rightly any more", needed)
	}
	for name := range needed {
		if !strings.Contains(string(shown), "\n"+name) {
			tr.t.Errorf("%s is in the alerts or the dashboard, and the service does not show it", name)
		}
	}
}

// knowsWhoAsked makes a change as a user who is in the group of the socket and is nobody else.
func (tr *trial) knowsWhoAsked() {
	tr.t.Helper()
	const asker, member = "12345", "1"
	out, err := tr.in("-S", asker, "-G", member, "/run/trial/feedmux", "topics", "add", "trial", "raid.2",
		"--socket", "/run/feedmux/control.sock").CombinedOutput()
	if err != nil {
		tr.t.Fatalf("%v\n%s", err, out)
	}
	tr.eventually("the log says who asked", func() bool { return strings.Contains(tr.log(), "uid "+asker+",") })
}
