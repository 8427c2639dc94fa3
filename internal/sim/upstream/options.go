package upstream

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Close codes that the simulators use.
const (
	CloseProtocolError = 1002
	ClosePolicy        = 1008
	CloseTooBig        = 1009
	CloseRestart       = 1012
)

// What can stand where a close code is asked for, and sends no Close.
const (
	EndFIN = -1
	EndRST = -2
)

// Options are the rules and faults that every upstream can have. A rule that is not positive is off; what its zero value
// stands for in a simulator's own options, that says. The zero value of a fault is that it never happens. Shares are
// from 0 to 1. An interval is a mean: the times between are drawn between half of it and one and a half.
type Options struct {
	Seed uint64       // of every choice made by chance
	Log  *slog.Logger // for people; nil: no log. Called with the server's lock held, so it should not block for long

	// What is sent.
	Rate     float64 // events a second, over all topics listened to
	Saturate bool    // instead: as fast as each client reads, and each event to one client only. Not for virtual time

	// Rules.
	Connections int           // most at a time, all clients together
	Starve      bool          // one too many is not refused with 429: the oldest get no events instead
	WSPing      time.Duration // between the WebSocket pings that the server sends
	WSPong      time.Duration // without an answer to one for so long: Close 4100
	Backlog     int           // most messages that wait for a client that takes no bytes, past which it is cut off
	SendBuffer  int           // bytes that the kernel buffers for each connection, so that Backlog is felt; 0: as it likes

	// Faults that strike by chance.
	Refuse          float64       // share of the handshakes that are refused
	RefuseStatus    int           // with this HTTP status; 503. Negative: with a RST instead
	RefuseLocation  string        // told in the refusal: where to dial instead
	RetryAfter      time.Duration // told in the refusal, in whole seconds
	HandshakeDelay  time.Duration // before the answer to a handshake
	AcceptThenClose bool          // a FIN right after the answer to each handshake
	Life            time.Duration // every connection ends at this age, counted from its 101, as CloseCode says
	CloseDelay      time.Duration // before a client's Close is answered; events go on meanwhile

	// Faults that strike one of the open connections every so often.
	ResetEvery    time.Duration // RST
	FINEvery      time.Duration // FIN without a Close
	CloseEvery    time.Duration // as CloseCode says
	CloseCode     int           // of a Close; 1012. Or EndFIN, or EndRST
	SilenceEvery  time.Duration // from then on neither answers nor sends, and stays open
	BadFrameEvery time.Duration // a frame that no WebSocket may send
	StormEvery    time.Duration // RST for all connections at once
}

// WithDefaults fills in what does not depend on the upstream.
func (o Options) WithDefaults() Options {
	o.RefuseStatus = cmp.Or(o.RefuseStatus, http.StatusServiceUnavailable)
	o.CloseCode = cmp.Or(o.CloseCode, CloseRestart)
	return o
}

// Check says what is wrong with o: for options that come from people.
func (o Options) Check() error {
	errs := []error{CheckShare("Refuse", o.Refuse), CheckCloseCode("CloseCode", o.CloseCode)}
	if !(o.Rate >= 0 && o.Rate <= 1e6) {
		errs = append(errs, fmt.Errorf("rate: %v is not from 0 to 1000000 events a second", o.Rate))
	}
	if o.RefuseStatus > 0 && (o.RefuseStatus < 200 || o.RefuseStatus > 599) {
		errs = append(errs, fmt.Errorf("RefuseStatus: %d is no status that refuses", o.RefuseStatus))
	}
	if strings.ContainsAny(o.RefuseLocation, "\r\n") {
		errs = append(errs, fmt.Errorf("RefuseLocation: %q is more than a line", o.RefuseLocation))
	}
	return errors.Join(errs...)
}

// CheckCloseCode returns nil for what can stand where a close code is asked for; 0 is the default.
func CheckCloseCode(name string, code int) error {
	if code >= 1000 && code <= 65535 || code == EndFIN || code == EndRST || code == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d is neither a close code nor %d (a FIN) nor %d (a RST)", name, code, EndFIN, EndRST)
}

// CheckShare returns nil for a value from 0 to 1.
func CheckShare(name string, value float64) error {
	if value >= 0 && value <= 1 {
		return nil
	}
	return fmt.Errorf("%s: %v is not a share from 0 to 1", name, value)
}
