package cause

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"

	"feedmux/internal/socket"
)

// Of is the one function that reads connection errors. It names the cause by the error's type, never by its text.
func Of(err error) Cause {
	var (
		closed    *socket.CloseError
		handshake *socket.HandshakeError
		rejected  *socket.RejectedError
		violation *socket.ProtocolError
		known     *Error
		dns       *net.DNSError
		insecure  *socket.TLSError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &known):
		return known.Cause
	case errors.As(err, &closed):
		return judgeClose(closed.Code)
	case errors.As(err, &handshake):
		return OfStatus(handshake.Status)
	case errors.Is(err, socket.ErrTooBig):
		return TooBig
	case errors.As(err, &rejected), errors.As(err, &violation):
		return ProtocolError
	case errors.As(err, &dns):
		return DNS
	case errors.As(err, &insecure):
		return TLS
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return Refused
	case errors.Is(err, socket.ErrStalled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case errors.Is(err, context.Canceled):
		return Drain
	}
	return Reset // a RST, a FIN without a Close, and whatever else a network does: aborted, no buffers
}

// judgeClose names the cause of a Close frame.
func judgeClose(code int) Cause {
	switch code {
	case 1002, 1003, 1007, 1010: // the peer thinks that we broke the protocol
		return ProtocolError
	case 1008:
		return Auth
	case 1009:
		return TooBig
	case 1012, 1001: // service restart, going away
		return ServerAsked
	case 1013: // try again later
		return RateLimited
	}
	return ClosedByServer
}

// OfStatus names the cause of an answer with a status that is not the one that was asked for.
func OfStatus(status int) Cause {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Auth
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status >= 500:
		return HTTP5xx
	case status >= 400:
		return HTTP4xx
	}
	return ProtocolError // a redirect, or a 200 from something that is no WebSocket server
}

// Unopened says whether a dial failed in such a way that the upstream counts no socket: nothing was opened, or the
// upstream's own end of it was seen.
func Unopened(err error) bool {
	var dns *net.DNSError
	var refused *socket.HandshakeError
	if errors.As(err, &refused) {
		return refused.PeerGone
	}
	for _, known := range []error{
		syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ECONNRESET, socket.ErrNoClose,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return errors.As(err, &dns)
}
