package control

import (
	"bufio"
	"context"
	"errors"
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
)

// pipes is a listener without a network, so that a bubble's clock can drive what is served.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

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

// dial opens a connection that ends with the test.
func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	p.accept <- theirs
	t.Cleanup(func() { ours.Close() })
	return ours
}

func request(c net.Conn, path string) (*http.Response, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(c), nil)
}

type server struct {
	*pipes
	stop  context.CancelFunc
	ended chan error
}

func serve(t *testing.T, h http.Handler) *server {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &server{newPipes(), stop, make(chan error, 1)}
	go func() { s.ended <- Serve(ctx, s.pipes, h, slog.New(slog.NewTextHandler(io.Discard, nil))) }()
	t.Cleanup(stop)
	return s
}

func TestServeAnswersUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, Handler(options()))
		idle := s.dial(t)
		res, err := request(idle, "/healthz")
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("asked: %v, %v", res, err)
		}
		stopped := time.Now()
		s.stop()
		if err := <-s.ended; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
		if took := time.Since(stopped); took > time.Second {
			t.Errorf("it took %v to end with nothing to wait for", took)
		}
		if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection that was kept says %v, want its end", err)
		}
	})
}

func TestServeLetsARequestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(grace - time.Second)
			w.WriteHeader(http.StatusTeapot)
		}))
		go func() {
			time.Sleep(time.Millisecond) // the request is running then
			s.stop()
		}()
		res, err := request(s.dial(t), "/")
		if err != nil || res.StatusCode != http.StatusTeapot {
			t.Fatalf("asked: %v, %v", res, err)
		}
		if err := <-s.ended; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
}

func TestServeCancelsWhatOutlastsTheGraceAndWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			time.Sleep(time.Minute) // one that is slow to notice
			ended = true
		}))
		// While a body is still to come, the server does not look whether the client has gone.
		fmt.Fprint(s.dial(t), "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n")
		synctest.Wait()
		stopped := time.Now()
		s.stop()
		if err := <-s.ended; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
		if !ended {
			t.Error("Serve returned before the request ended")
		}
		if took := time.Since(stopped); took != grace+time.Minute {
			t.Errorf("it took %v to end, want %v", took, grace+time.Minute)
		}
	})
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, Handler(options()))
		c := s.dial(t)
		if _, err := request(c, "/healthz"); err != nil {
			t.Fatal(err)
		}
		failed := time.Now()
		s.Close()
		if err := <-s.ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve ended with %v", err)
		}
		if took := time.Since(failed); took != 0 {
			t.Errorf("it took %v to close a connection that nobody uses", took)
		}
	})
}

func TestServeCutsOffWhoDawdlesOrTalksTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, Handler(options()))

		dawdler := s.dial(t)
		fmt.Fprint(dawdler, "GET / HTTP/1.1\r\nHost:")
		begun := time.Now()
		io.Copy(io.Discard, dawdler)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("half a request was cut off after %v, want 5s", took)
		}

		babbler := s.dial(t)
		go fmt.Fprintf(babbler, "GET / HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
		res, err := http.ReadResponse(bufio.NewReader(babbler), nil)
		if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of 64 KiB: %v, %v", res, err)
		}

		// "OPTIONS *" is the one request that net/http would answer by itself.
		c := s.dial(t)
		fmt.Fprint(c, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if res, err = http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("OPTIONS *: %v, %v", res, err)
		}
		s.stop()
		<-s.ended
	})
}
