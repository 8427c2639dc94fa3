package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestWhatPagesSayToTryWorks: pages that have a simulator, a configuration and a subscription lead to events. Ports are others than
// the usual ones, which may be taken; a client of our own subscribes to what the page says to the nats command.
func TestWhatPagesSayToTryWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("the program is built first")
	}
	simulator := regexp.MustCompile(`(?m)^ *(feedmux sim ([\w-]+)[^#\n]*)`)
	subscription := regexp.MustCompile(`(?m)^ *nats sub .*'(.*)'`)
	byPage, configs := make(map[string]string), make(map[string]string)
	for _, b := range blocks(t) {
		switch {
		case b.language == "toml" && strings.Contains(b.text, "[[feed]]"):
			configs[b.page] = b.text
		case b.language == "sh":
			byPage[b.page] += b.text
		}
	}
	bin, tried := program(t), 0
	for page, commands := range byPage {
		sim, subject := simulator.FindStringSubmatch(commands), subscription.FindStringSubmatch(commands)
		if sim == nil {
			continue
		}
		tried++
		t.Run(page, func(t *testing.T) {
			if subject == nil || configs[page] == "" {
				t.Fatal("the page has no configuration or nothing to subscribe to")
			}
			dir := t.TempDir()
			for line := range strings.Lines(commands) { // what the configuration names
				if strings.HasPrefix(line, "echo ") {
					make := exec.CommandContext(t.Context(), "sh", "-c", line)
					make.Dir = dir
					if out, err := make.CombinedOutput(); err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
				}
			}
			state, err := os.MkdirTemp("", "fm") // the path of a socket must be short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(state) })
			url := speak(t, bin, dir, state, sim[1]+" --listen 127.0.0.1:0").hears(`(ws://\S+)`)
			writeFile(t, filepath.Join(dir, "config.toml"), elsewhere(t, configs[page], sim[2], url))
			address := speak(t, bin, dir, state, "feedmux run --config config.toml").hears(`"embedded NATS" listen=(\S+)`)

			nc, err := nats.Connect("nats://" + address)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			sub, err := nc.SubscribeSync(subject[1])
			if err != nil {
				t.Fatal(err)
			}
			if m, err := sub.NextMsg(20 * time.Second); err != nil || len(m.Data) == 0 {
				t.Errorf("no event on %s: %v", subject[1], err)
			}
		})
	}
	if tried != 4 {
		t.Errorf("%d pages have a simulator", tried)
	}
}

// elsewhere is a configuration with other ports. That of the upstream must be the one that the simulator has by itself.
func elsewhere(t *testing.T, text, protocol, url string) string {
	t.Helper()
	own := regexp.MustCompile(`default "(127\.0\.0\.1:\d+)"`).FindStringSubmatch(said(t, "sim", protocol, "--help"))
	if own == nil {
		t.Fatalf("the help of sim %s does not say where it listens", protocol)
	}
	host := regexp.MustCompile(`ws://([\d.:]+)`)
	if at := host.FindStringSubmatch(text); at == nil { // the page says it in words
		text = strings.Replace(text, "[[feed]]\n", "[[feed]]\nurl = \"ws://"+own[1]+"\"\n", 1)
	} else if at[1] != own[1] {
		t.Errorf("the page's upstream is at %s, and the simulator at %s", at[1], own[1])
	}
	text = strings.Replace(text, host.FindString(text), host.FindString(url), 1)
	quiet := regexp.MustCompile(`(url *= "embedded")`).ReplaceAllString(text, "$1\nembedded.listen = \"127.0.0.1:0\"")
	return quiet + "\n[http]\nlisten = \"127.0.0.1:0\"\n"
}

// speaker is a command that goes on until the test ends, and what it has said.
type speaker struct {
	t       *testing.T
	command string
	mu      sync.Mutex
	said    strings.Builder
}

func speak(t *testing.T, bin, dir, state, command string) *speaker {
	t.Helper()
	s := &speaker{t: t, command: command}
	c := exec.Command("sh", "-c", "exec "+command)
	c.Dir, c.Stdout, c.Stderr = dir, s, s
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "STATE_DIRECTORY="+state, "RUNTIME_DIRECTORY=", "JOURNAL_STREAM=")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM) // an error is seen below
		if err := c.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, s.text())
		}
	})
	return s
}

func (s *speaker) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(b)
}

func (s *speaker) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// hears waits for what a pattern matches first, and returns its group.
func (s *speaker) hears(pattern string) (found string) {
	s.t.Helper()
	eventually(s.t, pattern+" from "+s.command, func() bool {
		m := regexp.MustCompile(pattern).FindStringSubmatch(s.text())
		if m != nil {
			found = m[1]
		}
		return m != nil
	})
	return found
}
