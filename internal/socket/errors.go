package socket

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"
)

var (
	// ErrNoClose means that the peer ended the connection (FIN, or the end of TLS) without a Close frame.
	ErrNoClose = fmt.Errorf("the peer ended the connection without a Close: %w", io.ErrUnexpectedEOF)

	// ErrTooBig means that the peer began a message of more than 16 MiB. It was told 1009.
	ErrTooBig = errors.New("message of more than 16 MiB")

	// ErrStalled means that a message was begun and not completed within 30 seconds.
	ErrStalled = errors.New("message not completed within 30 s")

	// ErrUnanswered means that the peer did not finish the close handshake that Leave began within two seconds.
	ErrUnanswered = errors.New("the peer did not answer our Close within 2 s")

	// ErrClosing is what Write returns once a Close frame was sent.
	ErrClosing = errors.New("connection is closing")

	// ErrAborted means that Abort was called.
	ErrAborted = errors.New("connection aborted")

	errHandshakeTooLong = errors.New("longer than 64 KiB")
)

// CloseError is the peer's Close frame.
type CloseError struct {
	Code   int    // 1005 where the frame had none
	Reason string // the peer's words, valid UTF-8, with our own secrets cut out
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("the peer closed with code %d", e.Code)
	}
	return fmt.Sprintf("the peer closed with code %d: %q", e.Code, e.Reason)
}

// ProtocolError is a frame that RFC 6455 forbids.
type ProtocolError struct {
	Code   int // that we closed with: 1002 or 1007
	Reason string
}

func (e *ProtocolError) Error() string { return "protocol error: " + e.Reason }

// HandshakeError is an HTTP answer other than 101.
type HandshakeError struct {
	Status     int
	RetryAfter time.Duration // 0: not said, or not understood
	PeerGone   bool          // the server's FIN or RST followed: it does not count this connection any more
	Location   string        // without user-info, query and fragment
	Body       string        // its beginning, printable, at most 4,096 bytes, with our own secrets cut out
}

func (e *HandshakeError) Error() string {
	text := http.StatusText(e.Status)
	if text == "" {
		text = "unknown status"
	}
	if e.Location != "" && e.Status/100 == 3 {
		return fmt.Sprintf("the server answered %d %s: it is at %s now, and no redirect is followed", e.Status, text, e.Location)
	}
	return fmt.Sprintf("the server answered %d %s", e.Status, text)
}

// RejectedError is an answer to the handshake that is not one from a WebSocket server: a 101 with wrong or missing
// headers or with things that were not asked for, another version of HTTP, more than 64 KiB, or no HTTP at all. Often
// a proxy is in the way.
type RejectedError struct{ Err error }

func (e *RejectedError) Error() string {
	return "the server's answer to the handshake is wrong: " + e.Err.Error()
}

func (e *RejectedError) Unwrap() error { return e.Err }

// TLSError is a TLS handshake that failed: an alert from the peer (errors.As finds a tls.AlertError), a certificate that
// was not accepted (it finds the x509 error), something that is not TLS (a tls.RecordHeaderError), or terms on which the
// two sides do not meet.
type TLSError struct {
	Err     error             // may quote the peer's certificate
	secrets *strings.Replacer // for that; nil: there are none
}

func (e *TLSError) Error() string {
	text := e.Err.Error()
	if e.secrets != nil {
		text = e.secrets.Replace(text)
	}
	return "TLS: " + text
}

func (e *TLSError) Unwrap() error { return e.Err }

// As finds the peer's alert. Over TCP, crypto/tls gives it a type that is not exported; its number is the same.
func (e *TLSError) As(target any) bool {
	to, ok := target.(*tls.AlertError)
	var op *net.OpError
	if !ok || !errors.As(e.Err, &op) || op.Op != "remote error" {
		return false
	}
	number := reflect.ValueOf(op.Err)
	if number.Kind() != reflect.Uint8 {
		return false
	}
	*to = tls.AlertError(number.Uint())
	return true
}
