package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/control"
)

// pipes is a listener without a network, so that a bubble's clock drives what is served.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// says opens a connection, and sends the begin of a request.
func (p *pipes) says(t *testing.T, text string) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	p.accept <- theirs
	t.Cleanup(func() { ours.Close() })
	go io.WriteString(ours, text)
	synctest.Wait()
	return ours
}

// inBubble serves d to do, which has the bubble's clock.
func inBubble(t *testing.T, d Daemon, do func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		log := slog.New(slog.DiscardHandler)
		h := newHandler(ctx, Options{Daemon: d, Status: http.NotFoundHandler(), Log: log})
		ended := make(chan error, 1)
		go func() { ended <- control.Serve(ctx, p, h, log) }()
		do(t, p)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
}

func answerOf(t *testing.T, c net.Conn) (code int, body string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestABodyThatIsSlowIsAnsweredAndKeepsNobodyOut(t *testing.T) {
	inBubble(t, &fake{}, func(t *testing.T, p *pipes) {
		begun := time.Now()
		slow := make([]net.Conn, maxRequests)
		for i, path := range []string{"/v1/topics/twitch/add", "/v1/renew/twitch", "/v1/reload"} {
			for n := i; n < maxRequests; n += 3 {
				slow[n] = p.says(t, strings.Replace(post(path, "1234"), "Content-Length: 4", "Content-Length: 100", 1))
			}
		}
		if code, body := answerOf(t, p.says(t, post("/v1/topics/twitch/add", `{"topics": ["a"]}`))); code != http.StatusOK {
			t.Errorf("beside them: %d %s", code, body)
		}
		for _, c := range slow {
			if code, body := answerOf(t, c); code != http.StatusRequestTimeout || !strings.Contains(body, "did not come in time") {
				t.Errorf("%d %s", code, body)
			}
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("they were answered after %v", took)
		}
	})
}

func TestTheServersBoundForReadingDoesNotEndAChangeThatTakesLonger(t *testing.T) {
	inBubble(t, &slowly{delay: patience - time.Second}, func(t *testing.T, p *pipes) {
		begun := time.Now()
		code, body := answerOf(t, p.says(t, post("/v1/topics/twitch/add", `{"topics": ["a"]}`)))
		if took := time.Since(begun); code != http.StatusOK || took != patience-time.Second {
			t.Errorf("%d %s after %v", code, body, took)
		}
	})
}

func TestAChangeThatWaitsTooLongForOthersIsToldSo(t *testing.T) {
	inBubble(t, &slowly{delay: patience - time.Second}, func(t *testing.T, p *pipes) {
		var conns []net.Conn
		for range 3 {
			conns = append(conns, p.says(t, post("/v1/topics/twitch/add", `{"topics": ["a"]}`)))
		}
		codes := make(map[int]int)
		for _, c := range conns {
			code, _ := answerOf(t, c)
			codes[code]++
		}
		if want := map[int]int{http.StatusOK: 1, http.StatusServiceUnavailable: 2}; fmt.Sprint(codes) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", codes, want)
		}
	})
}
