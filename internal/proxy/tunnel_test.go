package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/cause"
	"feedmux/internal/proxy"
	"feedmux/internal/socket"
)

var _ socket.Proxy = proxy.Proxy{}

// rootsOf is what a client of a test's server trusts.
func rootsOf(client *http.Client) *tls.Config {
	return &tls.Config{RootCAs: client.Transport.(*http.Transport).TLSClientConfig.RootCAs}
}

func TestADialGoesThroughEveryKindOfProxy(t *testing.T) {
	for _, secure := range []bool{false, true} {
		upstream := startUpstream(t, secure)
		for _, scheme := range []string{"http", "socks5"} {
			for _, user := range []bool{false, true} {
				r := startRelay(t, scheme, upstream.Listener.Addr().String(), user)
				o := socket.Options{URL: "ws://example.com/feed", Proxy: parse(t, r.url(scheme))}
				want := "example.com:80" // unresolved
				if secure {
					o.URL, want = "wss://example.com:444/feed", "example.com:444"
					o.TLS = rootsOf(upstream.Client())
				}
				c, err := socket.Dial(t.Context(), o)
				if err != nil {
					t.Fatalf("%s, user %v, TLS %v: %v", scheme, user, secure, err)
				}
				m, err := c.Read()
				if err != nil || string(m.Data) != "hello" {
					t.Errorf("read %q, %v", m.Data, err)
				}
				var closed *socket.CloseError
				if _, err = c.Read(); !errors.As(err, &closed) || closed.Code != 1001 || !c.PeerGone() {
					t.Errorf("ended with %v, peer gone: %v", err, c.PeerGone())
				}
				c.Close()
				if got := r.tunnels(); !slices.Equal(got, []tunnel{{"127.0.0.1", want}}) || r.accepted.Load() != 1 {
					t.Errorf("%s: %q on %d connections", scheme, got, r.accepted.Load())
				}
			}
		}
	}
}

func TestACertificateIsCheckedThroughTheProxyToo(t *testing.T) {
	upstream := startUpstream(t, true)
	r := startRelay(t, "http", upstream.Listener.Addr().String(), false)
	_, err := socket.Dial(t.Context(), socket.Options{
		URL: "wss://other.example", Proxy: parse(t, r.url("http")), TLS: rootsOf(upstream.Client()),
	})
	if cause.Of(err) != cause.TLS {
		t.Errorf("%v", err)
	}
}

func TestHTTPGoesTheSameWay(t *testing.T) {
	upstream := startUpstream(t, true)
	for _, scheme := range []string{"http", "socks5"} {
		r := startRelay(t, scheme, upstream.Listener.Addr().String(), true)
		client := http.Client{Transport: &http.Transport{
			DialContext: parse(t, r.url(scheme)).Through(new(net.Dialer).DialContext), TLSClientConfig: rootsOf(upstream.Client()),
		}}
		answer, err := client.Get("https://example.com/page")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		client.CloseIdleConnections()
		if got := r.tunnels(); string(body) != "plain hello" || !slices.Equal(got, []tunnel{{"127.0.0.1", "example.com:443"}}) {
			t.Errorf("%s: %q by way of %q", scheme, body, got)
		}

		wrong := parse(t, scheme+"://nobody:nothing@"+r.Addr().String())
		client.Transport.(*http.Transport).DialContext = wrong.Through(new(net.Dialer).DialContext)
		_, err = client.Get("https://example.com/page")
		if !errors.As(err, new(*proxy.RefusedError)) || strings.Contains(err.Error(), "noth") || strings.Contains(err.Error(), "nobo") {
			t.Errorf("%v", err)
		}
	}
}

func TestTheProxyIsDialledFromTheLocalAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux answers on all of 127.0.0.0/8")
	}
	r := startRelay(t, "http", startUpstream(t, false).Listener.Addr().String(), false)
	c, err := socket.Dial(t.Context(), socket.Options{
		URL: "ws://example.com", Proxy: parse(t, r.url("http")), Local: netip.MustParseAddr("127.0.0.2"),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := r.tunnels(); !slices.Equal(got, []tunnel{{"127.0.0.2", "example.com:80"}}) {
		t.Errorf("opened %q", got)
	}
}

// What a SOCKS proxy says before a test's own words, where it wants a user.
const socksHello = "\x05\x02" + "\x01\x00"

func TestAProxyThatOpensNoTunnelSaysWhy(t *testing.T) {
	secret := user + " " + password + " " + userInfo + " c29tZWJvZHk6cEBzczp3L3JkJQ=="
	for name, test := range map[string]struct {
		scheme, answer string // followed by FIN
		refused        bool
		cause          cause.Cause
		text           string
	}{
		"407":              {"http", "HTTP/1.1 407 " + secret + "\r\nProxy-Authenticate: Basic " + secret + "\r\n\r\n" + secret, true, cause.Refused, "407 Proxy Authentication Required"},
		"403":              {"http", "HTTP/1.0 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", true, cause.Refused, "403 Forbidden"},
		"502":              {"http", "HTTP/1.1 502 Bad Gateway\n\n", true, cause.Refused, "502 Bad Gateway"},
		"599":              {"http", "HTTP/1.1 599 " + secret + "\r\n\r\n", true, cause.Refused, "it answered 599"},
		"101":              {"http", "HTTP/1.1 101 Switching Protocols\r\n\r\n", true, cause.Refused, "101 Switching Protocols"},
		"302":              {"http", "HTTP/1.1 302 Found\r\nLocation: http://" + userInfo + "h/\r\n\r\n", true, cause.Refused, "302 Found"},
		"103 and 503":      {"http", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n", true, cause.Refused, "503 Service"},
		"garbage":          {"http", secret + "\r\n\r\n", true, cause.Refused, "not HTTP"},
		"no status":        {"http", "HTTP/1.1 " + secret + "\r\n\r\n", true, cause.Refused, "not HTTP"},
		"bad header":       {"http", "HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n", true, cause.Refused, "not HTTP"},
		"endless line":     {"http", "HTTP/1.1 200 " + strings.Repeat("a", 70<<10), true, cause.Refused, "64 KiB"},
		"endless header":   {"http", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Y: "+secret+"\r\n", 2000), true, cause.Refused, "64 KiB"},
		"endless patience": {"http", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 4000), true, cause.Refused, "64 KiB"},
		"nothing":          {"http", "", false, cause.Reset, "unexpected EOF"},
		"half a head":      {"http", "HTTP/1.1 200 OK\r\nVia: " + secret, false, cause.Reset, "unexpected EOF"},
		"SOCKS at HTTP":    {"socks5", "HTTP/1.1 400 Bad Request\r\n\r\n", true, cause.Refused, "unexpected protocol version"},
		"no method":        {"socks5", "\x05\xff", true, cause.Refused, "no acceptable authentication methods"},
		"wrong user":       {"socks5", "\x05\x02\x01\x01", true, cause.Refused, "authentication failed"},
		"not allowed":      {"socks5", socksHello + "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", true, cause.Refused, "not allowed by ruleset"},
		"unreachable":      {"socks5", socksHello + "\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00", true, cause.Refused, "no tunnel: host unreachable"},
		"SOCKS nothing":    {"socks5", "", false, cause.Reset, "unexpected EOF"},
		"half a reply":     {"socks5", socksHello + "\x05\x00\x00\x01\x00", false, cause.Reset, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t, func(conn net.Conn) {
				io.WriteString(conn, test.answer)
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn) // to our FIN: no RST on top of the answer
				conn.Close()
			})
			p := parse(t, test.scheme+"://"+userInfo+s.Addr().String())
			_, err := socket.Dial(t.Context(), socket.Options{URL: "wss://example.com", Proxy: p})
			if errors.As(err, new(*proxy.RefusedError)) != test.refused || errors.Is(err, syscall.ECONNREFUSED) != test.refused ||
				cause.Of(err) != test.cause || cause.Unopened(err) != test.refused {
				t.Fatalf("%s, unopened %v: %v", cause.Of(err), cause.Unopened(err), err)
			}
			text := err.Error()
			if holdsSecret(text) || !strings.Contains(text, "proxy "+p.String()+": ") || !strings.Contains(text, test.text) {
				t.Errorf("says %s", upTo(text))
			}
		})
	}
}

func TestAProxyThatIsNotThereIsRefused(t *testing.T) {
	s := listen(t, func(net.Conn) {})
	s.Close()
	p := parse(t, "http://"+userInfo+s.Addr().String())
	_, err := socket.Dial(t.Context(), socket.Options{URL: "wss://example.com", Proxy: p})
	if cause.Of(err) != cause.Refused || !cause.Unopened(err) || !strings.Contains(err.Error(), "proxy") || holdsSecret(err.Error()) {
		t.Errorf("%v", err)
	}
}

func TestAResetOfTheProxyIsAReset(t *testing.T) {
	s := listen(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1))
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	})
	for _, scheme := range []string{"http", "socks5"} {
		p := parse(t, scheme+"://"+s.Addr().String())
		_, err := socket.Dial(t.Context(), socket.Options{URL: "wss://example.com", Proxy: p})
		if cause.Of(err) != cause.Reset || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v", err)
		}
	}
}

func TestTheTunnelBeginsWhereTheAnswerEnds(t *testing.T) {
	for scheme, answer := range map[string]string{
		"http":   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
		"socks5": "\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01",
	} {
		s := listen(t, func(conn net.Conn) {
			io.WriteString(conn, answer+"\n\r\n\x81\x05hello") // one segment
		})
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		tunnel, err := parse(t, scheme+"://"+s.Addr().String()).Open(t.Context(), conn, "example.com:443")
		if err != nil || tunnel != conn {
			t.Fatalf("%T: %v", tunnel, err)
		}
		got := make([]byte, 10)
		if _, err := io.ReadFull(tunnel, got); err != nil || string(got) != "\n\r\n\x81\x05hello" {
			t.Errorf("%s: %q, %v", scheme, got, err)
		}
	}
}

func TestAnAddressIsSentAsItIs(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		for _, target := range []string{"192.0.2.1:443", "[2001:db8::1]:443"} {
			r := startRelay(t, scheme, startUpstream(t, false).Listener.Addr().String(), false)
			c, err := socket.Dial(t.Context(), socket.Options{URL: "ws://" + target, Proxy: parse(t, r.url(scheme))})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if got := r.tunnels(); !slices.Equal(got, []tunnel{{"127.0.0.1", target}}) {
				t.Errorf("%s: opened %q", scheme, got)
			}
		}
	}
}

// silent is a proxy in memory that takes what it is told and says begin, then nothing.
func silent(t *testing.T, begin string) (conn net.Conn) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	go func() {
		br := bufio.NewReader(theirs)
		br.ReadByte()
		go io.Copy(io.Discard, br)
		io.WriteString(theirs, begin)
	}()
	return ours
}

func TestAProxyThatHangsCostsTheTimeOfTheDial(t *testing.T) {
	for name, begin := range map[string]string{
		"http": "", "http, half a head": "HTTP/1.1 200 OK\r\n", "http, 100": "HTTP/1.1 100 Continue\r\n\r\n",
		"socks5": "", "socks5, half a reply": "\x05\x00\x05\x00",
	} {
		scheme, _, _ := strings.Cut(name, ",")
		synctest.Test(t, func(t *testing.T) {
			conn := silent(t, begin)
			began := time.Now()
			_, err := socket.Dial(t.Context(), socket.Options{
				URL: "wss://example.com", Timeout: 7 * time.Second, Proxy: parse(t, scheme+"://"+userInfo+"proxy.example"),
				DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
					if !strings.HasPrefix(address, "proxy.example:") {
						t.Errorf("%s was dialled", address)
					}
					return conn, nil
				},
			})
			took := time.Since(began)
			if took != 7*time.Second || !errors.Is(err, context.DeadlineExceeded) || cause.Of(err) != cause.Timeout {
				t.Errorf("%s: %v after %v", name, err, took)
			}
			if _, err := conn.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: the connection was left open: %v", name, err)
			}
		})
	}
}

func TestADialThatIsGivenUpLeavesTheProxyAtOnce(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		synctest.Test(t, func(t *testing.T) {
			conn := silent(t, "")
			ctx, cancel := context.WithCancel(t.Context())
			began := time.Now()
			time.AfterFunc(time.Second, cancel)
			p := parse(t, scheme+"://proxy.example")
			dial := p.Through(func(context.Context, string, string) (net.Conn, error) { return conn, nil })
			_, err := dial(ctx, "tcp", "example.com:443")
			if took := time.Since(began); took != time.Second || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v after %v", scheme, err, took)
			}
			if _, err := conn.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: the connection was left open: %v", scheme, err)
			}
		})
	}
}
