package socket

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

const (
	defaultTimeout    = 15 * time.Second
	connectTimeout    = 5 * time.Second        // the part of it that TCP may take: a dead address should not cost all of it
	handshakeBytes    = 64 << 10               // of TLS and HTTP together
	refusalEnd        = 500 * time.Millisecond // for the FIN of a server that refused
	readBuffer        = 32 << 10
	defaultMaxMessage = 1 << 20
)

// Options say where to dial and what to expect there. Zero values are defaults.
type Options struct {
	URL        string        // ws:// or wss://; may hold secrets: never in an error text. User-info becomes Authorization
	Header     http.Header   // sent with the handshake; Dial does not keep it
	Timeout    time.Duration // of the whole dial: name, TCP, TLS, handshake; default 15 s
	MaxMessage int           // longer messages are skipped; default 1 MiB, at most 16 MiB

	// Attempt chooses among the addresses of the host, or of the proxy: number Attempt modulo how many there are. One
	// dial opens exactly one socket, and the next attempt takes the next address.
	Attempt int

	// Secrets are words beside those in URL and Header that are cut out of whatever the peer says.
	Secrets []string

	// Local is the address to dial from; addresses of the other IP version are then left out. The zero value lets the
	// system choose.
	Local netip.Addr

	// Proxy is what the connection goes through; nil: nothing.
	Proxy Proxy

	// DialContext replaces the real network where it is set, Local included. It gets host:port, the proxy's where there
	// is one; no name is resolved before.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// TLS may bring roots, client certificates, a server name and a session cache. Dial does not change it. At
	// least TLS 1.2 is spoken, http/1.1 is the only protocol offered, and InsecureSkipVerify is not honoured.
	TLS *tls.Config
}

// A Proxy opens tunnels. It is used by several dials at once.
type Proxy interface {
	// Address is the host:port where it listens. One socket is opened to it for each tunnel.
	Address() string

	// Secrets are words like those of Options.Secrets: what comes through a tunnel may be the proxy's own.
	Secrets() []string

	// Open asks on conn, a new connection to Address, for a tunnel to hostport, whose name is for the proxy to resolve. It
	// returns when ctx is done. What it returns carries the tunnel's bytes and nothing before them; it should be conn
	// itself. When it fails, the caller closes conn. Its errors say "proxy", and none of its credentials.
	Open(ctx context.Context, conn net.Conn, hostport string) (net.Conn, error)
}

// Dial connects and makes the handshake. It returns when o.Timeout is over or ctx is done, or within a second of that
// where TLS has to say goodbye.
//
// Its errors: *HandshakeError, *RejectedError, *TLSError, ErrNoClose, what package net or o.Proxy says (errors.As finds
// it), and on a timeout one that is context.DeadlineExceeded.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if o.Proxy != nil {
		o.Secrets = slices.Concat(o.Secrets, o.Proxy.Secrets())
	}
	t, err := newTarget(o.URL, o.Header, o.Secrets)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	// The deadline is in the context, so that it bounds every step and a timeout always looks the same.
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	var w *wire
	var secure *tls.Conn
	var refusal *HandshakeError
	d := ws.Dialer{
		ReadBufferSize: readBuffer,
		Header:         ws.HandshakeHeaderHTTP(t.header),
		TLSClient: func(conn net.Conn, _ string) net.Conn {
			secure = tls.Client(conn, tlsConfig(o.TLS, t.url.Hostname()))
			return secure // makes its handshake on the first write
		},
		NetDial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := o.connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			w = newWire(conn, handshakeBytes)
			return w, nil
		},
		OnStatusError: func(status int, _ []byte, answer io.Reader) {
			refusal = readRefusal(status, answer, t.secrets)
			by, _ := ctx.Deadline()
			refusal.PeerGone = w.sawEnd(earlier(time.Now().Add(refusalEnd), by))
		},
	}
	stream, br, _, err := d.Dial(ctx, t.url.String())
	switch {
	case refusal != nil:
		return nil, refusal
	case err != nil && w == nil:
		return nil, fmt.Errorf("connecting: %w", err)
	case err != nil:
		return nil, handshakeError(err, w, secure, t.secrets)
	}
	w.budget = -1
	if br == nil {
		br = bufio.NewReaderSize(stream, readBuffer)
	}
	// A reader that the Dialer returned holds frames that came with the 101. It is kept for life and never given
	// back to the library's pool, where it could be handed out while something here still points to it.
	return newConn(w, stream, br, o.MaxMessage, t.secrets), nil
}

// connect opens one socket, to the proxy if there is one.
func (o *Options) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if o.Proxy == nil {
		return o.open(ctx, network, address)
	}
	conn, err := o.open(ctx, network, o.Proxy.Address())
	if err != nil {
		return nil, fmt.Errorf("dialling the proxy: %w", err)
	}
	tunnel, err := o.Proxy.Open(ctx, conn, address)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return tunnel, nil
}

func (o *Options) open(ctx context.Context, network, address string) (net.Conn, error) {
	if o.DialContext != nil {
		return o.DialContext(ctx, network, address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{
		Timeout: connectTimeout,
		// Keepalive finds a peer that vanished while nothing was under way. It does not run while data waits to
		// be acknowledged: there TCP_USER_TIMEOUT does, which sockets of Multipath TCP ignore.
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
		},
		Control: setUserTimeout,
	}
	d.SetMultipathTCP(false)
	if local := o.Local.Unmap(); local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
		addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a.Unmap().Is4() != local.Is4() })
		if len(addrs) == 0 {
			kind := "IPv6"
			if local.Is4() {
				kind = "IPv4"
			}
			reason := fmt.Sprintf("no %s address, the only kind that can be dialled from %s", kind, local)
			return nil, &net.DNSError{Err: reason, Name: host, IsNotFound: true}
		}
	}
	return d.DialContext(ctx, network, net.JoinHostPort(choose(addrs, o.Attempt), port))
}

// choose takes the resolver's order as it is: it puts first what the routing table can reach.
func choose(addrs []netip.Addr, attempt int) string {
	return addrs[uint(attempt)%uint(len(addrs))].Unmap().String()
}

func tlsConfig(c *tls.Config, host string) *tls.Config {
	c = c.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.NextProtos = []string{"http/1.1"}
	c.InsecureSkipVerify = false
	return c
}

// handshakeError sorts what went wrong between the TCP connection and the 101.
func handshakeError(err error, w *wire, secure *tls.Conn, secrets *strings.Replacer) error {
	var rejected *ws.ConnectionRejectedError
	switch {
	case errors.As(err, &rejected),
		errors.Is(err, ws.ErrHandshakeBadSubProtocol),
		errors.Is(err, ws.ErrHandshakeBadExtensions),
		errors.Is(err, ws.ErrMalformedResponse),
		errors.Is(err, errHandshakeTooLong):
		return &RejectedError{Err: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = ErrNoClose
	case secure != nil && failedInTLS(err, w, secure):
		return &TLSError{Err: err, secrets: secrets}
	}
	return fmt.Errorf("handshake: %w", err)
}

// failedInTLS tells a failure of TLS from one of the network or of time below it. Most of crypto/tls's errors have no
// type to tell them by.
func failedInTLS(err error, w *wire, secure *tls.Conn) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || w.end.Load() != endUnknown {
		return false
	}
	// A server that refuses our certificate says so when the handshake is complete for us, in an alert.
	var alert *net.OpError
	return !secure.ConnectionState().HandshakeComplete || errors.As(err, &alert) && alert.Op == "remote error"
}
