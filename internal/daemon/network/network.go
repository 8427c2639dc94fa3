// Package network is the way to a feed's upstream, as its configuration has it: through which proxy, and whom to believe there.
package network

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/conn"
	"feedmux/internal/proxy"
	"feedmux/internal/regular"
)

// TLS is how f's upstream is verified; nil: as the system does. The file of authorities is read now.
func TLS(f *config.Feed) (*tls.Config, error) {
	if f.TLS == (config.TLS{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.TLS.ServerName}
	if f.TLS.CAFile != "" {
		pem, err := regular.Read(f.TLS.CAFile, regular.Large)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities of the upstream: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the authorities of the upstream: %s holds no certificate", f.TLS.CAFile)
		}
	}
	return c, nil
}

// Proxy is what f's upstream is dialled through; nil: nothing.
func Proxy(f *config.Feed) (*proxy.Proxy, error) {
	p, found, err := proxy.Of(f.Proxy, f.URL, os.Getenv)
	if err != nil || !found {
		return nil, err
	}
	return &p, nil
}

// Transport is how a feed's upstream is asked over HTTP: by the way that its connections take.
func Transport(f *config.Feed, s conn.Settings) *http.Transport {
	secure := s.TLS.Clone()
	if secure == nil {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	d := &net.Dialer{Timeout: 10 * time.Second}
	if f.LocalAddress.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: f.LocalAddress.AsSlice(), Zone: f.LocalAddress.Zone()}
	}
	dial := d.DialContext
	if p, ok := s.Proxy.(proxy.Proxy); ok {
		dial = p.Through(dial)
	}
	return &http.Transport{
		DialContext:         dial,
		TLSClientConfig:     secure,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxConnsPerHost:     2,
		IdleConnTimeout:     time.Minute,
	}
}

// Way is an http.RoundTripper that may be replaced while it is used. The zero Way leads nowhere before Use.
type Way struct {
	now atomic.Pointer[http.Transport]
}

func (w *Way) RoundTrip(r *http.Request) (*http.Response, error) { return w.now.Load().RoundTrip(r) }

// Use lets requests from now on go by t. Those under way end as they began.
func (w *Way) Use(t *http.Transport) {
	if old := w.now.Swap(t); old != nil {
		old.CloseIdleConnections()
	}
}
