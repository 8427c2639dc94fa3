// Package natswire makes a connection to NATS end with the first write that fails, and be made only when it may be.
package natswire

import (
	"net"

	"github.com/nats-io/nats.go"
)

// wire is a connection to a NATS server that ends with the first write that fails. The client by itself drops what it
// could not write in time and may go on with the next bytes: then later pings are answered as if nothing were missing.
type wire struct{ net.Conn }

func (w wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err != nil {
		w.Conn.Close()
	}
	return n, err
}

func wired(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return wire{c}, nil
}

type (
	wireDialer struct {
		nats.CustomDialer
		may func() error
	}
	wireServer struct {
		nats.InProcessConnProvider
		may func() error
	}
)

func (d wireDialer) Dial(network, addr string) (net.Conn, error) {
	if err := d.may(); err != nil {
		return nil, err
	}
	return wired(d.CustomDialer.Dial(network, addr))
}

func (s wireServer) InProcessConn() (net.Conn, error) {
	if err := s.may(); err != nil {
		return nil, err
	}
	return wired(s.InProcessConnProvider.InProcessConn())
}

// Use makes the client use a wire however it reaches its servers. may is asked before each attempt, with the client's lock
// held; one that it gives an error fails with that. It is the last option.
func Use(may func() error) nats.Option {
	return func(o *nats.Options) error {
		if o.InProcessServer != nil {
			o.InProcessServer = wireServer{o.InProcessServer, may}
		}
		if o.CustomDialer == nil {
			o.CustomDialer = &net.Dialer{Timeout: o.Timeout}
		}
		o.CustomDialer = wireDialer{o.CustomDialer, may}
		return nil
	}
}
