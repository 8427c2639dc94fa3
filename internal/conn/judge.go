package conn

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"

	"feedmux/internal/socket"
)

// sessionError is what a session ended its life for.
type sessionError struct{ err error }

func (e *sessionError) Error() string { return e.err.Error() }
func (e *sessionError) Unwrap() error { return e.err }

// judge is the one function that reads connection errors. It names the cause by the error's type, never by its text.
func judge(err error) Cause {
	var (
		closed    *socket.CloseError
		handshake *socket.HandshakeError
		rejected  *socket.RejectedError
		violation *socket.ProtocolError
		session   *sessionError
		dns       *net.DNSError
		insecure  *socket.TLSError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &closed):
		return judgeClose(closed.Code)
	case errors.As(err, &handshake):
		return judgeStatus(handshake.Status)
	case errors.Is(err, socket.ErrTooBig):
		return CauseTooBig
	case errors.As(err, &rejected), errors.As(err, &violation), errors.As(err, &session):
		return CauseProtocolError
	case errors.As(err, &dns):
		return CauseDNS
	case errors.As(err, &insecure):
		return CauseTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused
	case errors.Is(err, socket.ErrStalled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return CauseTimeout
	case errors.Is(err, context.Canceled):
		return CauseDrain
	}
	return CauseReset // a RST, a FIN without a Close, and whatever else a network does: unreachable, aborted, no buffers
}

// judgeClose names the cause of a Close frame.
func judgeClose(code int) Cause {
	switch code {
	case 1002, 1003, 1007, 1010: // the peer thinks that we broke the protocol
		return CauseProtocolError
	case 1008:
		return CauseAuth
	case 1009:
		return CauseTooBig
	case 1012, 1001: // service restart, going away
		return CauseServerAsked
	case 1013: // try again later
		return CauseRateLimited
	case 4100: // Twitch's edge: "ping pong failed"
		return CausePingTimeout
	}
	return CauseClosedByServer
}

// judgeStatus names the cause of a handshake that was answered with another status than 101.
func judgeStatus(status int) Cause {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return CauseAuth
	case status == http.StatusTooManyRequests:
		return CauseRateLimited
	case status >= 500:
		return CauseHTTP5xx
	case status >= 400:
		return CauseHTTP4xx
	}
	return CauseProtocolError // a redirect, or a 200 from something that is no WebSocket server
}

// unopened says whether a dial failed in such a way that the upstream counts no socket: nothing was opened, or the
// upstream's own end of it was seen.
func unopened(err error) bool {
	var dns *net.DNSError
	for _, known := range []error{
		syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ECONNRESET, socket.ErrNoClose,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return errors.As(err, &dns)
}
