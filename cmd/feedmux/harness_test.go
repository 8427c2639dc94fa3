package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"feedmux/internal/config"
	"feedmux/internal/daemon"
	"feedmux/internal/sim/twitch"
)

// slack is what a clock read in another goroutine, or another process, of a busy machine may be off.
const slack = 300 * time.Millisecond

// roleVariable makes this test binary, when it starts itself, something that can be killed.
const roleVariable = "FEEDMUX_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "feedmux":
		go endWithParent()
		main()
	case "nats":
		go endWithParent()
		beNATS()
	}
}

// endWithParent ends a child whose parent is gone: its standard input is a pipe from there.
func endWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(3)
}

// child is another process of this test binary.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when the process has ended and its output was read
	state *os.ProcessState

	mu  sync.Mutex
	log strings.Builder // standard error
}

// spawn starts a child, which ends with the test at the latest.
func spawn(t *testing.T, role string, env, args []string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(self, args...), ended: make(chan struct{})}
	c.cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	errs, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(c.ended)
		lines := bufio.NewReader(errs)
		for {
			line, err := lines.ReadString('\n')
			c.mu.Lock()
			c.log.WriteString(line)
			c.mu.Unlock()
			if err != nil {
				break
			}
		}
		c.cmd.Wait()
		c.state = c.cmd.ProcessState
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatalf("signal %v: %v", s, err)
	}
}

// kill is SIGKILL, and waits for the process's end.
func (c *child) kill() {
	c.t.Helper()
	c.signal(syscall.SIGKILL)
	<-c.ended
}

// stop is SIGTERM, after which the process must end well.
func (c *child) stop() {
	c.t.Helper()
	c.signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(20 * time.Second):
		c.t.Fatalf("no end after SIGTERM; its log:\n%s", c.stderr())
	}
	if code := c.state.ExitCode(); code != 0 {
		c.t.Errorf("exit %d after SIGTERM; its log:\n%s", code, c.stderr())
	}
}

func (c *child) stderr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// spawnFeedmux runs "feedmux run" as a process of its own.
func spawnFeedmux(t *testing.T, text, stateDir string, env ...string) *child {
	t.Helper()
	return spawn(t, "feedmux", append(env, "STATE_DIRECTORY="+stateDir), []string{"run", "--config", write(t, text)})
}

// natsProcess is a NATS server that can be stopped, killed and started again on the same port.
type natsProcess struct {
	*child
	t    *testing.T
	port int
}

// gated is the name of the client that beNATS lets in only when somebody listens: so that what is published after an
// outage is not lost for want of a subscriber.
const gated = "gated"

// startNATS starts a server on a port from below those that a dial may get as its own. Each test begins to look elsewhere:
// the port of another, whose server is just dead, is free too.
func startNATS(t *testing.T) *natsProcess {
	t.Helper()
	n := &natsProcess{t: t}
	for p := 20000 + int(crc32.ChecksumIEEE(fmt.Append(nil, t.Name(), os.Getpid()))%12000); ; p++ {
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p))); err == nil {
			l.Close()
			n.port = p
			break
		}
		if p == 32700 {
			t.Fatal("no port is free")
		}
	}
	n.start()
	return n
}

func (n *natsProcess) start() {
	n.t.Helper()
	n.child = spawn(n.t, "nats", []string{"FEEDMUX_TEST_PORT=" + strconv.Itoa(n.port)}, nil)
	eventually(n.t, "NATS", func() bool {
		nc, err := net.Dial("tcp", n.address())
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
}

func (n *natsProcess) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }
func (n *natsProcess) url() string     { return "nats://" + n.address() }

// beNATS is the child's main.
func beNATS() {
	port, err := strconv.Atoi(os.Getenv("FEEDMUX_TEST_PORT"))
	if err != nil {
		panic(err)
	}
	gate := &gate{}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, CustomClientAuthentication: gate,
	})
	if err != nil {
		panic(err)
	}
	gate.server = s
	s.Start()
	s.WaitForShutdown()
}

type gate struct{ server *server.Server }

// Check implements server.Authentication.
func (g *gate) Check(c server.ClientAuthentication) bool {
	account := g.server.GlobalAccount()
	if c.GetOpts().Name == gated && account.Interest("feedmux.gap.x") == 0 {
		return false
	}
	c.RegisterUser(&server.User{Account: account})
	return true
}

// quietNATS is a NATS server in this process, for tests that leave NATS in peace.
func quietNATS(t *testing.T, o server.Options) (address string) {
	t.Helper()
	o.Host, o.Port, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS takes no connections")
	}
	return s.Addr().String()
}

// gapNotice is a notice of a gap, as its readers see it.
type gapNotice struct {
	ID, Feed, Topic, Phase, Cause, At string
	From, To                          time.Time
	Dropped                           uint64
	received                          time.Time // here
}

// subscriber is somebody who reads all that feedmux publishes, and reconnects fast.
type subscriber struct {
	t  *testing.T
	nc *nats.Conn

	mu     sync.Mutex
	events map[string][]uint64 // numbers, by topic, in the order of arrival
	total  int
	gaps   []gapNotice
	feed   []string // feed notices, whole
	raw    []string // every message: subject, headers, body; only where keepRaw
	keep   bool
}

func subscribe(t *testing.T, url string) *subscriber {
	t.Helper()
	s := &subscriber{t: t, events: make(map[string][]uint64)}
	var err error
	s.nc, err = nats.Connect(url, nats.Name("test"), nats.MaxReconnects(-1),
		nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.nc.Close)
	for _, subject := range []string{"feed.>", "feedmux.>"} { // in this order: see gate
		sub, err := s.nc.Subscribe(subject, s.take)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *subscriber) take(m *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep {
		s.raw = append(s.raw, fmt.Sprintf("%s\n%v\n%s", m.Subject, m.Header, m.Data))
	}
	switch {
	case strings.HasPrefix(m.Subject, "feedmux.gap."):
		g := gapNotice{received: time.Now()}
		if err := json.Unmarshal(m.Data, &g); err != nil {
			s.t.Errorf("%s: %v: %s", m.Subject, err, m.Data)
		}
		s.gaps = append(s.gaps, g)
	case strings.HasPrefix(m.Subject, "feedmux.feed."):
		s.feed = append(s.feed, string(m.Data))
	case strings.HasPrefix(m.Subject, "feed."):
		n, ok := twitch.EventNumber(m.Data)
		if !ok {
			s.t.Errorf("%s: no event: %.200q", m.Subject, m.Data)
		}
		_, topic, _ := strings.Cut(strings.TrimPrefix(m.Subject, "feed."), ".")
		s.events[topic] = append(s.events[topic], n)
		s.total++
	}
}

func (s *subscriber) received() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// closed returns the gaps that have closed.
func (s *subscriber) closed() (gaps []gapNotice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gaps {
		if g.Phase == "closed" {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

func (s *subscriber) feedNotices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.feed)
}

// inOrder checks that nothing came twice, or after what is newer.
func (s *subscriber) inOrder() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, list := range s.events {
		for i := 1; i < len(list); i++ {
			if list[i] <= list[i-1] {
				s.t.Errorf("%s: event %d came after %d", topic, list[i], list[i-1])
				break
			}
		}
	}
}

// missing returns those of the events sent that did not come.
func (s *subscriber) missing(sent []twitch.SentEvent) (missing []twitch.SentEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := make(map[string]map[uint64]bool, len(s.events))
	for topic, list := range s.events {
		got[topic] = make(map[uint64]bool, len(list))
		for _, n := range list {
			got[topic][n] = true
		}
	}
	for _, e := range sent {
		if !got[e.Topic][e.N] {
			missing = append(missing, e)
		}
	}
	return missing
}

// uncovered returns those of the events that were not sent inside an announced gap of their topic.
func uncovered(events []twitch.SentEvent, gaps []gapNotice) (bare []twitch.SentEvent) {
	byTopic := make(map[string][]gapNotice)
	for _, g := range gaps {
		byTopic[g.Topic] = append(byTopic[g.Topic], g)
	}
	for _, e := range events {
		if !slices.ContainsFunc(byTopic[e.Topic], func(g gapNotice) bool {
			return e.At.After(g.From.Add(-slack)) && e.At.Before(g.To.Add(slack))
		}) {
			bare = append(bare, e)
		}
	}
	return bare
}

// allCameOrCovered waits until every event is there or inside a gap, and fails with the first that is neither. It
// returns those that are missing.
func (s *subscriber) allCameOrCovered(sent []twitch.SentEvent, gaps func(gapNotice) bool) []twitch.SentEvent {
	s.t.Helper()
	var missing, bare []twitch.SentEvent
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		missing = s.missing(sent)
		bare = uncovered(missing, slices.DeleteFunc(s.closed(), func(g gapNotice) bool { return !gaps(g) }))
		if len(bare) == 0 {
			return missing
		}
		if time.Now().After(deadline) {
			break
		}
	}
	s.t.Fatalf("%d of %d events are missing and in no gap; the first: %s %d, sent at %v",
		len(bare), len(sent), bare[0].Topic, bare[0].N, bare[0].At)
	return nil
}

func upstreamGap(g gapNotice) bool { return g.At == "upstream" }
func deliveryGap(g gapNotice) bool { return g.At == "delivery" }

// takeSent is what the upstream wrote since it was last asked; nothing may have been forgotten.
func takeSent(t *testing.T, up *twitch.PubSub) []twitch.SentEvent {
	t.Helper()
	sent, whole := up.TakeSent()
	if !whole {
		t.Fatal("the simulator could not record everything")
	}
	return sent
}

// startDaemonIn is startDaemon on a state directory that others had before or will have.
func startDaemonIn(t *testing.T, text, dir string) (d *daemon.Daemon, end func()) {
	t.Helper()
	cfg, err := config.Parse("test.toml", []byte(text), loadOptions())
	if err != nil {
		t.Fatal(err)
	}
	d, err = newDaemon(daemon.Options{Config: cfg, Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { ended <- d.Run(ctx, func() { close(ready) }) }()
	<-ready
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("daemon: %v", err)
		}
	})
	t.Cleanup(end)
	return d, end
}

// confirmed is how many topics of all feeds are.
func confirmed(t *testing.T, d *daemon.Daemon) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	feeds, err := d.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range feeds {
		n += f.Topics.Confirmed
	}
	return n
}

// metric is the sum of a metric's series that have all of these labels, such as `reason="buffer_full"`.
func metric(t *testing.T, d *daemon.Daemon, name string, labels ...string) (sum float64) {
	t.Helper()
	_, text := get(t, d, "/metrics")
series:
	for line := range strings.Lines(text) {
		series, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(series, label) {
				continue series
			}
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
}

// keptTheBudget checks what the upstream saw: never more than n dials in any window of per, and never more than so many
// sockets. An attempt counts until the window has passed since its end, and the upstream accepts it before that, so no
// tolerance is needed.
func keptTheBudget(t *testing.T, up *twitch.PubSub, n int, per time.Duration, sockets int) {
	t.Helper()
	conns := up.Conns()
	for i := n; i < len(conns); i++ {
		if took := conns[i].Accepted.Sub(conns[i-n].Accepted); took < per {
			t.Errorf("dials %d to %d came within %v: more than %d in %v", i-n+1, i+1, took, n, per)
		}
	}
	if most := up.MaxOpen(); most > sockets {
		t.Errorf("%d sockets were open at a time, %d are allowed", most, sockets)
	}
	if v := up.Violations(); len(v) > 0 {
		t.Errorf("rules broken: %v", v)
	}
}

// stateFiles returns the content of every file below dir.
func stateFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		files[name] = string(text)
		if os.IsNotExist(err) { // it was being replaced
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// topicsOf returns the topics of gaps, each once, sorted.
func topicsOf(gaps []gapNotice) []string {
	topics := make(map[string]bool)
	for _, g := range gaps {
		topics[g.Topic] = true
	}
	return slices.Sorted(maps.Keys(topics))
}
