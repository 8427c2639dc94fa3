package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"golang.org/x/net/proxy"
)

// askSOCKS leaves the conversation to the library, which reads no byte more than it needs.
func (p Proxy) askSOCKS(conn net.Conn, hostport string) error {
	var auth *proxy.Auth
	if p.authenticate {
		auth = &proxy.Auth{User: p.user, Password: p.password}
	}
	d, err := proxy.SOCKS5("tcp", p.Address(), auth, opened{conn})
	if err != nil {
		return err
	}
	// No deadline and no end of a context: Open sees to both.
	_, err = d.Dial("tcp", hostport)
	var failed *net.OpError
	if !errors.As(err, &failed) {
		return err
	}
	// Only the type tells what the network did from what the proxy said.
	var network net.Error
	if err = failed.Err; errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	// The library says "unknown error" of every reply of the proxy's, also of those that it knows.
	return &RefusedError{"no tunnel: " + strings.TrimPrefix(err.Error(), "unknown error ")}
}

// opened stands for the network of a library that wants to dial: there is one connection, and it is open.
type opened struct{ conn net.Conn }

func (o opened) Dial(string, string) (net.Conn, error) { return o.conn, nil }

func (o opened) DialContext(context.Context, string, string) (net.Conn, error) { return o.conn, nil }
