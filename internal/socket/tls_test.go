package socket

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim"
)

// openTLS connects over TLS and a net.Pipe. The server's side of TLS is returned too.
func openTLS(t *testing.T) (*Conn, *peer, *tls.Conn) {
	t.Helper()
	cert, roots := testCertificate(t, "feed.example", year2000.AddDate(-1, 0, 0), year2000.AddDate(1, 0, 0))
	ours, theirs := net.Pipe()
	result := make(chan *peer, 1)
	server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})
	go func() {
		p, err := upgrade(server)
		if err != nil {
			t.Errorf("upgrading: %v", err)
		}
		result <- p
	}()
	c, err := Dial(t.Context(), Options{URL: "wss://feed.example/", DialContext: over(ours), TLS: &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Abort()
		theirs.Close()
	})
	return c, <-result, server
}

func TestTLSCarriesTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, server := openTLS(t)
		if state := server.ConnectionState(); state.NegotiatedProtocol != "http/1.1" || state.ServerName != "feed.example" {
			t.Errorf("%q for %q", state.NegotiatedProtocol, state.ServerName)
		}
		p.listen(true)
		go p.Write(slices.Concat(frame(0x81, "hello"), frame(0x82, sized(60_000)), closeFrame(1012, "restart")))
		if err := c.Write(Text, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		messages, err := readAll(t, c)
		if want := []string{"text hello", show(Binary, sized(60_000))}; !slices.Equal(messages, want) || endOf(err) != "closed 1012 restart" {
			t.Errorf("read %q, then %v", messages, err)
		}
		if !c.PeerGone() {
			t.Error("the FIN was not seen")
		}
		c.Close()
		<-p.done
		if want := []string{"text hi", "close 1012"}; !slices.Equal(p.said(), want) {
			t.Errorf("client said %q", p.said())
		}
	})
}

// privateCA makes a certificate authority of its own and a certificate for name that it signed.
func privateCA(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	authority, roots := testCertificate(t, "authority", from, to)
	parent, err := x509.ParseCertificate(authority.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, authority.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestAPrivateCAAndAServerNameAreHonoured(t *testing.T) {
	cert, roots := privateCA(t, "inner.example")
	for name, test := range map[string]struct {
		config *tls.Config
		good   bool
	}{
		"both":                 {&tls.Config{RootCAs: roots, ServerName: "inner.example"}, true},
		"the host's name":      {&tls.Config{RootCAs: roots}, false},
		"another name":         {&tls.Config{RootCAs: roots, ServerName: "other.example"}, false},
		"the system's roots":   {&tls.Config{ServerName: "inner.example"}, false},
		"no configuration":     {nil, false},
		"no verification":      {&tls.Config{ServerName: "inner.example", InsecureSkipVerify: true}, false},
		"an old version asked": {&tls.Config{RootCAs: roots, ServerName: "inner.example", MinVersion: tls.VersionTLS10}, true},
	} {
		ours, theirs := pair(t)
		server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
		var serving sync.WaitGroup
		serving.Go(func() {
			upgrade(server)
			io.Copy(io.Discard, theirs)
			theirs.Close()
		})
		c, err := Dial(t.Context(), Options{URL: "wss://feed.example/", DialContext: over(ours), TLS: test.config})
		if err == nil {
			state := server.ConnectionState()
			if state.ServerName != "inner.example" || state.Version < tls.VersionTLS12 {
				t.Errorf("%s: %q by version %x", name, state.ServerName, state.Version)
			}
			c.Close()
		}
		if test.good != (err == nil) || !test.good && !errors.As(err, new(*tls.CertificateVerificationError)) {
			t.Errorf("%s: %v", name, err)
		}
		serving.Wait()
	}
}

func TestTheEndOfTLSIsNotTheFIN(t *testing.T) {
	for _, fin := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, _, server := openTLS(t)
			wait, began := reading(t, c), time.Now()
			server.CloseWrite()
			want := closeTime
			if fin {
				want = time.Second
				time.Sleep(want)
				server.NetConn().Close()
			}
			if _, ended, err := wait(); !errors.Is(err, ErrNoClose) || c.PeerGone() != fin || ended.Sub(began) != want {
				t.Errorf("%v after %v, peer gone: %v", err, ended.Sub(began), c.PeerGone())
			}
		})
	}
}

func TestClosingTLSTakesOneSecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := openTLS(t) // nobody reads there
		wait, began := reading(t, c), time.Now()
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() { c.Close() })
		}
		closers.Wait()
		wait()
		if took := time.Since(began); took != hurryTime {
			t.Errorf("took %v", took)
		}
	})
}

func TestAFailedHandshakeOverTLSIsNotHeldUpByTheGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, roots := testCertificate(t, "feed.example", year2000.AddDate(-1, 0, 0), year2000.AddDate(1, 0, 0))
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() {
			server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
			buf := make([]byte, 1<<10)
			server.Read(buf)
			io.WriteString(server, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
		}()
		began := time.Now()
		_, err := Dial(t.Context(), Options{URL: "wss://feed.example/", DialContext: over(ours), TLS: &tls.Config{RootCAs: roots}})
		if !errors.As(err, new(*HandshakeError)) || time.Since(began) > refusalEnd+hurryTime {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// testCertificate makes a certificate for name, signed by itself, and a pool that trusts it.
func testCertificate(t *testing.T, name string, from, to time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

var year2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when bubbles begin

// kinds of a failed TLS handshake that a caller can tell apart, each by errors.As or errors.Is alone.
var tlsKinds = map[string]func(error) bool{
	"expired": func(err error) bool {
		var invalid x509.CertificateInvalidError
		return errors.As(err, &invalid) && invalid.Reason == x509.Expired
	},
	"wrong name":   as[x509.HostnameError],
	"unknown CA":   as[x509.UnknownAuthorityError],
	"not TLS":      as[tls.RecordHeaderError],
	"alert":        as[tls.AlertError],
	"timeout":      func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
	"reset":        func(err error) bool { return errors.Is(err, syscall.ECONNRESET) },
	"no close":     func(err error) bool { return errors.Is(err, ErrNoClose) },
	"verification": as[*tls.CertificateVerificationError],
	"TLS":          as[*TLSError],
	"rejected":     as[*RejectedError],
}

func as[E error](err error) bool { return errors.As(err, new(E)) }

func tlsKindsOf(err error) (kinds []string) {
	for name, is := range tlsKinds {
		if is(err) {
			kinds = append(kinds, name)
		}
	}
	slices.Sort(kinds)
	return kinds
}

func TestGroupGTLSFailuresKeepTheirTypes(t *testing.T) {
	good, trusted := testCertificate(t, "feed.example", year2000.AddDate(-1, 0, 0), year2000.AddDate(1, 0, 0))
	other, otherTrusted := testCertificate(t, "other.example", year2000.AddDate(-1, 0, 0), year2000.AddDate(1, 0, 0))
	old, oldTrusted := testCertificate(t, "feed.example", year2000.AddDate(-2, 0, 0), year2000.AddDate(-1, 0, 0))
	young, youngTrusted := testCertificate(t, "feed.example", year2000.AddDate(1, 0, 0), year2000.AddDate(2, 0, 0))
	serve := func(c *tls.Config, certs ...tls.Certificate) func(*sim.Conn) {
		c.Certificates = certs
		return func(conn *sim.Conn) { tls.Server(conn, c).Handshake() }
	}
	say := func(b ...byte) func(*sim.Conn) { // after the ClientHello
		return func(conn *sim.Conn) {
			conn.Read(make([]byte, 16<<10))
			conn.Write(b)
		}
	}
	// A server from before TLS 1.2 that does not know how versions are offered since, and answers with its own.
	old11 := append([]byte{22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2}, make([]byte, 32)...)
	old11 = append(old11, 0, 0xc0, 0x13, 0)
	for name, test := range map[string]struct {
		serve func(*sim.Conn) // FIN follows
		roots *x509.CertPool
		kinds []string
		alert tls.AlertError
	}{
		"expired":            {serve(&tls.Config{}, old), oldTrusted, []string{"TLS", "expired", "verification"}, 0},
		"not valid yet":      {serve(&tls.Config{}, young), youngTrusted, []string{"TLS", "expired", "verification"}, 0},
		"wrong name":         {serve(&tls.Config{}, other), otherTrusted, []string{"TLS", "verification", "wrong name"}, 0},
		"unknown CA":         {serve(&tls.Config{}, good), otherTrusted, []string{"TLS", "unknown CA", "verification"}, 0},
		"TLS 1.1 only":       {serve(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, good), trusted, []string{"TLS", "alert"}, 70},
		"TLS 1.1, old style": {say(old11...), trusted, []string{"TLS"}, 0},
		"ALPN h2 only":       {say(21, 3, 3, 0, 2, 2, 120), trusted, []string{"TLS", "alert"}, 120},
		"ALPN imap only":     {serve(&tls.Config{NextProtos: []string{"imap"}}, good), trusted, []string{"TLS", "alert"}, 120},
		"h2 without ALPN": {func(conn *sim.Conn) {
			server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"h2"}})
			server.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\r\n"))
		}, trusted, []string{"rejected"}, 0}, // SETTINGS and GOAWAY
		"no certificate":    {serve(&tls.Config{}), trusted, []string{"TLS", "alert"}, 112},
		"alert":             {say(21, 3, 3, 0, 2, 2, 40), trusted, []string{"TLS", "alert"}, 40},
		"alert of zero":     {say(21, 3, 3, 0, 2, 1, 0), trusted, []string{"no close"}, 0}, // close_notify
		"warnings for ever": {say(bytes.Repeat([]byte{21, 3, 3, 0, 2, 1, 90}, 5000)...), trusted, []string{"TLS"}, 0},
		"plaintext": {func(conn *sim.Conn) {
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\nThe plain HTTP request was sent to HTTPS port")
			conn.Read(make([]byte, 16<<10))
		}, trusted, []string{"TLS", "not TLS"}, 0},
		"WebSocket without TLS": {say(frame(0x81, "hello")...), trusted, []string{"TLS", "not TLS"}, 0},
		"nonsense in a record":  {say(append([]byte{22, 3, 3, 0, 200}, make([]byte, 200)...)...), trusted, []string{"TLS"}, 0},
		"endless hello": {func(conn *sim.Conn) {
			conn.Write([]byte{22, 3, 3, 0x40, 0, 2, 0, 0xff, 0xff})
			conn.Write(make([]byte, 0x4000-4))
			for {
				if _, err := conn.Write(append([]byte{22, 3, 3, 0x40, 0}, make([]byte, 0x4000)...)); err != nil {
					return
				}
			}
		}, trusted, []string{"rejected"}, 0},
		"stall after ClientHello": {func(conn *sim.Conn) {
			conn.Read(make([]byte, 16<<10))
			time.Sleep(time.Hour)
		}, trusted, []string{"timeout"}, 0},
		"stall before it": {func(*sim.Conn) { time.Sleep(time.Hour) }, trusted, []string{"timeout"}, 0},
		"stall in ServerHello": {func(conn *sim.Conn) {
			say(22, 3, 3, 0, 122, 2, 0)(conn)
			time.Sleep(time.Hour)
		}, trusted, []string{"timeout"}, 0},
		"RST": {func(conn *sim.Conn) {
			conn.Read(make([]byte, 16<<10))
			conn.Reset()
		}, trusted, []string{"reset"}, 0},
		"FIN":                {say(), trusted, []string{"no close"}, 0},
		"FIN in ServerHello": {say(22, 3, 3, 0, 122, 2, 0), trusted, []string{"no close"}, 0},
	} {
		inEveryChop(t, name, func(t *testing.T, how string) {
			ours, theirs := pair(t)
			var serving sync.WaitGroup
			defer serving.Wait()
			serving.Go(func() {
				test.serve(theirs)
				theirs.CloseWrite()
				io.Copy(io.Discard, theirs)
				theirs.Close()
			})
			_, err := Dial(t.Context(), Options{
				URL: "wss://feed.example/", DialContext: over(chop(ours, how, [][]byte{make([]byte, 5), make([]byte, 40)})),
				// What would weaken it is not honoured.
				TLS: &tls.Config{RootCAs: test.roots, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}},
			})
			if kinds := tlsKindsOf(err); !slices.Equal(kinds, test.kinds) {
				t.Errorf("%q, want %q: %T %v", kinds, test.kinds, err, err)
			}
			var alert tls.AlertError
			if errors.As(err, &alert); alert != test.alert {
				t.Errorf("alert %d, want %d: %v", alert, test.alert, err)
			}
		})
	}
}
