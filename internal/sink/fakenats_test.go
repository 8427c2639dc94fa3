package sink

import (
	"bufio"
	"context"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"feedmux/internal/sim"
)

// fakeNATS is as much of a NATS server as publishing needs, on a network in memory.
type fakeNATS struct {
	network *sim.Network
	poison  string // a body that ends a connection; "": none does
	clients sync.WaitGroup

	mu     sync.Mutex
	paused bool     // what it reads is held back, and lost if the connection is cut
	held   []func() // of the newest connection
	conns  []*sim.Conn
	bodies []string // what it got, in order
	told   []string // the same, of notices
}

// inBubble runs a test in virtual time, with a NATS server.
func inBubble(t *testing.T, test func(*testing.T, *fakeNATS)) {
	forget := func() { // the client keeps timers in a sync.Pool: those of a bubble must not come up outside, nor others in it
		runtime.GC()
		runtime.GC()
	}
	forget()
	defer forget()
	synctest.Test(t, func(t *testing.T) {
		n, end := startFakeNATS()
		defer end()
		test(t, n)
	})
}

func startFakeNATS() (n *fakeNATS, end func()) {
	n = &fakeNATS{network: sim.NewNetwork()}
	l := n.network.Listen()
	n.clients.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			n.conns = append(n.conns, nc.(*sim.Conn))
			n.mu.Unlock()
			n.clients.Go(func() { n.serve(nc) })
		}
	})
	return n, func() {
		l.Close()
		n.cut()
		n.clients.Wait()
	}
}

// Dial makes it a nats.CustomDialer.
func (n *fakeNATS) Dial(network, address string) (net.Conn, error) {
	return n.network.DialContext(context.Background(), network, address)
}

func (n *fakeNATS) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Reset()
	}
	n.conns, n.held = nil, nil
}

func (n *fakeNATS) pause(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused = on
	if !on {
		for _, do := range n.held {
			do()
		}
		n.held = nil
	}
}

// got is all that came so far.
func (n *fakeNATS) got() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bodies[:len(n.bodies):len(n.bodies)]
}

func (n *fakeNATS) serve(nc net.Conn) {
	defer nc.Close()
	_, _ = io.WriteString(nc, `INFO {"server_id":"W","version":"2.11.0","proto":1,"headers":true,"max_payload":100000}`+"\r\n")
	opened := false
	do := func(what func()) {
		n.mu.Lock()
		defer n.mu.Unlock()
		switch {
		case len(n.conns) == 0 || n.conns[len(n.conns)-1] != nc: // it was cut
		case n.paused && opened:
			n.held = append(n.held, what)
		default:
			what()
		}
	}
	for br := bufio.NewReader(nc); ; {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		switch words := strings.Fields(line); words[0] {
		case "PING":
			do(func() { _, _ = io.WriteString(nc, "PONG\r\n") })
			opened = true
		case "PUB":
			size, _ := strconv.Atoi(words[len(words)-1])
			body := make([]byte, size+2)
			if _, err := io.ReadFull(br, body); err != nil {
				return
			}
			if p := string(body[:size]); p != "" && p == n.poison {
				nc.(*sim.Conn).Reset()
				return
			}
			to := &n.told
			if strings.HasPrefix(words[1], "feed.") {
				to = &n.bodies
			}
			do(func() { *to = append(*to, string(body[:size])) })
		}
	}
}
