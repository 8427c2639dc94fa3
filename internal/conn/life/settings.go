package life

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"feedmux/internal/socket"
	"feedmux/limiter"
)

// Settings are what a life is dialled with, and keeps until it ends. Everything without a note is required. They must not
// change: others take their place.
type Settings struct {
	DialTimeout time.Duration   // of a whole dial
	Backoff     limiter.Backoff // of the slot, from the next failure on; the failures so far still count
	TLS         *tls.Config     // its RootCAs and ServerName; nil: the system's
	Local       netip.Addr      // to dial from; the zero value: any
	Proxy       socket.Proxy    // to dial through, comparable; nil: none

	PingInterval time.Duration
	PingJitter   float64 // share of the interval
	PingTimeout  time.Duration
	Silence      time.Duration // a life on which nothing came for so long ends; 0: as the protocol says

	SubscribeBatch int            // topics in one ask
	SubscribeRate  limiter.Window // messages to the upstream, for each connection
	MaxMessage     int            // bytes; longer messages are skipped and counted
	MaxAge         time.Duration  // a life of about this age is handed over; 0: never
}

// Same says whether nobody could tell lives with s from lives with other.
func (s *Settings) Same(other *Settings) bool {
	a, b := *s, *other
	a.TLS, b.TLS = nil, nil
	return a == b && sameTLS(s.TLS, other.TLS)
}

func sameTLS(a, b *tls.Config) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ServerName == b.ServerName && a.RootCAs.Equal(b.RootCAs)
}

// Check says what is missing or out of its range.
func (s *Settings) Check() error {
	switch {
	case s.SubscribeBatch < 1 || s.SubscribeRate.N < 1 || s.SubscribeRate.Per <= 0:
		return errors.New("subscribe batch and rate must be 1 or more")
	case s.PingInterval <= 0 || s.PingTimeout <= 0 || s.DialTimeout <= 0:
		return errors.New("ping interval, ping timeout and dial timeout must be positive")
	}
	return nil
}
