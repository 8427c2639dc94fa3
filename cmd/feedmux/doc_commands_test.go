package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
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

// theOne is the block of a page that is to be run, in a language of which there is one.
func theOne(t *testing.T, page, language string) string {
	t.Helper()
	for _, b := range blocks(t) {
		if b.page == page && b.language == language {
			return b.text
		}
	}
	t.Fatalf("%s has nothing in %s", page, language)
	return ""
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

// TestCommandsInThePagesDoWhatTheyShould runs what the pages mark, line by line of each page, against a daemon of its own. What
// a page calls by its usual place is where the test has it.
func TestCommandsInThePagesDoWhatTheyShould(t *testing.T) {
	if testing.Short() {
		t.Skip("the program is built first")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the commands in the pages are not run: there is no curl here")
	}
	byPage := make(map[string]string)
	for _, b := range blocks(t) {
		if b.run && b.language == "sh" {
			byPage[b.page] += b.text
		}
	}
	if len(byPage) < 2 {
		t.Fatalf("pages with commands to run: %d", len(byPage))
	}
	bin := program(t)
	for page, script := range byPage {
		t.Run(page, func(t *testing.T) {
			p := startForPages(t)
			script := strings.NewReplacer(
				"/etc/feedmux/config.toml", p.config, "/run/feedmux/control.sock", filepath.Join(p.state, "control.sock"),
				"127.0.0.1:8422", p.http, "sudo ", "",
			).Replace(script)
			sh := exec.CommandContext(t.Context(), "sh", "-ex")
			sh.Stdin = strings.NewReader(script)
			sh.Dir = t.TempDir()
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
topics = ["raid.1"]
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

// TestConsumersInThePagesRead runs the programs of docs/consuming.md until each has printed events.
func TestConsumersInThePagesRead(t *testing.T) {
	p := startForPages(t)
	const page = "docs/consuming.md"
	t.Run("Go", func(t *testing.T) {
		if testing.Short() {
			t.Skip("it is compiled first")
		}
		dir := t.TempDir()
		file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "consumer")
		writeFile(t, file, theOne(t, page, "go"))
		build := exec.CommandContext(t.Context(), "go", "build", "-o", program, file)
		build.Dir = root // its go.mod has the client
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		prints(t, p, exec.CommandContext(t.Context(), program))
	})
	t.Run("JavaScript", func(t *testing.T) {
		node, err := exec.LookPath("node")
		if err != nil {
			t.Skip("the consumer in JavaScript is not run: there is no node here")
		}
		modules := nodeModules("@nats-io/transport-node")
		if modules == "" {
			t.Skip("the consumer in JavaScript is not run: run npm ci in cmd/feedmux/testdata/node first")
		}
		dir := t.TempDir()
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "consumer.mjs")
		writeFile(t, file, theOne(t, page, "js"))
		prints(t, p, exec.CommandContext(t.Context(), node, "--preserve-symlinks", file))
	})
	t.Run("Python", func(t *testing.T) {
		python, err := exec.LookPath("python3")
		if err != nil {
			t.Skip("the consumer in Python is not compiled: there is no python3 here")
		}
		file := filepath.Join(t.TempDir(), "consumer.py")
		writeFile(t, file, theOne(t, page, "python"))
		if out, err := exec.CommandContext(t.Context(), python, "-m", "py_compile", file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if exec.CommandContext(t.Context(), python, "-c", "import nats").Run() != nil {
			t.Skip("the consumer in Python compiles, and is not run: there is no nats-py here")
		}
		run := exec.CommandContext(t.Context(), python, file)
		run.Env = append(run.Environ(), "PYTHONUNBUFFERED=1")
		prints(t, p, run)
	})
}

// prints runs a consumer until it has told of an event, of a hole and of a gap, and ends it. The first is a real one. The others
// are published as feedmux would, again and again, since nobody knows when the consumer has subscribed.
func prints(t *testing.T, p *forPages, c *exec.Cmd) {
	t.Helper()
	nc, err := nats.Connect("nats://" + p.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c.Env = append(c.Environ(), "NATS_URL=nats://"+p.nats)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	c.Stdout, c.Stderr = writer, writer
	err = c.Start()
	writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()

	wanted := map[string]bool{"feed.twitch.raid.1 {": true, "raid.9: 3 events were lost": true, "raid.9 was dark from": true}
	reader.SetReadDeadline(time.Now().Add(20 * time.Second))
	var said strings.Builder
	lines := bufio.NewScanner(reader)
	for len(wanted) > 0 && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		for text := range wanted {
			if strings.Contains(lines.Text(), text) {
				delete(wanted, text)
			}
		}
		for _, seq := range []string{"1", "5"} {
			m := nats.NewMsg("feed.twitch.raid.9")
			m.Header.Set("Feedmux-Topic", "raid.9")
			m.Header.Set("Feedmux-Seq", seq)
			nc.PublishMsg(m) // one that fails is missed below
		}
		nc.Publish("feedmux.gap.twitch.raid.9", []byte(`{"id":"twitch:1:1","feed":"twitch","topic":"raid.9","phase":"closed",`+
			`"from":"2026-11-23T15:42:34Z","to":"2026-11-23T15:42:36Z","cause":"reset","at":"upstream","filled":"none"}`))
	}
	if len(wanted) > 0 {
		t.Errorf("it did not say %v (%v), but\n%s", slices.Collect(maps.Keys(wanted)), lines.Err(), said.String())
	}
}

// nodeModules is the folder that has a package for node, "" where none has.
func nodeModules(name string) string {
	own, err := filepath.Abs(filepath.Join("testdata", "node", "node_modules"))
	if err != nil {
		return ""
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("NODE_PATH")), own) {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name), "package.json")); err == nil {
			return dir
		}
	}
	return ""
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEachAdviceLeadsToASection: what status names as a section is one.
func TestEachAdviceLeadsToASection(t *testing.T) {
	text := pages(t)["docs/troubleshooting.md"]
	there := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^##+ (.*)$`).FindAllStringSubmatch(text, -1) {
		there[anchor(m[1])] = true
	}
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
