package socket

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

func TestRequestSaysWhatWasAsked(t *testing.T) {
	for name, test := range map[string]struct {
		o        Options
		dialled  string
		has, not []string
	}{
		"plain": {Options{URL: "ws://feed.example"}, "feed.example:80",
			[]string{"GET / HTTP/1.1\r\nHost: feed.example\r\n", "Sec-WebSocket-Version: 13\r\n", "Upgrade: websocket\r\n"},
			[]string{"Authorization", "Extensions", "Protocol", "Origin"}},
		"query": {Options{URL: "ws://feed.example:8080/a%20b?token=s%20ecret"}, "feed.example:8080",
			[]string{"GET /a%20b?token=s%20ecret HTTP/1.1\r\nHost: feed.example:8080\r\n"}, nil},
		"no port": {Options{URL: "ws://feed.example:/"}, "feed.example:80", []string{"Host: feed.example\r\n"}, nil},
		"IPv6":    {Options{URL: "ws://[::1]/"}, "[::1]:80", []string{"Host: [::1]\r\n"}, nil},
		"header": {Options{URL: "ws://feed.example/", Header: http.Header{"X-Key": {"a\r\nInjected: b"}}}, "feed.example:80",
			[]string{"X-Key: a  Injected: b\r\n"}, []string{"\r\nInjected"}},
		"user-info": {Options{URL: "ws://user:pass%3Aword@feed.example/"}, "feed.example:80",
			[]string{"Authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n"}, []string{"user:", "@"}},
		"header is more": {Options{URL: "ws://user:password@feed.example/", Header: http.Header{"Authorization": {"Bearer x"}}}, "feed.example:80",
			[]string{"Authorization: Bearer x\r\n"}, []string{"Basic"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				request := make(chan string, 1)
				go func() {
					defer theirs.Close()
					r, _, _ := readRequest(bufio.NewReader(theirs))
					request <- r
				}()
				test.o.DialContext = func(_ context.Context, network, address string) (net.Conn, error) {
					if network != "tcp" || address != test.dialled {
						t.Errorf("dialled %s %s", network, address)
					}
					return ours, nil
				}
				Dial(t.Context(), test.o)
				got := <-request
				for _, s := range test.has {
					if !strings.Contains(got, s) {
						t.Errorf("%q is not in\n%s", s, got)
					}
				}
				for _, s := range test.not {
					if strings.Contains(got, s) {
						t.Errorf("%q is in\n%s", s, got)
					}
				}
			})
		})
	}
}

func TestUserInfoIsTakenOutOfTheURL(t *testing.T) {
	target, err := newTarget("wss://user:hunter2@feed.example/path?query", nil, nil)
	if err != nil || target.url.String() != "wss://feed.example/path?query" {
		t.Errorf("%v, %v", target.url, err)
	}
}

func TestURLsThatCannotBeDialledAreRefusedWithoutQuotingThem(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled")
		return nil, io.EOF
	}
	for url, want := range map[string]error{
		"":                                    errScheme,
		"feed.example":                        errScheme,
		"https://feed.example/":               errScheme,
		"ws:///path":                          errHost,
		"ws://:80/":                           errHost,
		"ws:opaque":                           errHost,
		"ws://feed.example/#fragment":         errFragment,
		"wss://bücher.example/":               errHostASCII,
		"wss://b%c3%bccher.example/":          errHostASCII,
		"wss://user:hunter2/3@feed.example/":  errURL,
		"wss://feed.example/?token=hunter2\n": errURL,
		"wss://feed.example/%zz?hunter2":      errURL,
		"wss://feed.example/?token=hunter2 x": errURL,
	} {
		_, err := Dial(t.Context(), Options{URL: url, DialContext: dial})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", url, err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func TestWhatAPeerEchoesTellsNoSecret(t *testing.T) {
	const secrets = "hunter2-pass access-tok-1 access tok/2 bearer-tok-3 dXNlcm5hbWU6aHVudGVyMi1wYXNz"
	o := Options{
		URL:    "ws://username:hunter2-pass@feed.example/?a=access-tok-1&b=access%20tok%2F2",
		Header: http.Header{"X-Auth": {"Bearer bearer-tok-3"}},
	}
	check := func(t *testing.T, err error) {
		t.Helper()
		var refusal *HandshakeError
		var closed *CloseError
		text := err.Error()
		if errors.As(err, &refusal) {
			text += refusal.Body + refusal.Location
		} else if errors.As(err, &closed) {
			text += closed.Reason
		} else {
			t.Fatalf("%T", err)
		}
		if !strings.Contains(text, "[hidden]") {
			t.Errorf("nothing was hidden in %q", text)
		}
		for _, s := range []string{"hunter2", "tok", "dXNl"} {
			if strings.Contains(text, s) {
				t.Errorf("%q is in %q", s, text)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		_, err := answerWith(t, o, server{answer: "HTTP/1.1 401 Unauthorized\r\nLocation: /bearer-tok-3\r\n\r\nyou said " + secrets}, "whole")
		check(t, err)
	})
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		o.DialContext = over(ours)
		go func() {
			p, err := upgrade(theirs, closeFrame(4001, secrets))
			if err == nil {
				p.listen(true)
			}
		}()
		c, err := Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Read()
		check(t, err)
	})
}

func TestARefusalThatLeadsElsewhereSaysWhere(t *testing.T) {
	for _, row := range []struct {
		e    HandshakeError
		want string
	}{
		{HandshakeError{Status: 302, Location: "wss://b.example/ws"},
			"the server answered 302 Found: it is at wss://b.example/ws now, and no redirect is followed"},
		{HandshakeError{Status: 302}, "the server answered 302 Found"},
		{HandshakeError{Status: 503, Location: "wss://b.example/ws"}, "the server answered 503 Service Unavailable"},
		{HandshakeError{Status: 599}, "the server answered 599 unknown status"},
	} {
		if got := row.e.Error(); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}
