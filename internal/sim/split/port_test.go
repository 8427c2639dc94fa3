package split

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/sim"
)

const (
	plainRequest  = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n"
	socketRequest = "GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\r\n"
)

// start serves a port whose handler answers with the request's path, until stop is called or the test ends.
func start(t *testing.T) (p *Port, n *sim.Network, stop func()) {
	t.Helper()
	n = sim.NewNetwork()
	p = NewPort(n.Listen(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	stopped := false
	stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if len(p.held) > 0 {
			t.Errorf("%d sockets are still held", len(p.held))
		}
	}
	t.Cleanup(stop)
	return p, n, stop
}

func dial(t *testing.T, n *sim.Network, say string) net.Conn {
	t.Helper()
	nc, err := n.DialContext(t.Context(), "tcp", "a:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if _, err := io.WriteString(nc, say); err != nil {
		t.Fatal(err)
	}
	return nc
}

func answer(t *testing.T, br *bufio.Reader) string {
	t.Helper()
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestPlainRequestsAreAnsweredOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n, _ := start(t)
		nc := dial(t, n, plainRequest[:10])
		br := bufio.NewReader(nc)
		time.Sleep(time.Second)
		io.WriteString(nc, plainRequest[10:])
		for range 3 {
			if got := answer(t, br); got != "/page" {
				t.Errorf("got %q", got)
			}
			time.Sleep(time.Minute)
			io.WriteString(nc, plainRequest)
		}
	})
}

func TestWebSocketsAreAcceptedWithTheirRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, stop := start(t)
		client := dial(t, n, socketRequest+"more")
		nc, err := p.WebSockets().Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		got := make([]byte, len(socketRequest)+4)
		if _, err := io.ReadFull(nc, got); err != nil || string(got) != socketRequest+"more" {
			t.Errorf("read %q, %v", got, err)
		}
		io.WriteString(client, "and on")
		if _, err := io.ReadFull(nc, got[:6]); err != nil || string(got[:6]) != "and on" {
			t.Errorf("read %q, %v", got[:6], err)
		}
		p.Reset()
		stop()
		if _, err := io.WriteString(nc, "it lives"); err != nil {
			t.Errorf("its server alone may end it: %v", err)
		}
		if _, err := p.WebSockets().Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after the end: %v", err)
		}
	})
}

func TestSocketsThatSayNothingAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n, _ := start(t)
		for _, say := range []string{"", "GET / HT", "what?\r\n\r\n", "GET / HTTP/1.1\r\nA: " + strings.Repeat("x", maxHead)} {
			began := time.Now()
			nc := dial(t, n, say)
			if b, err := io.ReadAll(nc); len(b) > 0 || err != nil || time.Since(began) > headWait {
				t.Errorf("after %.20q: %q, %v after %v", say, b, err, time.Since(began))
			}
		}
	})
}

func TestResetStrikesAllButWebSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, _ := start(t)
		for _, say := range []string{"", plainRequest, strings.Replace(plainRequest, "page", "wait", 1)} {
			nc := dial(t, n, say)
			synctest.Wait()
			p.Reset()
			if _, err := io.ReadAll(nc); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after %q: %v", say, err)
			}
		}
	})
}

func TestServeEndsWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n, stop := start(t)
		for _, say := range []string{"", plainRequest, strings.Replace(plainRequest, "page", "wait", 1), socketRequest} {
			dial(t, n, say)
		}
		synctest.Wait()
		stop()
		for i, s := range n.Sockets() {
			if s.Open() {
				t.Errorf("socket %d is open", i)
			}
		}
	})
}
