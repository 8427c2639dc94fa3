package socket

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"
)

// overTCP connects through loopback; a proxy among the options listens there too. Waits here are for real bytes, never for time to pass.
func overTCP(t *testing.T, o Options) (*Conn, *peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	result := make(chan *peer, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			close(result)
			return
		}
		p, _ := upgrade(conn)
		result <- p
	}()
	o.URL = "ws://" + l.Addr().String()
	if p, ok := o.Proxy.(*aside); ok {
		p.address, o.URL = l.Addr().String(), "ws://feed.example"
	}
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p := <-result
	t.Cleanup(func() {
		c.Close()
		p.Close()
	})
	if c.RemoteAddr() != l.Addr().String() {
		t.Errorf("RemoteAddr is %s", c.RemoteAddr())
	}
	return c, p
}

func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func TestPeerGoneTellsFINAndRST(t *testing.T) {
	isReset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	isNoClose := func(err error) bool { return errors.Is(err, ErrNoClose) }
	isClosed := func(err error) bool { return endOf(err) == "closed 1001" }
	for name, test := range map[string]struct {
		end  func(c *Conn, p *peer)
		want func(error) bool
		gone bool
	}{
		"FIN":             {func(_ *Conn, p *peer) { p.Close() }, isNoClose, true},
		"RST":             {func(_ *Conn, p *peer) { reset(p.Conn) }, isReset, true},
		"half-close":      {func(_ *Conn, p *peer) { p.Conn.(*net.TCPConn).CloseWrite() }, isNoClose, true},
		"Close, then FIN": {func(_ *Conn, p *peer) { p.Write(closeFrame(1001, "")); p.Close() }, isClosed, true},
		"Close, then RST after our answer": {func(_ *Conn, p *peer) {
			p.Write(closeFrame(1001, ""))
			readClientFrame(p.br)
			reset(p.Conn)
		}, isClosed, true},
		"our Close answered": {func(c *Conn, p *peer) {
			c.Leave(1000, "")
			readClientFrame(p.br)
			p.Write(closeFrame(1001, ""))
			p.Close()
		}, isClosed, true},
		"Abort": {func(c *Conn, _ *peer) { c.Abort() }, func(err error) bool { return errors.Is(err, ErrAborted) }, false},
		"Close": {func(c *Conn, _ *peer) { c.Close() }, func(err error) bool { return errors.Is(err, net.ErrClosed) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := overTCP(t, Options{})
			wait := reading(t, c)
			p.send(t, frame(0x81, "a"))
			test.end(c, p)
			messages, _, err := wait()
			if !test.want(err) || c.PeerGone() != test.gone {
				t.Errorf("%v, peer gone: %v", err, c.PeerGone())
			}
			// RST, Abort and our own Close may overtake the message.
			if test.gone && name != "RST" && !slices.Equal(messages, []string{"text a"}) {
				t.Errorf("read %q", messages)
			}
		})
	}
}

func TestAnEndOfFileAfterAnotherErrorIsNoFIN(t *testing.T) {
	c, p := overTCP(t, Options{})
	c.wire.note(syscall.ETIMEDOUT, false) // a write met it first, so the kernel shows the reader an end of file
	p.Close()
	if _, err := c.Read(); !errors.Is(err, ErrNoClose) || c.PeerGone() {
		t.Errorf("%v, peer gone: %v", err, c.PeerGone())
	}
}

func TestAbortSendsRST(t *testing.T) {
	c, p := overTCP(t, Options{})
	c.Abort()
	if _, err := io.ReadAll(p.br); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer saw %v", err)
	}
}

func TestCloseAfterTheEndSendsFIN(t *testing.T) {
	c, p := overTCP(t, Options{})
	p.send(t, closeFrame(1000, ""))
	p.Conn.(*net.TCPConn).CloseWrite()
	c.Read()
	c.Close()
	if f, err := readClientFrame(p.br); err != nil || f.String() != "close 1000" {
		t.Errorf("%v, %v", f, err)
	}
	if _, err := io.ReadAll(p.br); err != nil {
		t.Errorf("the peer saw %v", err)
	}
}

func TestADialThatIsRefusedSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = Dial(t.Context(), Options{URL: "ws://" + l.Addr().String()})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%T: %v", err, err)
	}
}

func TestEachAttemptTakesTheNextAddress(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	for attempt, want := range []string{"2001:db8::1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.1"} {
		if got := choose(addrs, attempt); got != want {
			t.Errorf("attempt %d: %s, want %s", attempt, got, want)
		}
	}
	choose(addrs, -1) // does not panic
}

func TestAClientCertificateThatIsMissingIsATLSError(t *testing.T) {
	// From TLS 1.3 on the refusal comes after our side of the handshake.
	cert, roots := testCertificate(t, "feed.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			conn.(*tls.Conn).Handshake()
			conn.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn.(*tls.Conn).NetConn()) // no RST on top of the alert
			conn.Close()
		}
	}()
	config := &tls.Config{RootCAs: roots, ServerName: "feed.example"}
	_, err = Dial(t.Context(), Options{URL: "wss://" + l.Addr().String(), TLS: config})
	var alert tls.AlertError
	if !errors.As(err, new(*TLSError)) || !errors.As(err, &alert) || alert != 116 { // certificate_required
		t.Errorf("%T: %v", err, err)
	}
	if config.NextProtos != nil || config.MinVersion != 0 {
		t.Error("the configuration was changed")
	}
}

func TestAResetInTheTLSHandshakeIsAReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Read(make([]byte, 1))
			reset(conn)
		}
	}()
	_, err = Dial(t.Context(), Options{URL: "wss://" + l.Addr().String()})
	if !errors.Is(err, syscall.ECONNRESET) || errors.As(err, new(*TLSError)) {
		t.Errorf("%T: %v", err, err)
	}
}
