package conn

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

func TestJudgeNamesTheCauseByType(t *testing.T) {
	op := func(err error) error {
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	}
	for _, tt := range []struct {
		err  error
		want Cause
	}{
		{&socket.CloseError{Code: 1000}, CauseClosedByServer},
		{&socket.CloseError{Code: 1001}, CauseServerAsked},
		{&socket.CloseError{Code: 1002}, CauseProtocolError},
		{&socket.CloseError{Code: 1008}, CauseAuth},
		{&socket.CloseError{Code: 1009}, CauseTooBig},
		{&socket.CloseError{Code: 1011}, CauseClosedByServer},
		{&socket.CloseError{Code: 1012}, CauseServerAsked},
		{&socket.CloseError{Code: 1013}, CauseRateLimited},
		{&socket.CloseError{Code: 4100, Reason: "ping pong failed"}, CausePingTimeout},
		{&socket.HandshakeError{Status: 200}, CauseProtocolError},
		{&socket.HandshakeError{Status: 302}, CauseProtocolError},
		{&socket.HandshakeError{Status: 401}, CauseAuth},
		{&socket.HandshakeError{Status: 403}, CauseAuth},
		{&socket.HandshakeError{Status: 404}, CauseHTTP4xx},
		{&socket.HandshakeError{Status: 429}, CauseRateLimited},
		{&socket.HandshakeError{Status: 503}, CauseHTTP5xx},
		{&socket.RejectedError{Err: io.EOF}, CauseProtocolError},
		{&socket.ProtocolError{}, CauseProtocolError},
		{&sessionError{errors.New("x")}, CauseProtocolError},
		{socket.ErrTooBig, CauseTooBig},
		{&net.DNSError{IsNotFound: true}, CauseDNS},
		{&socket.TLSError{Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, CauseTLS},
		{socket.ErrStalled, CauseTimeout},
		{socket.ErrNoClose, CauseReset},
		{op(syscall.ECONNREFUSED), CauseRefused},
		{op(syscall.ECONNRESET), CauseReset},
		{op(syscall.EPIPE), CauseReset},
		{op(syscall.ETIMEDOUT), CauseTimeout},
		{context.DeadlineExceeded, CauseTimeout},
		{os.ErrDeadlineExceeded, CauseTimeout},
		{io.EOF, CauseReset},
		{io.ErrUnexpectedEOF, CauseReset},
	} {
		for _, err := range []error{tt.err, fmt.Errorf("reading: %w", tt.err)} {
			if got := judge(err); got != tt.want {
				t.Errorf("judge(%T %v) = %s, want %s", err, err, got, tt.want)
			}
		}
	}
}
