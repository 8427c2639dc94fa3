package life

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"testing"
	"time"

	"feedmux/limiter"
)

func good() Settings {
	return Settings{
		DialTimeout: time.Second, PingInterval: time.Minute, PingTimeout: time.Second,
		SubscribeBatch: 1, SubscribeRate: limiter.Window{N: 1, Per: time.Second},
	}
}

func roots(t *testing.T, subject string) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	p.AddCert(&x509.Certificate{Raw: []byte(subject), RawSubject: []byte(subject)})
	return p
}

func TestSettingsAreTheSameUnlessALifeCouldTell(t *testing.T) {
	withTLS := func(name, root string) *tls.Config { return &tls.Config{ServerName: name, RootCAs: roots(t, root)} }
	s := good()
	s.TLS = withTLS("a", "root")
	for name, row := range map[string]struct {
		change func(*Settings)
		same   bool
	}{
		"nothing":                 {func(*Settings) {}, true},
		"TLS that was made again": {func(s *Settings) { s.TLS = withTLS("a", "root") }, true},
		"no TLS":                  {func(s *Settings) { s.TLS = nil }, false},
		"another server name":     {func(s *Settings) { s.TLS = withTLS("b", "root") }, false},
		"another root":            {func(s *Settings) { s.TLS = withTLS("a", "other") }, false},
		"the system's roots":      {func(s *Settings) { s.TLS = &tls.Config{ServerName: "a"} }, false},
		"a ping interval":         {func(s *Settings) { s.PingInterval++ }, false},
		"a backoff":               {func(s *Settings) { s.Backoff.Max++ }, false},
		"an address":              {func(s *Settings) { s.Local = netip.AddrFrom4([4]byte(net.IPv4(127, 0, 0, 1).To4())) }, false},
	} {
		other := s
		row.change(&other)
		if s.Same(&other) != row.same || other.Same(&s) != row.same {
			t.Errorf("%s: the same is not %v", name, row.same)
		}
	}
}

func TestSettingsWithoutWhichNoLifeIsPossibleAreRefused(t *testing.T) {
	s := good()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Settings){
		"batch": func(s *Settings) { s.SubscribeBatch = 0 }, "rate": func(s *Settings) { s.SubscribeRate.N = 0 },
		"interval": func(s *Settings) { s.PingInterval = 0 }, "timeout": func(s *Settings) { s.PingTimeout = -1 },
		"dial": func(s *Settings) { s.DialTimeout = 0 },
	} {
		bad := good()
		if spoil(&bad); bad.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
