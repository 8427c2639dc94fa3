package socket

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// answerWith dials a server that reads the request, writes answer ({accept} filled in), and then, if hold is set, keeps
// the connection open.
func answerWith(t *testing.T, o Options, answer string, hold bool) (*Conn, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	stop := make(chan struct{})
	go func() {
		defer theirs.Close()
		_, accept, err := readRequest(bufio.NewReader(theirs))
		if err != nil {
			return
		}
		io.WriteString(theirs, strings.ReplaceAll(answer, "{accept}", accept))
		if hold {
			<-stop
		}
	}()
	defer close(stop)
	if o.URL == "" {
		o.URL = "ws://feed.example/"
	}
	o.DialContext = over(ours)
	c, err := Dial(t.Context(), o)
	if err != nil && c != nil {
		t.Error("Dial returned a Conn and an error")
	}
	if c != nil {
		c.Close()
	}
	return c, err
}

func TestHandshakeAnswersOtherThan101(t *testing.T) {
	const date = "Date: Sat, 01 Jan 2000 10:00:00 GMT\r\n"
	for name, test := range map[string]struct {
		answer string
		want   HandshakeError
	}{
		"200": {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
			HandshakeError{Status: 200, Body: "hello"}},
		"302": {"HTTP/1.1 302 Found\r\nLocation: https://u:pw@x.example/there?token=1#f\r\n\r\n",
			HandshakeError{Status: 302, Location: "https://x.example/there"}},
		"401, chunked": {"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n4\r\n key\r\n0\r\n\r\n",
			HandshakeError{Status: 401, Body: "bad key"}},
		"403": {"HTTP/1.1 403 Forbidden\r\n\r\n", HandshakeError{Status: 403}},
		"426": {"HTTP/1.1 426 Upgrade Required\r\n\r\n", HandshakeError{Status: 426}},
		"429": {"HTTP/1.1 429 Too Many Requests\r\n\r\n", HandshakeError{Status: 429}},
		"429, seconds": {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 37\r\n\r\n",
			HandshakeError{Status: 429, RetryAfter: 37 * time.Second}},
		"429, negative": {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: -37\r\n\r\n", HandshakeError{Status: 429}},
		"429, huge": {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 99999999999999999999\r\n\r\n",
			HandshakeError{Status: 429, RetryAfter: maxRetryAfter}},
		"429, large": {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 9223372036854775807\r\n\r\n",
			HandshakeError{Status: 429, RetryAfter: maxRetryAfter}},
		"429, garbage": {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: soon\r\n\r\n", HandshakeError{Status: 429}},
		"503, date": {"HTTP/1.1 503 Service Unavailable\r\n" + date + "Retry-After: Sat, 01 Jan 2000 10:01:30 GMT\r\n\r\n",
			HandshakeError{Status: 503, RetryAfter: 90 * time.Second}},
		"503, date gone by": {"HTTP/1.1 503 Service Unavailable\r\n" + date + "Retry-After: Sat, 01 Jan 2000 09:00:00 GMT\r\n\r\n",
			HandshakeError{Status: 503}},
		"503, no Date": {"HTTP/1.1 503 Service Unavailable\r\nRetry-After: Sat, 01 Jan 2000 00:00:10 GMT\r\n\r\n",
			HandshakeError{Status: 503, RetryAfter: 10 * time.Second}},
		"unknown status": {"HTTP/1.1 799 Odd\r\n\r\nx", HandshakeError{Status: 799, Body: "x"}},
		"bad header":     {"HTTP/1.1 502 Bad Gateway\r\nno colon here\r\n\r\nx", HandshakeError{Status: 502}},
		"body unprintable": {"HTTP/1.1 500 Oops\r\n\r\n\x1b[31ma\r\nb\x00\xff\t\n",
			HandshakeError{Status: 500, Body: ".[31ma  b.."}},
		"body long": {"HTTP/1.1 500 Oops\r\n\r\n" + strings.Repeat("é", 30_000),
			HandshakeError{Status: 500, Body: strings.Repeat("é", refusalBody/2)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := answerWith(t, Options{}, test.answer, false)
				var got *HandshakeError
				if !errors.As(err, &got) {
					t.Fatalf("%T: %v", err, err)
				}
				if *got != test.want {
					t.Errorf("got  %+v\nwant %+v", *got, test.want)
				}
			})
		})
	}
}

func TestHandshakeAnswersThatAreWrongAreRejected(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(switching, old, new, 1) }
	for name, test := range map[string]struct {
		answer string
		cause  error
	}{
		"HTTP/1.0":             {with("1.1", "1.0"), ws.ErrHandshakeBadProtocol},
		"HTTP/2":               {with("1.1", "2.0"), ws.ErrHandshakeBadProtocol},
		"wrong accept":         {with("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ws.ErrHandshakeBadSecAccept},
		"no accept":            {with("Sec-WebSocket-Accept", "X"), ws.ErrHandshakeBadSecAccept},
		"no upgrade":           {with("Upgrade: websocket\r\n", ""), ws.ErrHandshakeBadUpgrade},
		"other upgrade":        {with("websocket", "h2c"), ws.ErrHandshakeBadUpgrade},
		"no connection":        {with("Connection: Upgrade\r\n", ""), ws.ErrHandshakeBadConnection},
		"connection list":      {with("Connection: Upgrade", "Connection: keep-alive, Upgrade"), ws.ErrHandshakeBadConnection},
		"subprotocol":          {with("Connection", "Sec-WebSocket-Protocol: chat\r\nConnection"), ws.ErrHandshakeBadSubProtocol},
		"extension":            {with("Connection", "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection"), ws.ErrHandshakeBadExtensions},
		"header without colon": {with("Connection: Upgrade", "Connection Upgrade"), ws.ErrMalformedResponse},
		"garbage":              {"SSH-2.0-OpenSSH_9.2p1\r\n", ws.ErrMalformedResponse},
		"endless header":       {"HTTP/1.1 101 Switching Protocols\r\nX: " + strings.Repeat("x", handshakeBytes), errHandshakeTooLong},
		"10,000 headers":       {"HTTP/1.1 101 Switching Protocols\r\n" + strings.Repeat("A: b, c\r\n", 10_000), errHandshakeTooLong},
		"endless status line":  {"HTTP/1.1 101 " + strings.Repeat("x", handshakeBytes), errHandshakeTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := answerWith(t, Options{}, test.answer, false)
				var rejected *RejectedError
				if !errors.As(err, &rejected) || !errors.Is(err, test.cause) {
					t.Errorf("%T: %v", err, err)
				}
			})
		})
	}
}

func TestHandshakeThatEndsEarlyIsNoClose(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 10", "HTTP/1.1 101 Switching Protocols\r\nUpgr"} {
		synctest.Test(t, func(t *testing.T) {
			if _, err := answerWith(t, Options{}, answer, false); !errors.Is(err, ErrNoClose) {
				t.Errorf("after %q: %v", answer, err)
			}
		})
	}
}

// A Dialer's own time limit once covered the handshake only where the context could not be cancelled.
func TestTimeoutBoundsTheHandshakeWithAnyContext(t *testing.T) {
	const timeout = 700 * time.Millisecond
	drip := func(s string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			for i := range s {
				if _, err := conn.Write([]byte{s[i]}); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	for name, serve := range map[string]func(net.Conn){
		"reads nothing":    func(net.Conn) {},
		"answers nothing":  func(conn net.Conn) { readRequest(bufio.NewReader(conn)) },
		"slow status line": drip("HTTP/1.1 101 Switching Protocols\r\n"),
		"slow headers":     drip("HTTP/1.1 101 X\r\nUpgrade: websocket\r\n"),
	} {
		for _, scheme := range []string{"ws", "wss"} {
			for _, cancellable := range []bool{false, true} {
				t.Run(name+" "+scheme, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						ctx := context.Background()
						if cancellable {
							c, cancel := context.WithCancel(ctx)
							defer cancel()
							ctx = c
						}
						ours, theirs := net.Pipe()
						var server sync.WaitGroup
						server.Go(func() { serve(theirs) })
						defer server.Wait()
						defer theirs.Close()
						began := time.Now()
						_, err := Dial(ctx, Options{URL: scheme + "://feed.example/", Timeout: timeout, DialContext: over(ours)})
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("%T: %v", err, err)
						}
						if took := time.Since(began); took != timeout {
							t.Errorf("took %v", took)
						}
						if _, err := ours.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
							t.Error("the connection was left open")
						}
					})
				})
			}
		}
	}
}

func TestSlowBodyOfARefusalDoesNotHideTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := answerWith(t, Options{Timeout: time.Second},
			"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 1000\r\n\r\nx", true)
		var got *HandshakeError
		if !errors.As(err, &got) || *got != (HandshakeError{Status: 503, RetryAfter: 5 * time.Second, Body: "x"}) {
			t.Errorf("%T: %+v", err, err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCancelEndsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := Dial(ctx, Options{URL: "ws://feed.example/", DialContext: over(ours)}); !errors.Is(err, context.Canceled) {
			t.Errorf("%T: %v", err, err)
		}
	})
}
