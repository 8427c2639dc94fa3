package socket

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// aside is a proxy that needs no words: who connects to it is in the tunnel, unless it has an error.
type aside struct {
	address string
	err     error
	asked   []string
}

func (a *aside) Address() string   { return a.address }
func (a *aside) Secrets() []string { return []string{"proxy-password"} }

func (a *aside) Open(_ context.Context, conn net.Conn, hostport string) (net.Conn, error) {
	a.asked = append(a.asked, hostport)
	return conn, a.err
}

func TestADialThroughAProxyOpensOneSocketToIt(t *testing.T) {
	for _, url := range []string{"ws://feed.example", "ws://feed.example:80/x"} {
		ours, theirs := pair(t)
		defer theirs.Close()
		var dialled []string
		p := &aside{address: "proxy.example:1080"}
		go upgrade(theirs)
		c, err := Dial(t.Context(), Options{URL: url, Proxy: p, DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return ours, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(append(dialled, p.asked...), " "); got != "proxy.example:1080 feed.example:80" {
			t.Errorf("%s", got)
		}
		if c.wire.Conn != ours {
			t.Errorf("the wire is a %T", c.wire.Conn)
		}
		c.Abort()
		if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the proxy saw %v", err)
		}
	}
}

func TestAProxyThatRefusesGetsOurFIN(t *testing.T) {
	ours, theirs := pair(t)
	defer theirs.Close()
	no := errors.New("the proxy says no")
	_, err := Dial(t.Context(), Options{URL: "wss://feed.example", Proxy: &aside{err: no}, DialContext: over(ours)})
	if !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	theirs.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the proxy saw %v", err)
	}
}

func TestWordsOfTheProxyInTheTunnelShowNoneOfItsSecrets(t *testing.T) {
	ours, theirs := pair(t)
	go func() {
		readRequest(bufio.NewReader(theirs))
		io.WriteString(theirs, "HTTP/1.1 403 No\r\nContent-Length: 29\r\n\r\nno: proxy-password and tok-en")
		theirs.Close()
	}()
	secrets := []string{"tok-en"}
	_, err := Dial(t.Context(), Options{URL: "ws://feed.example", Proxy: &aside{}, Secrets: secrets, DialContext: over(ours)})
	var refused *HandshakeError
	if !errors.As(err, &refused) || refused.Body != "no: [hidden] and [hidden]" {
		t.Errorf("%v: %+v", err, refused)
	}
}

func TestAProxyThatIsNotThereIsToldFromTheTarget(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p := &aside{address: l.Addr().String()}
	_, err = Dial(t.Context(), Options{URL: "ws://feed.example", Proxy: p})
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "dialling the proxy: ") || p.asked != nil {
		t.Errorf("%v", err)
	}
}

func TestADialComesFromItsLocalAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux answers on all of 127.0.0.0/8")
	}
	for _, local := range []string{"127.0.0.2", "::ffff:127.0.0.2"} {
		for _, proxied := range []bool{false, true} {
			o := Options{Local: netip.MustParseAddr(local)}
			if proxied {
				o.Proxy = &aside{}
			}
			_, p := overTCP(t, o)
			if from := p.RemoteAddr().(*net.TCPAddr).IP.String(); from != "127.0.0.2" {
				t.Errorf("from %s: came from %s", local, from)
			}
		}
	}
}

func TestALocalAddressThatReachesNothingSaysSo(t *testing.T) {
	for _, test := range []struct{ local, url, want string }{
		{"127.0.0.1", "ws://[::1]:1", "lookup ::1: no IPv4 address, the only kind that can be dialled from 127.0.0.1"},
		{"::1", "ws://127.0.0.1:1", "lookup 127.0.0.1: no IPv6 address, the only kind that can be dialled from ::1"},
	} {
		_, err := Dial(t.Context(), Options{URL: test.url, Local: netip.MustParseAddr(test.local)})
		if !errors.As(err, new(*net.DNSError)) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%T: %v", err, err)
		}
	}
}

func TestALocalAddressOfAnotherMachineIsAnError(t *testing.T) {
	_, err := Dial(t.Context(), Options{URL: "ws://127.0.0.1:1", Local: netip.MustParseAddr("192.0.2.1")})
	if !errors.Is(err, syscall.EADDRNOTAVAIL) || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("%v", err)
	}
}
