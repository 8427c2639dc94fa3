package proxy_test

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"feedmux/internal/proxy"
)

// server listens on loopback and hands each connection to serve, which may leave it open: the test's end closes it.
type server struct {
	net.Listener
	accepted atomic.Int64 // connections
	serving  sync.WaitGroup

	mu   sync.Mutex
	open []net.Conn
}

func listen(t *testing.T, serve func(net.Conn)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l}
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			s.keep(conn)
			s.serving.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, conn := range s.open {
			conn.Close()
		}
		s.mu.Unlock()
		s.serving.Wait()
	})
	return s
}

func (s *server) keep(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, conn)
}

// relay is a proxy that does its work. Whatever it is asked for, it connects to its target.
type relay struct {
	*server
	user bool // it asks for the user of the tests

	tunnelsMu sync.Mutex
	opened    []tunnel
}

type tunnel struct{ from, to string } // an address, and the host:port that was asked for

func (r *relay) tunnels() []tunnel {
	r.tunnelsMu.Lock()
	defer r.tunnelsMu.Unlock()
	return slices.Clone(r.opened)
}

func startRelay(t *testing.T, scheme, target string, user bool) *relay {
	t.Helper()
	r := &relay{user: user}
	open := r.openHTTP
	if scheme == "socks5" {
		open = r.openSOCKS
	}
	r.server = listen(t, func(conn net.Conn) {
		defer conn.Close()
		asked, err := open(conn)
		if err != nil {
			return
		}
		r.tunnelsMu.Lock()
		r.opened = append(r.opened, tunnel{conn.RemoteAddr().(*net.TCPAddr).IP.String(), asked})
		r.tunnelsMu.Unlock()
		upstream, err := net.Dial("tcp", target)
		if err != nil {
			t.Error(err)
			return
		}
		r.keep(upstream)
		defer upstream.Close()
		r.serving.Go(func() {
			io.Copy(upstream, conn)
			upstream.(*net.TCPConn).CloseWrite()
		})
		io.Copy(conn, upstream)
		conn.(*net.TCPConn).CloseWrite()
	})
	return r
}

// url is what a feed's configuration would say.
func (r *relay) url(scheme string) string {
	info := ""
	if r.user {
		info = userInfo
	}
	return scheme + "://" + info + r.Addr().String()
}

func (r *relay) openHTTP(conn net.Conn) (hostport string, err error) {
	// Nothing follows the request before it is answered, so the buffer holds nothing else.
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return "", err
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	switch {
	case request.Method != http.MethodConnect || request.Host != request.RequestURI:
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		return "", errors.New("no CONNECT")
	case r.user && request.Header.Get("Proxy-Authorization") != want:
		io.WriteString(conn, "HTTP/1.1 407 Who are you\r\n\r\n")
		return "", errors.New("wrong user")
	case !r.user && len(request.Header) > 0:
		return "", fmt.Errorf("headers %v", request.Header)
	}
	_, err = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
	return request.RequestURI, err
}

// openSOCKS is RFC 1928 and 1929 as a server sees them.
func (r *relay) openSOCKS(conn net.Conn) (hostport string, err error) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, e := io.ReadFull(conn, b); e != nil && err == nil {
			err = e
		}
		return b
	}
	methods := read(int(read(2)[1]))
	if !r.user {
		conn.Write([]byte{5, 0})
	} else if !slices.Contains(methods, 2) {
		conn.Write([]byte{5, 0xff})
		return "", errors.New("no user")
	} else {
		conn.Write([]byte{5, 2})
		name := read(int(read(2)[1]))
		word := read(int(read(1)[0]))
		if string(name) != user || string(word) != password {
			conn.Write([]byte{1, 1})
			return "", errors.New("wrong user")
		}
		conn.Write([]byte{1, 0})
	}
	host := ""
	switch request := read(4); request[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(16)).String()
	}
	port := binary.BigEndian.Uint16(read(2))
	if err != nil {
		return "", err
	}
	_, err = conn.Write([]byte{5, 0, 0, 3, 4, 'h', 'o', 's', 't', 0, 1})
	return net.JoinHostPort(host, fmt.Sprint(port)), err
}

// startUpstream is a WebSocket server that says hello and closes. Its certificate is for example.com.
func startUpstream(t *testing.T, secure bool) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			io.WriteString(w, "plain hello")
			return
		}
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Errorf("upgrading: %v", err)
			return
		}
		defer conn.Close()
		ws.WriteFrame(conn, ws.NewTextFrame([]byte("hello")))
		ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")))
		conn.Read(make([]byte, 64)) // the answer to it
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func parse(t *testing.T, rawURL string) proxy.Proxy {
	t.Helper()
	p, err := proxy.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// upTo shortens what a failed test prints.
func upTo(s string) string { return strings.ToValidUTF8(s[:min(len(s), 300)], "") }
