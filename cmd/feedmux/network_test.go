package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"feedmux/internal/sim/twitch"
	simulated "feedmux/internal/sim/upstream"
)

// tunnels is a proxy that connects every name to one address.
type tunnels struct {
	addr string
	mu   sync.Mutex
	asks []string // what was asked for: "USER from HOST to TARGET"
}

// tunnel starts a proxy for CONNECT that ends with the test.
func tunnel(t *testing.T, to string) *tunnels {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tunnels{addr: l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c, to) })
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return p
}

func (p *tunnels) serve(c net.Conn, to string) {
	defer c.Close()
	br := bufio.NewReader(c)
	r, err := http.ReadRequest(br)
	if err != nil || r.Method != http.MethodConnect {
		return
	}
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	p.mu.Lock()
	p.asks = append(p.asks, fmt.Sprintf("%s from %s to %s", r.Header.Get("Proxy-Authorization"), host, r.Host))
	p.mu.Unlock()
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { io.Copy(up, br); up.(*net.TCPConn).CloseWrite() }() // ends with up
	io.Copy(c, up)
}

func (p *tunnels) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asks
}

// The name of the upstream is one that only the proxy knows, its certificate is of an authority of its own, and for another name.
func TestAFeedGoesThroughItsProxyFromItsAddressToItsAuthority(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 on loopback")
	}
	certificate, authority := authority(t)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := twitch.NewPubSub(twitch.PubSubOptions{Options: simulated.Options{Rate: 50}})
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		up.Serve(ctx, tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	proxy := tunnel(t, plain.Addr().String())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(authority), 0o600); err != nil {
		t.Fatal(err)
	}

	d, _ := startDaemon(t, fmt.Sprintf(`
[nats.embedded]
listen = "127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
[[feed]]
name = "far"
protocol = "twitch-pubsub"
url = "wss://upstream.invalid"
topics = ["raid.1", "raid.2"]
proxy = "http://anna:planted@%s"
local_address = "127.0.0.2"
tls = { ca_file = %q, server_name = "127.0.0.1" }
`, proxy.addr, ca))
	s := subscribe(t, "nats://"+d.NATSAddr().String())
	eventually(t, "its topics are confirmed", func() bool { return confirmed(t, d) == 2 })
	eventually(t, "an event", func() bool { return s.received() > 0 })

	asked := proxy.asked()
	if len(asked) != 1 || asked[0] != "Basic YW5uYTpwbGFudGVk from 127.0.0.2 to upstream.invalid:443" {
		t.Errorf("the proxy was asked: %q", asked)
	}
	_, status := get(t, d, "/api/status?ledger=1")
	if strings.Contains(status, "planted") || !strings.Contains(status, "127.0.0.2") || !strings.Contains(status, proxy.addr) {
		t.Errorf("the account does not say where connections come from and go through, or too much: %s", status)
	}
}
