package socket

import (
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
	"testing"
	"testing/synctest"
	"time"
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
		if !errors.As(err, new(*HandshakeError)) || time.Since(began) > hurryTime {
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

func TestTLSFailuresKeepTheirTypes(t *testing.T) {
	is := func(target any) func(error) bool {
		return func(err error) bool { return errors.As(err, target) }
	}
	good, trusted := testCertificate(t, "feed.example", year2000.AddDate(-1, 0, 0), year2000.AddDate(1, 0, 0))
	other, otherTrusted := testCertificate(t, "other.example", year2000.AddDate(-1, 0, 0), year2000.AddDate(1, 0, 0))
	old, oldTrusted := testCertificate(t, "feed.example", year2000.AddDate(-2, 0, 0), year2000.AddDate(-1, 0, 0))
	serve := func(c *tls.Config) func(net.Conn) {
		return func(conn net.Conn) { tls.Server(conn, c).Handshake() }
	}
	certs := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	for name, test := range map[string]struct {
		serve func(net.Conn)
		roots *x509.CertPool
		want  func(error) bool
	}{
		"plain HTTP": {func(conn net.Conn) {
			go io.Copy(io.Discard, conn)
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, trusted, is(new(tls.RecordHeaderError))},
		"unknown authority": {serve(certs(good)), otherTrusted, is(new(x509.UnknownAuthorityError))},
		"wrong name":        {serve(certs(other)), otherTrusted, is(new(x509.HostnameError))},
		"expired":           {serve(certs(old)), oldTrusted, is(new(x509.CertificateInvalidError))},
		"verification":      {serve(certs(old)), oldTrusted, is(new(*tls.CertificateVerificationError))},
		"TLS 1.1": {serve(&tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), trusted,
			is(new(*net.OpError))},
		"another protocol only": {serve(&tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"imap"}}), trusted, is(new(*net.OpError))},
		"nonsense": {func(conn net.Conn) {
			go io.Copy(io.Discard, conn)
			conn.Write(append([]byte{22, 3, 3, 0, 200}, make([]byte, 200)...))
		}, trusted, func(error) bool { return true }},
		"FIN": {func(net.Conn) {}, trusted, func(err error) bool { return errors.Is(err, ErrNoClose) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					if name == "FIN" {
						theirs.Read(make([]byte, 1<<16))
					}
					test.serve(theirs)
				}()
				_, err := Dial(t.Context(), Options{
					URL: "wss://feed.example/", DialContext: over(ours),
					TLS: &tls.Config{RootCAs: test.roots, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}},
				})
				if err == nil || !test.want(err) {
					t.Errorf("%T: %v", err, err)
				}
				if inTLS := errors.As(err, new(*TLSError)); inTLS == (name == "FIN") {
					t.Errorf("a TLSError: %v", inTLS)
				}
			})
		})
	}
}
