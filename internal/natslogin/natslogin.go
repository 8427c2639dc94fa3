// Package natslogin says how the daemon logs in to NATS servers that are not its own.
//
// Whatever is in a file is read again for each connection: a credential that was replaced counts from the next one on, and
// one that is missing is no reason not to start, but one to try again. A context is read until it is good.
package natslogin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"feedmux/internal/config"
	"feedmux/internal/natscontext"
	"feedmux/internal/proxy"
	"feedmux/internal/regular"
)

// Login is where NATS is and how to get in.
type Login struct {
	URL string // servers, separated by commas; may hold credentials

	creds, nkey, ca, cert, key string // files
	user                       string
	password, token            secret
	first                      bool   // TLS before the server says anything
	proxy                      string // a URL to dial through
}

// secret stands in a file, or is known already.
type secret struct{ file, text string }

func (s secret) isSet() bool { return s != secret{} }

// Of is the login that a configuration asks for. A context is read now, and no other file: where it is missing or bad, it may
// be better later. Errors hold no secret.
func Of(c config.NATS) (Login, error) {
	if c.Context == "" {
		return Login{
			URL: c.URL, creds: c.CredsFile, nkey: c.NKeyFile, user: c.User,
			password: secret{file: c.PasswordFile}, token: secret{file: c.TokenFile},
			ca: c.TLS.CAFile, cert: c.TLS.CertFile, key: c.TLS.KeyFile, first: c.TLS.First,
		}, nil
	}
	x, err := natscontext.Read(c.Context)
	if err != nil {
		return Login{}, err
	}
	if x.SocksProxy != "" {
		if _, err := proxy.Parse(x.SocksProxy); err != nil {
			return Login{}, fmt.Errorf("NATS context %s: socks_proxy: %w", c.Context, err)
		}
	}
	return Login{
		URL: x.URL, creds: x.Creds, nkey: x.NKey, user: x.User,
		password: secret{text: x.Password}, token: secret{text: x.Token},
		ca: x.CA, cert: x.Cert, key: x.Key, first: x.TLSFirst, proxy: x.SocksProxy,
	}, nil
}

// Options are what the client needs. It reads the files for each connection that it makes; log is told of those that cannot
// be read.
func (l Login) Options(log *slog.Logger) (list []nats.Option) {
	r := &reader{log: log, said: rate.NewLimiter(rate.Every(time.Minute), 1)}
	if l.creds != "" {
		list = append(list, credentials(l.creds))
	}
	if l.nkey != "" {
		list = append(list, nkey(l.nkey))
	}
	if l.user != "" {
		list = append(list, nats.UserInfoHandler(func() (string, string) { return l.user, r.read(l.password) }))
	}
	if l.token.isSet() {
		list = append(list, nats.TokenHandler(func() string { return r.read(l.token) }))
	}
	var show nats.TLSCertHandler
	var trust nats.RootCAsHandler
	if l.ca != "" {
		trust = func() (*x509.CertPool, error) { return authorities(l.ca) }
	}
	if l.cert != "" {
		show = func() (tls.Certificate, error) { return certificate(l.cert, l.key) }
	}
	if l.ca != "" || l.cert != "" {
		list = append(list, nats.ClientTLSConfig(show, trust))
	}
	if l.first {
		list = append(list, nats.TLSHandshakeFirst())
	}
	if l.proxy != "" {
		list = append(list, nats.SetCustomDialer(tunnel(l.proxy)))
	}
	return list
}

// reader reads secrets when the client asks for them.
type reader struct {
	log  *slog.Logger
	said *rate.Limiter
}

// read is the secret without the white space around it; "" where it cannot be read: then the server refuses the connection,
// and the next one asks again.
func (r *reader) read(s secret) string {
	if s.file == "" {
		return s.text
	}
	text, err := regular.Read(s.file, regular.Small)
	if err != nil && r.said.Allow() {
		r.log.Warn("the secret for NATS cannot be read: connecting without", "error", err)
	}
	return strings.TrimSpace(string(text))
}

// dialWithin is how long it may take to be connected through a proxy.
const dialWithin = 10 * time.Second

// tunnel is the URL of a proxy, and dials through it.
type tunnel string

func (t tunnel) Dial(network, address string) (net.Conn, error) {
	p, err := proxy.Parse(string(t))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialWithin)
	defer cancel()
	var d net.Dialer
	return p.Through(d.DialContext)(ctx, network, address)
}
