package socket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// server is what a hand-written server does with a request.
type server struct {
	answer string        // {accept} is filled in
	slow   time.Duration // between two bytes of it
	hold   bool          // the connection stays open after it
}

// answerWith dials such a server. The client reads the answer as how, one of chops, has it.
func answerWith(t *testing.T, o Options, s server, how string) (*Conn, error) {
	t.Helper()
	ours, theirs := pair(t)
	var serving sync.WaitGroup
	defer serving.Wait()
	stop := make(chan struct{})
	defer close(stop)
	serving.Go(func() {
		defer theirs.Close()
		_, accept, err := readRequest(bufio.NewReader(theirs))
		if err != nil {
			return
		}
		answer := strings.ReplaceAll(s.answer, "{accept}", accept)
		for len(answer) > 0 {
			n := len(answer)
			if s.slow > 0 {
				n = 1
				time.Sleep(s.slow)
			}
			if _, err := io.WriteString(theirs, answer[:n]); err != nil {
				return
			}
			answer = answer[n:]
		}
		if s.hold {
			<-stop
		}
	})
	if o.URL == "" {
		o.URL = "ws://feed.example/"
	}
	lines := bytes.SplitAfter([]byte(strings.ReplaceAll(s.answer, "{accept}", strings.Repeat("x", 28))), []byte("\n"))
	dials := 0
	o.DialContext = func(context.Context, string, string) (net.Conn, error) {
		dials++
		return chop(ours, how, slices.DeleteFunc(lines, func(line []byte) bool { return len(line) == 0 })), nil
	}
	c, err := Dial(t.Context(), o)
	if dials != 1 {
		t.Errorf("%d dials", dials)
	}
	if err != nil && c != nil {
		t.Error("Dial returned a Conn and an error")
	}
	if err != nil {
		if _, err := ours.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the connection was left open: %v", err)
		}
	}
	if c != nil {
		c.Close()
	}
	return c, err
}

// inEveryChop runs f in virtual time, once for each way in which bytes arrive.
func inEveryChop(t *testing.T, name string, f func(t *testing.T, how string)) {
	for _, how := range chops {
		t.Run(name+"/"+how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, how) })
		})
	}
}

func TestGroupGHandshakeAnswersOtherThan101(t *testing.T) {
	const date = "Date: Sat, 01 Jan 2000 10:00:00 GMT\r\n"
	for name, test := range map[string]struct {
		answer string
		want   HandshakeError
	}{
		"200": {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
			HandshakeError{Status: 200, Body: "hello"}},
		"301": {"HTTP/1.1 301 Moved Permanently\r\nLocation: wss://other.example/\r\nContent-Length: 0\r\n\r\n",
			HandshakeError{Status: 301, Location: "wss://other.example/"}},
		"307, relative": {"HTTP/1.1 307 Temporary Redirect\r\nLocation: /there?token=1\r\n\r\n",
			HandshakeError{Status: 307, Location: "/there"}},
		"307 to nowhere": {"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://[::1\r\n\r\n", HandshakeError{Status: 307}},
		"400":            {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nno", HandshakeError{Status: 400, Body: "no"}},
		"404":            {"HTTP/1.1 404 Not Found\r\n\r\n", HandshakeError{Status: 404}},
		"500":            {"HTTP/1.1 500 Oops\r\n\r\n", HandshakeError{Status: 500}},
		"502":            {"HTTP/1.1 502 Bad Gateway\r\n\r\n", HandshakeError{Status: 502}},
		"100":            {"HTTP/1.1 100 Continue\r\n\r\n" + switching, HandshakeError{Status: 100}},
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
		"429, at once":  {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\n\r\n", HandshakeError{Status: 429}},
		"429, fraction": {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1.5\r\n\r\n", HandshakeError{Status: 429}},
		"429, empty":    {"HTTP/1.1 429 Too Many Requests\r\nRetry-After:\r\n\r\n", HandshakeError{Status: 429}},
		"429, very negative": {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: -99999999999999999999\r\n\r\n",
			HandshakeError{Status: 429}},
		"429, date in a thousand years": {"HTTP/1.1 429 Too Many Requests\r\n" + date + "Retry-After: Sat, 01 Jan 3000 10:01:30 GMT\r\n\r\n",
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
		"endless header": {"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nX: " + strings.Repeat("x", handshakeBytes),
			HandshakeError{Status: 503}},
		"10,000 headers": {"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\n" + strings.Repeat("A: b, c\r\n", 10_000) + "\r\n",
			HandshakeError{Status: 503}},
		"body longer than it said": {"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nnot", HandshakeError{Status: 500, Body: "no"}},
		"body of unknown length":   {"HTTP/1.1 500 Oops\r\nContent-Length: x\r\n\r\nno", HandshakeError{Status: 500}},
		"body long": {"HTTP/1.1 500 Oops\r\n\r\n" + strings.Repeat("é", 30_000),
			HandshakeError{Status: 500, Body: strings.Repeat("é", refusalBody/2)}},
	} {
		inEveryChop(t, name, func(t *testing.T, how string) {
			_, err := answerWith(t, Options{}, server{answer: test.answer}, how)
			var got *HandshakeError
			if !errors.As(err, &got) {
				t.Fatalf("%T: %v", err, err)
			}
			want := test.want
			want.PeerGone = true // it closes after its answer
			if *got != want {
				t.Errorf("got  %+v\nwant %+v", *got, want)
			}
		})
	}
}

func TestGroupGHandshakeAnswersThatAreWrongAreRejected(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(switching, old, new, 1) }
	for name, test := range map[string]struct {
		answer string
		cause  error
	}{
		"HTTP/1.0":              {with("1.1", "1.0"), ws.ErrHandshakeBadProtocol},
		"HTTP/2":                {with("1.1", "2.0"), ws.ErrHandshakeBadProtocol},
		"wrong accept":          {with("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ws.ErrHandshakeBadSecAccept},
		"no accept":             {with("Sec-WebSocket-Accept", "X"), ws.ErrHandshakeBadSecAccept},
		"no upgrade":            {with("Upgrade: websocket\r\n", ""), ws.ErrHandshakeBadUpgrade},
		"other upgrade":         {with("websocket", "h2c"), ws.ErrHandshakeBadUpgrade},
		"no connection":         {with("Connection: Upgrade\r\n", ""), ws.ErrHandshakeBadConnection},
		"connection list":       {with("Connection: Upgrade", "Connection: keep-alive, Upgrade"), ws.ErrHandshakeBadConnection},
		"subprotocol":           {with("Connection", "Sec-WebSocket-Protocol: chat\r\nConnection"), ws.ErrHandshakeBadSubProtocol},
		"extension":             {with("Connection", "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection"), ws.ErrHandshakeBadExtensions},
		"header without colon":  {with("Connection: Upgrade", "Connection Upgrade"), ws.ErrMalformedResponse},
		"bad accept":            {with("{accept}", "{accept}="), ws.ErrHandshakeBadSecAccept},
		"empty accept":          {with("{accept}", ""), ws.ErrHandshakeBadSecAccept},
		"a second accept":       {with("{accept}\r\n", "{accept}\r\nSec-WebSocket-Accept: x\r\n"), ws.ErrHandshakeBadSecAccept},
		"other connection":      {with("Connection: Upgrade", "Connection: close"), ws.ErrHandshakeBadConnection},
		"no headers":            {"HTTP/1.1 101 Switching Protocols\r\n\r\n", ws.ErrHandshakeBadUpgrade},
		"HTTP/0.9":              {"<html>hello</html>\r\n", ws.ErrMalformedResponse},
		"status is no number":   {"HTTP/1.1 1o1 Switching Protocols\r\n\r\n", ws.ErrMalformedResponse},
		"frames at once":        {string(frame(0x81, "hello\r\n")), ws.ErrMalformedResponse},
		"HTTP/1.0 that refuses": {"HTTP/1.0 503 Busy\r\n\r\n", ws.ErrHandshakeBadProtocol},
		"garbage":               {"SSH-2.0-OpenSSH_9.2p1\r\n", ws.ErrMalformedResponse},
		"endless header":        {"HTTP/1.1 101 Switching Protocols\r\nX: " + strings.Repeat("x", handshakeBytes), errHandshakeTooLong},
		"10,000 headers":        {"HTTP/1.1 101 Switching Protocols\r\n" + strings.Repeat("A: b, c\r\n", 10_000), errHandshakeTooLong},
		"endless status line":   {"HTTP/1.1 101 " + strings.Repeat("x", handshakeBytes), errHandshakeTooLong},
	} {
		inEveryChop(t, name, func(t *testing.T, how string) {
			_, err := answerWith(t, Options{}, server{answer: test.answer}, how)
			if !errors.As(err, new(*RejectedError)) || !errors.Is(err, test.cause) {
				t.Errorf("%T: %v", err, err)
			}
		})
	}
}

func TestGroupGHandshakeThatEndsEarlyIsNoClose(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 10", "HTTP/1.1 101 Switching Protocols\r\nUpgr", strings.TrimSuffix(switching, "\r\n")} {
		inEveryChop(t, fmt.Sprintf("%.30q", answer), func(t *testing.T, how string) {
			if _, err := answerWith(t, Options{}, server{answer: answer}, how); !errors.Is(err, ErrNoClose) {
				t.Errorf("%T: %v", err, err)
			}
		})
	}
}

func TestGroupGFramesThatCameWithThe101AreRead(t *testing.T) {
	text, switched := frame(0x81, "hello"), make([]byte, len(switching)-len("{accept}")+28)
	for name, early := range map[string][]byte{
		"a frame": text, "half a frame": text[:3], "half a header": text[:1], "two and a half": slices.Concat(text, text, text[:4]),
	} {
		for _, how := range chops {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ours, theirs := pair(t)
					c, p := openOver(t, Options{}, chop(ours, how, [][]byte{switched, early}), theirs, early)
					all := slices.Concat(bytes.Repeat(text, 4), closeFrame(1000, ""))
					p.listen(true)
					go p.Write(all[len(early):])
					messages, err := readAll(t, c)
					if want := slices.Repeat([]string{"text hello"}, 4); !slices.Equal(messages, want) || endOf(err) != "closed 1000" {
						t.Errorf("read %q, then %v", messages, err)
					}
				})
			})
		}
	}
}

// A Dialer's own time limit once covered the handshake only where the context could not be cancelled.
func TestGroupGTimeoutBoundsTheHandshakeWithAnyContext(t *testing.T) {
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

func TestGroupGSlowRefusalDoesNotHideTheStatus(t *testing.T) {
	const head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 1000\r\n\r\n"
	for name, test := range map[string]struct {
		s    server
		want HandshakeError
	}{
		"body that stops":       {server{answer: head + "x", hold: true}, HandshakeError{Status: 503, RetryAfter: 5 * time.Second, Body: "x"}},
		"headers that stop":     {server{answer: head[:60], hold: true}, HandshakeError{Status: 503}},
		"a byte a second":       {server{answer: head + "0123456789abcdef", slow: time.Second}, HandshakeError{Status: 503, RetryAfter: 5 * time.Second, Body: "0123456"}},
		"headers a byte a time": {server{answer: head[:len(head)-1], slow: time.Second, hold: true}, HandshakeError{Status: 503}},
	} {
		timeout := time.Duration(len(head)+7)*time.Second + time.Second/2
		inEveryChop(t, name, func(t *testing.T, how string) {
			began := time.Now()
			_, err := answerWith(t, Options{Timeout: timeout}, test.s, how)
			var got *HandshakeError
			if !errors.As(err, &got) || *got != test.want {
				t.Errorf("%T: %+v", err, err)
			}
			if late := time.Since(began) - timeout; late < 0 || late > 2*test.s.slow { // the server notices later
				t.Errorf("took %v too long", late)
			}
		})
	}
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
