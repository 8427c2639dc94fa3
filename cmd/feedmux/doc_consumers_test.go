package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// theOne is the block of a page in a language of which there is one.
func theOne(t *testing.T, page, language string) string {
	t.Helper()
	var found []block
	for _, b := range blocks(t) {
		if b.page == page && b.language == language {
			found = append(found, b)
		}
	}
	if len(found) != 1 || !found[0].run {
		t.Fatalf("%s has %d programs in %s, or says of it that nobody runs it", page, len(found), language)
	}
	return found[0].text
}

// TestConsumersInThePagesRead runs the programs of README until each has printed an event, and those of docs/consuming.md until
// each has told of a hole and of a gap, too. README's have the address in them.
func TestConsumersInThePagesRead(t *testing.T) {
	p := startForPages(t)
	const event = "feed.twitch.raid.1 {"
	for page, wanted := range map[string][]string{
		"README.md":         {event},
		"docs/consuming.md": {event, "raid.9: 3 events were lost", "raid.9 was dark from"},
	} {
		source := func(language string) string {
			return strings.ReplaceAll(theOne(t, page, language), "127.0.0.1:4222", p.nats)
		}
		t.Run("Go of "+page, func(t *testing.T) {
			if testing.Short() {
				t.Skip("it is compiled first")
			}
			dir := t.TempDir()
			file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "consumer")
			writeFile(t, file, source("go"))
			build := exec.CommandContext(t.Context(), "go", "build", "-o", program, file)
			build.Dir = root // its go.mod has the client
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			prints(t, p, exec.CommandContext(t.Context(), program), wanted)
		})
		t.Run("JavaScript of "+page, func(t *testing.T) {
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
			writeFile(t, file, source("js"))
			prints(t, p, exec.CommandContext(t.Context(), node, "--preserve-symlinks", file), wanted)
		})
		t.Run("Python of "+page, func(t *testing.T) {
			python, err := exec.LookPath("python3")
			if err != nil {
				t.Skip("the consumer in Python is not compiled: there is no python3 here")
			}
			file := filepath.Join(t.TempDir(), "consumer.py")
			writeFile(t, file, source("python"))
			if out, err := exec.CommandContext(t.Context(), python, "-m", "py_compile", file).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if exec.CommandContext(t.Context(), python, "-c", "import nats").Run() != nil {
				t.Skip("the consumer in Python compiles, and is not run: there is no nats-py here")
			}
			run := exec.CommandContext(t.Context(), python, file)
			run.Env = append(run.Environ(), "PYTHONUNBUFFERED=1")
			prints(t, p, run, wanted)
		})
	}
}

// prints runs a consumer until it has said all that is wanted, and ends it. Events are real ones. A hole and a gap are
// published as feedmux would, again and again, since nobody knows when the consumer has subscribed.
func prints(t *testing.T, p *forPages, c *exec.Cmd, wanted []string) {
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

	left := slices.Clone(wanted)
	reader.SetReadDeadline(time.Now().Add(20 * time.Second))
	var said strings.Builder
	lines := bufio.NewScanner(reader)
	for len(left) > 0 && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		left = slices.DeleteFunc(left, func(text string) bool { return strings.Contains(lines.Text(), text) })
		for _, seq := range []string{"1", "5"} {
			m := nats.NewMsg("feed.twitch.raid.9")
			m.Header.Set("Feedmux-Topic", "raid.9")
			m.Header.Set("Feedmux-Seq", seq)
			nc.PublishMsg(m) // one that fails is missed below
		}
		nc.Publish("feedmux.gap.twitch.raid.9", []byte(`{"id":"twitch:1:1","feed":"twitch","topic":"raid.9","phase":"closed",`+
			`"from":"2026-11-23T15:42:34Z","to":"2026-11-23T15:42:36Z","cause":"reset","at":"upstream","filled":"none"}`))
	}
	if len(left) > 0 {
		t.Errorf("it did not say %q (%v), but\n%s", left, lines.Err(), said.String())
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
