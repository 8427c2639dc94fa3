package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// background is a process that others talk to.
type background struct {
	cmd   *exec.Cmd
	stdin io.Closer
	says  string // its first line
}

// start runs a process and waits for its first line.
func start(ctx context.Context, name string, args ...string) (*background, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b := &background{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.end()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	b.says = strings.TrimSpace(line)
	return b, nil
}

func (b *background) end() {
	b.stdin.Close()
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.cmd.Wait()
}

// scene is a simulated upstream and a NATS server.
type scene struct {
	upstream, nats       *background
	upstreamURL, natsURL string
}

// set starts the scene. simArgs are a protocol and the simulator's flags.
func set(ctx context.Context, binary string, simArgs ...string) (*scene, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &scene{}
	if s.nats, err = start(ctx, self, "nats"); err != nil {
		return nil, err
	}
	s.natsURL = s.nats.says
	args := append([]string{"sim", simArgs[0], "--listen", "127.0.0.1:0"}, simArgs[1:]...)
	if s.upstream, err = start(ctx, binary, args...); err != nil {
		s.nats.end()
		return nil, err
	}
	for _, word := range strings.Fields(s.upstream.says) {
		if strings.HasPrefix(word, "ws://") {
			s.upstreamURL = word
		}
	}
	return s, nil
}

func (s *scene) end() {
	s.upstream.end()
	s.nats.end()
}

// measured is what one process cost.
type measured struct {
	events int
	cpu    time.Duration
	wall   time.Duration
}

func (m measured) perEvent() time.Duration {
	if m.events == 0 {
		return 0
	}
	return m.cpu / time.Duration(m.events)
}

// cpuOf is the processor time of a process that has ended.
func cpuOf(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// runRival runs the floor or the usual program.
func (s *scene) runRival(ctx context.Context, name string, d time.Duration) (measured, error) {
	self, err := os.Executable()
	if err != nil {
		return measured{}, err
	}
	cmd := exec.CommandContext(ctx, self, name, s.upstreamURL, s.natsURL, d.String())
	cmd.Stderr = os.Stderr
	begin := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return measured{}, fmt.Errorf("%s: %w", name, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	return measured{n, cpuOf(cmd), time.Since(begin)}, err
}

// daemon is the real one, running.
type daemon struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	http string
	dir  string
}

// startDaemon runs the daemon with the scene's upstream and NATS.
func (s *scene) startDaemon(ctx context.Context, binary, buffer string) (*daemon, error) {
	return s.startFeed(ctx, binary, buffer, `
name = "twitch"
protocol = "twitch-pubsub"
topics = ["`+strings.Join(topics(), `","`)+`"]
[feed.limits]
subscribe_rate = "100/1s"
[feed.dial]
rate = "100/1s"
in_flight = 10
`)
}

// startFeed runs it with one feed, of which the lines say the rest.
func (s *scene) startFeed(ctx context.Context, binary, buffer, lines string) (*daemon, error) {
	dir, err := os.MkdirTemp("", "feedmux-bench-")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir}
	path := filepath.Join(dir, "config.toml")
	d.http = freeAddress()
	text := fmt.Sprintf(`
[nats]
url = %q
buffer = %q
[http]
listen = %q
[log]
level = "info"
format = "json"
[[feed]]
url = %q
`, s.natsURL, buffer, d.http, s.upstreamURL) + lines
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	d.cmd = exec.CommandContext(ctx, binary, "run", "--config", path)
	d.cmd.Stderr = &d.log
	d.cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+dir, tokenVariable+"=any")
	return d, d.cmd.Start()
}

// tokenVariable is where the daemon finds a secret, if its feed wants one.
const tokenVariable = "FEEDMUX_BENCH_TOKEN"

// end ends the daemon in its good manner and reads its last words.
func (d *daemon) end() (published, dropped int, err error) {
	defer os.RemoveAll(d.dir)
	d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		return 0, 0, fmt.Errorf("the daemon: %w\n%s", err, d.log.Bytes())
	}
	for line := range bytes.Lines(d.log.Bytes()) {
		var last struct {
			Msg                string
			Published, Dropped int
		}
		if json.Unmarshal(line, &last) == nil && last.Msg == "ended" {
			return last.Published, last.Dropped, nil
		}
	}
	return 0, 0, fmt.Errorf("the daemon did not say how it ended\n%s", d.log.Bytes())
}

// ready waits until the daemon says that it is ready.
func (d *daemon) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if r, err := http.Get("http://" + d.http + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the daemon was not ready in time\n%s", d.log.Bytes())
}
