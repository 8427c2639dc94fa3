package cause

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"feedmux/internal/socket"
)

func TestOfNamesTheCauseByType(t *testing.T) {
	op := func(err error) error {
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	}
	for _, tt := range []struct {
		err  error
		want Cause
	}{
		{&socket.CloseError{Code: 1000}, ClosedByServer},
		{&socket.CloseError{Code: 1001}, ServerAsked},
		{&socket.CloseError{Code: 1002}, ProtocolError},
		{&socket.CloseError{Code: 1008}, Auth},
		{&socket.CloseError{Code: 1009}, TooBig},
		{&socket.CloseError{Code: 1011}, ClosedByServer},
		{&socket.CloseError{Code: 1012}, ServerAsked},
		{&socket.CloseError{Code: 1013}, RateLimited},
		{&socket.CloseError{Code: 4100, Reason: "a protocol may know what it means"}, ClosedByServer},
		{&socket.HandshakeError{Status: 200}, ProtocolError},
		{&socket.HandshakeError{Status: 302}, ProtocolError},
		{&socket.HandshakeError{Status: 401}, Auth},
		{&socket.HandshakeError{Status: 403}, Auth},
		{&socket.HandshakeError{Status: 404}, HTTP4xx},
		{&socket.HandshakeError{Status: 429}, RateLimited},
		{&socket.HandshakeError{Status: 503}, HTTP5xx},
		{&socket.RejectedError{Err: io.EOF}, ProtocolError},
		{&socket.ProtocolError{}, ProtocolError},
		{&Error{TooBig, errors.New("x")}, TooBig},
		{socket.ErrTooBig, TooBig},
		{&net.DNSError{IsNotFound: true}, DNS},
		{&socket.TLSError{Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, TLS},
		{socket.ErrStalled, Timeout},
		{socket.ErrNoClose, Reset},
		{op(syscall.ECONNREFUSED), Refused},
		{op(syscall.ENETUNREACH), Refused},
		{op(syscall.EHOSTUNREACH), Refused},
		{op(syscall.ECONNRESET), Reset},
		{op(syscall.EPIPE), Reset},
		{op(syscall.ETIMEDOUT), Timeout},
		{context.DeadlineExceeded, Timeout},
		{os.ErrDeadlineExceeded, Timeout},
		{io.EOF, Reset},
		{io.ErrUnexpectedEOF, Reset},
	} {
		for _, err := range []error{tt.err, fmt.Errorf("reading: %w", tt.err)} {
			if got := Of(err); got != tt.want {
				t.Errorf("Of(%T %v) = %s, want %s", err, err, got, tt.want)
			}
		}
	}
}

func TestUnopenedIsWhatLeavesNoSocketBehind(t *testing.T) {
	dial := func(err error) error {
		return fmt.Errorf("connecting: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)})
	}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{dial(syscall.ECONNREFUSED), true},
		{dial(syscall.ENETUNREACH), true},
		{dial(syscall.EHOSTUNREACH), true},
		{dial(syscall.ECONNRESET), true},
		{&net.DNSError{IsNotFound: true}, true},
		{fmt.Errorf("handshake: %w", socket.ErrNoClose), true},
		{dial(syscall.ETIMEDOUT), false},
		{context.DeadlineExceeded, false},
		{context.Canceled, false},
		{&socket.HandshakeError{Status: 503}, false}, // its end was not seen
		{&socket.TLSError{Err: errors.New("x")}, false},
	} {
		if got := Unopened(tt.err); got != tt.want {
			t.Errorf("Unopened(%v) = %v", tt.err, got)
		}
	}
}

func TestEveryCauseIsListedOnce(t *testing.T) {
	seen := make(map[Cause]bool)
	for _, c := range All() {
		if c == "" || seen[c] {
			t.Errorf("%q is listed twice, or is none", c)
		}
		seen[c] = true
	}
	for code := range 5000 {
		if c := judgeClose(code); !seen[c] {
			t.Errorf("Close %d is %q", code, c)
		}
	}
	for status := range 1000 {
		if c := OfStatus(status); !seen[c] {
			t.Errorf("status %d is %q", status, c)
		}
	}
}
