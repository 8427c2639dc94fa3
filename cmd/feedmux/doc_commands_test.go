package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/spf13/cobra"

	"feedmux/internal/console"
	"feedmux/internal/sim/twitch"
)

// block is a fenced part of a page. A page says with <!-- run --> in the line before that a test runs it.
type block struct {
	page, language, text string
	run                  bool
}

func blocks(t *testing.T) (list []block) {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^ *(<!-- run -->\n *)?```(\\w*)\n(.*?)^ *```$")
	for page, text := range pages(t) {
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			list = append(list, block{page, m[2], m[3], m[1] != ""})
		}
	}
	return list
}

// TestCommandsInThePagesAreOnesThatExist parses every call of feedmux in a page as the program would, and runs none.
func TestCommandsInThePagesAreOnesThatExist(t *testing.T) {
	tried := 0
	try := func(page, line string, mentioned bool) {
		args, called := callOf(line)
		if !called {
			return
		}
		tried++
		if c, rest, err := commands().Find(args); mentioned && err == nil && len(rest) == 0 && c.HasSubCommands() {
			return // a group of commands is spoken of
		}
		if err := parses(args); err != nil {
			t.Errorf("%s: feedmux %s: %v", page, strings.Join(args, " "), err)
		}
	}
	for _, b := range blocks(t) {
		if b.language != "sh" {
			continue
		}
		text := strings.ReplaceAll(b.text, "\\\n", " ")
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			for _, part := range regexp.MustCompile(`\s(?:\||&&|;)\s`).Split(line, -1) {
				try(b.page, part, false)
			}
		}
	}
	inline := regexp.MustCompile("`((?:sudo )?(?:bin/)?feedmux [a-z][^`\n]*)`")
	for page, text := range pages(t) {
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			for part := range strings.SplitSeq(m[1], " && ") {
				try(page, part, true)
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d calls were found", tried)
	}
}

// callOf gives the arguments of a line that calls feedmux.
func callOf(line string) (args []string, called bool) {
	line, _, _ = strings.Cut(strings.TrimSpace(line), " > ")
	line, _, _ = strings.Cut(line, " < ")
	line = strings.TrimPrefix(line, "sudo ")
	words := strings.Fields(line)
	switch {
	case len(words) > 0 && (words[0] == "feedmux" || words[0] == "bin/feedmux"):
		words = words[1:]
	case len(words) > 2 && strings.HasPrefix(line, "go run ./cmd/feedmux "):
		words = words[3:]
	default:
		return nil, false
	}
	for i, w := range words {
		words[i] = strings.Trim(w, `'"`)
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "&" || w == "…" }), true
}

// commands are all, those among them that cobra adds only when it runs one.
func commands() *cobra.Command {
	c := rootCommand()
	c.InitDefaultHelpCmd()
	c.InitDefaultCompletionCmd("completion")
	return c
}

// parses says what is wrong with a call. [FEED [TOPIC]] in a page means that the argument may be left out.
func parses(args []string) error {
	for i, a := range args {
		args[i] = strings.Trim(a, "[]…")
	}
	c, rest, err := commands().Find(args)
	if err != nil {
		return err
	}
	if slices.Contains(rest, "--help") {
		return nil
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if !c.Runnable() {
		return fmt.Errorf("%s does nothing by itself", c.CommandPath())
	}
	if err := c.ValidateRequiredFlags(); err != nil {
		return err
	}
	return c.ValidateArgs(c.Flags().Args())
}

// notRun says of lines of commands that no test runs them, and why.
var notRun = map[string]*regexp.Regexp{
	"it builds or tests for minutes, and make check is what runs this test": regexp.MustCompile(`^(FEEDMUX_\w+=\S+ )?(make|go (run|test)) `),
	"it changes the machine; packages and the service have tests of their own": regexp.MustCompile(
		`^(sudo (apt|dnf|groupadd|install|systemctl|systemd-run|usermod)|sudoedit) `),
	"the nats command is none of the tools that go.mod has": regexp.MustCompile(`^nats sub `),
}

// TestWhatIsNotRunHasAReason: a block of commands is marked to be run, or has a line that cannot be.
func TestWhatIsNotRunHasAReason(t *testing.T) {
	used := make(map[string]bool)
	for _, b := range blocks(t) {
		if b.run || b.language != "sh" {
			continue
		}
		excused := false
		for line := range strings.Lines(b.text) {
			for why, pattern := range notRun {
				if pattern.MatchString(strings.TrimSpace(line)) {
					excused, used[why] = true, true
				}
			}
		}
		if !excused {
			t.Errorf("%s: nothing keeps a test from running this, and it is not marked:\n%s", b.page, b.text)
		}
	}
	for why := range notRun {
		if !used[why] {
			t.Errorf("no block is left out because %s", why)
		}
	}
}

// ofAnUpstream are the lines that TestWhatPagesSayToTryWorks runs.
var ofAnUpstream = regexp.MustCompile(`(?m)^ *feedmux (sim|run) `)

// journalctl stands in for the one of a machine with the service: beside the lines of the daemon, systemd has its own.
const journalctl = `#!/bin/sh
echo 'Starting feedmux.service - feedmux: WebSocket topics on NATS...'
echo '{"time":"2026-11-24T03:28:57.753Z","level":"INFO","msg":"starting"}'
`

// TestCommandsInThePagesDoWhatTheyShould runs what the pages mark, line by line of each page, against a daemon of its own. What
// a page calls by its usual place is where the test has it, and its configuration is there as config.toml.
func TestCommandsInThePagesDoWhatTheyShould(t *testing.T) {
	if testing.Short() {
		t.Skip("the program is built first")
	}
	byPage, configs := make(map[string]string), make(map[string]string)
	for _, b := range blocks(t) {
		switch {
		case b.language == "toml" && strings.Contains(b.text, "[[feed]]"):
			configs[b.page] = b.text
		case b.run && b.language == "sh" && !ofAnUpstream.MatchString(b.text):
			if tool := missing(b.text, "curl", "jq", "man"); tool != "" {
				t.Logf("%s: not run, since there is no %s here:\n%s", b.page, tool, b.text)
			} else {
				byPage[b.page] += b.text
			}
		}
	}
	if len(byPage) < 5 {
		t.Fatalf("pages with commands to run: %d", len(byPage))
	}
	bin := program(t)
	writeFile(t, filepath.Join(bin, "journalctl"), journalctl)
	if err := os.Chmod(filepath.Join(bin, "journalctl"), 0o700); err != nil {
		t.Fatal(err)
	}
	for page, script := range byPage {
		t.Run(page, func(t *testing.T) {
			p := startForPages(t)
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "config.toml"), configs[page])
			writeFile(t, filepath.Join(dir, "topics.txt"), "raid.1\n")
			writeFile(t, filepath.Join(dir, "environment"), "NAME=value\n")
			script := strings.NewReplacer(
				"/etc/feedmux/config.toml", p.config, "/etc/feedmux/environment", filepath.Join(dir, "environment"),
				"/run/feedmux/control.sock", filepath.Join(p.state, "control.sock"),
				"127.0.0.1:8422", p.http, "/usr/share/bash-completion/completions", dir, "sudo ", "",
			).Replace(script)
			sh := exec.CommandContext(t.Context(), "sh", "-ex")
			sh.Stdin = strings.NewReader(script)
			sh.Dir = dir
			sh.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "STATE_DIRECTORY="+p.state)
			out, err := sh.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s\nlog:\n%s", err, out, p.child.stderr())
			}
			if !strings.Contains(string(out), "twitch") {
				t.Errorf("nothing was said:\n%s", out)
			}
		})
	}
}

// missing is the first of these tools that a script calls and that is not here, or "".
func missing(script string, tools ...string) string {
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil && regexp.MustCompile(`\b`+tool+` `).MatchString(script) {
			return tool
		}
	}
	return ""
}

// program builds feedmux, and returns the folder that it is in. (The children that this test binary makes of itself end with their
// standard input, and commands in pages read theirs.)
func program(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", folder, "./cmd/feedmux")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return folder
}

// forPages is a daemon that has what the pages speak of.
type forPages struct {
	child                     *child
	config, state, http, nats string
}

func startForPages(t *testing.T) *forPages {
	t.Helper()
	var o twitch.PubSubOptions
	o.Seed, o.Rate = 1, 200
	_, address := upstream(t, o)
	p := &forPages{nats: quietNATS(t, server.Options{})}
	text := fmt.Sprintf(`
[nats]
url = "nats://%s"
headers = "full"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "twitch"
protocol = "twitch-pubsub"
url = "ws://%s"
topics = ["raid.1", "raid.1234", "video-playback-by-id.1234"]
dial.rate = "10/1s"
`, p.nats, address)
	p.config = write(t, text)
	var err error
	if p.state, err = os.MkdirTemp("", "fm"); err != nil { // the path of a socket must be short
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(p.state) })
	p.child = spawn(t, "feedmux", []string{"STATE_DIRECTORY=" + p.state, "RUNTIME_DIRECTORY=", "FEEDMUX_SOCKET="},
		[]string{"run", "--config", p.config})

	address = `url=http://(127\.0\.0\.1:\d+)`
	eventually(t, "a live slot", func() bool {
		log := p.child.stderr()
		if m := regexp.MustCompile(address).FindStringSubmatch(log); m != nil {
			p.http = m[1]
		}
		return p.http != "" && strings.Contains(log, "slot is live")
	})

	return p
}

// TestEachAdviceLeadsToASection: what status names as a section is one.
func TestEachAdviceLeadsToASection(t *testing.T) {
	there := anchors(pages(t)["docs/troubleshooting.md"])
	sections := console.Sections()
	for _, s := range sections {
		if !there[anchor(s)] {
			t.Errorf("there is no section %q", s)
		}
	}
	if len(sections) < 10 {
		t.Errorf("only %d sections are named", len(sections))
	}
}
