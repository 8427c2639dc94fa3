package daemon

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
	"feedmux/pool"
)

// settingsOf is what may change of f's pool while it runs. The files that it names are read now.
func settingsOf(f *config.Feed) (pool.Settings, error) {
	placement, err := Placement(f)
	if err != nil {
		return pool.Settings{}, err
	}
	secure, err := tlsOf(f)
	if err != nil {
		return pool.Settings{}, err
	}
	s := pool.Settings{
		Conn: conn.Settings{
			DialTimeout:    f.Dial.Timeout,
			TLS:            secure,
			Local:          f.LocalAddress,
			PingInterval:   f.Ping.Interval,
			PingJitter:     f.Ping.Jitter,
			PingTimeout:    f.Ping.Timeout,
			Silence:        f.Ping.Silence,
			SubscribeBatch: f.Limits.SubscribeBatch,
			SubscribeRate:  Window(f.Limits.SubscribeRate),
			MaxMessage:     f.MaxMessage,
			MaxAge:         f.MaxAge,
		},
		TopicsPerConnection: f.Limits.TopicsPerConnection,
		Placement:           placement,
		Dwell:               f.Dwell,
	}
	via, err := proxyOf(f)
	if err == nil && via != nil {
		s.Conn.Proxy = *via
	}
	return s, err
}

// tlsOf is how f's upstream is verified; nil: as the system does.
func tlsOf(f *config.Feed) (*tls.Config, error) {
	if f.TLS == (config.TLS{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.TLS.ServerName}
	if f.TLS.CAFile != "" {
		pem, err := os.ReadFile(f.TLS.CAFile)
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

// proxyOf is what f's upstream is dialled through; nil: nothing.
func proxyOf(f *config.Feed) (*proxy.Proxy, error) {
	switch f.Proxy {
	case "":
		return nil, nil
	case proxyFromEnvironment:
		p, found, err := proxy.FromEnvironment(f.URL, os.Getenv)
		if err != nil || !found {
			return nil, err
		}
		return &p, nil
	}
	p, err := proxy.Parse(f.Proxy)
	return &p, err
}

// transport is how a feed's upstream is asked over HTTP: by the way that its connections take.
func transport(f *config.Feed, s pool.Settings) *http.Transport {
	secure := s.Conn.TLS.Clone()
	if secure == nil {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	d := &net.Dialer{Timeout: 10 * time.Second}
	if f.LocalAddress.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: f.LocalAddress.AsSlice(), Zone: f.LocalAddress.Zone()}
	}
	dial := d.DialContext
	if p, ok := s.Conn.Proxy.(proxy.Proxy); ok {
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

// proxyFromEnvironment is a feed's proxy where the environment says which it is.
const proxyFromEnvironment = "env"

// way is an http.RoundTripper that may be replaced while it is used.
type way struct {
	now atomic.Pointer[http.Transport]
}

func (w *way) RoundTrip(r *http.Request) (*http.Response, error) { return w.now.Load().RoundTrip(r) }

// use lets requests from now on go by t. Those under way end as they began.
func (w *way) use(t *http.Transport) {
	if old := w.now.Swap(t); old != nil {
		old.CloseIdleConnections()
	}
}
