package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Proxy is one proxy. It is a value that never changes. The zero Proxy is none.
type Proxy struct {
	scheme         string // http or socks5
	host, port     string
	authenticate   bool // with what follows
	user, password string
}

// Errors of a URL do not quote it, and do not wrap net/url's, which do: even a malformed one may hold a password.
var (
	errURL      = errors.New("proxy URL cannot be parsed")
	errScheme   = errors.New("proxy URL does not begin with http:// or socks5://")
	errHost     = errors.New("proxy URL has no host")
	errASCII    = errors.New("proxy URL's host is not ASCII: write it in its xn-- form")
	errPort     = errors.New("proxy URL has a port that is not from 1 to 65535")
	errBrackets = errors.New("proxy URL has an IPv6 address without brackets: write it as in http://[::1]:3128")
	errMore     = errors.New("proxy URL has a path, a query or a fragment")
	errUser     = errors.New("proxy URL has a user name that is empty or holds a colon")
	errTooLong  = errors.New("proxy URL has a user name, a password or a host of more than 255 bytes")
	errNoTarget = errors.New("upstream URL cannot be parsed")
)

// Parse reads, whatever the case of scheme and host, http://[user:password@]host[:port] or socks5://[user:password@]host[:port]. Where there is no port, it is
// 80 for http and 1080 for socks5. socks5h is taken for socks5, since names are always the proxy's to resolve.
func Parse(rawURL string) (Proxy, error) {
	if unbracketed(rawURL) {
		return Proxy{}, errBrackets
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return Proxy{}, errURL
	}
	p := Proxy{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	if p.scheme == "socks5h" {
		p.scheme = "socks5"
	}
	if p.port == "" && p.scheme == "http" {
		p.port = "80" // as for most HTTP clients; curl takes 1080
	} else if p.port == "" {
		p.port = "1080"
	}
	if u.User != nil {
		p.authenticate, p.user = true, u.User.Username()
		p.password, _ = u.User.Password()
	}
	number, err := strconv.ParseUint(p.port, 10, 16)
	switch {
	case p.scheme != "http" && p.scheme != "socks5":
		return Proxy{}, errScheme
	case p.host == "":
		return Proxy{}, errHost
	case strings.ContainsFunc(p.host, func(r rune) bool { return r >= 0x80 }):
		return Proxy{}, errASCII
	case err != nil, number == 0:
		return Proxy{}, errPort
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return Proxy{}, errMore
	case p.authenticate && (p.user == "" || strings.Contains(p.user, ":")):
		return Proxy{}, errUser
	case max(len(p.user), len(p.password), len(p.host)) > 255: // what fits into a field of SOCKS5
		return Proxy{}, errTooLong
	}
	p.port = strconv.FormatUint(number, 10)
	return p, nil
}

// unbracketed says that the host of a URL is an IPv6 address that does not stand in brackets.
func unbracketed(rawURL string) bool {
	_, rest, _ := strings.Cut(rawURL, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	host := rest[strings.LastIndexByte(rest, '@')+1:]
	if _, err := netip.ParseAddr(host); err == nil {
		return strings.Contains(host, ":")
	}
	_, err := netip.ParseAddr(host[:max(strings.LastIndexByte(host, ':'), 0)])
	return err == nil && strings.Count(host, ":") > 1
}

// Address is the host:port where the proxy listens.
func (p Proxy) Address() string { return net.JoinHostPort(p.host, p.port) }

// String shows the proxy to people: scheme://host:port, with "[hidden]@" where there are credentials.
func (p Proxy) String() string {
	if p.authenticate {
		return p.scheme + "://[hidden]@" + p.Address()
	}
	return p.scheme + "://" + p.Address()
}

// GoString keeps %#v from showing more than %v.
func (p Proxy) GoString() string { return p.String() }

// Secrets are the words that must be cut out of whatever comes through the tunnel before anybody sees it: a proxy may
// answer in the target's place.
func (p Proxy) Secrets() []string {
	if !p.authenticate {
		return nil
	}
	return []string{p.user, p.password, p.basic()}
}

// RefusedError is an answer of the proxy that is not a tunnel: it does not want to, it could not reach the target, or it
// is no proxy of this kind. As with a connection that the target refuses, nothing was opened there: errors.Is finds
// syscall.ECONNREFUSED.
type RefusedError struct {
	Reason string // our words, not the proxy's
}

func (e *RefusedError) Error() string        { return e.Reason }
func (e *RefusedError) Is(target error) bool { return target == syscall.ECONNREFUSED }

// Open asks on conn, which was just connected to Address, for a tunnel to hostport, and returns conn when the next byte
// that comes is the target's. When it fails, or ctx is done before, the caller must close conn.
//
// Its errors: *RefusedError, what package net says, io.ErrUnexpectedEOF where the proxy ended the connection, and ctx's.
func (p Proxy) Open(ctx context.Context, conn net.Conn, hostport string) (net.Conn, error) {
	// The context alone sets a deadline, so that a timeout always looks the same.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	ask := p.askSOCKS
	if p.scheme == "http" {
		ask = p.askHTTP
	}
	err := ask(conn, hostport)
	switch {
	case !stop():
		err = ctx.Err()
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", p, err)
	}
	return conn, nil
}

// Through makes a dial function that goes through p from one that connects to p. It is what [net/http.Transport] takes
// as DialContext, so that HTTP goes the same way as WebSocket does.
func (p Proxy) Through(dial Dial) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, p.Address())
		if err != nil {
			return nil, fmt.Errorf("dialling the proxy: %w", err)
		}
		tunnel, err := p.Open(ctx, conn, address)
		if err != nil {
			conn.Close()
			return nil, err
		}
		return tunnel, nil
	}
}

// Dial has the signature of [net.Dialer.DialContext].
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)
