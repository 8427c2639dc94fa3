package sim

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"time"
)

// PubSubOptions are the rules and faults of a [PubSub]. The zero value of a rule is the real upstream's figure (see
// [PubSubOptions.WithDefaults]) and a negative one switches the rule off; the zero value of a fault is that it never happens.
// Shares are from 0 to 1. An interval is a mean: the times between are drawn between half of it and one and a half.
type PubSubOptions struct {
	Seed uint64       // of every choice made by chance
	Log  *slog.Logger // for people; nil: no log. Called with the simulator's lock held, so it should not block for long

	// What is sent.
	Rate      float64 // events a second, over all topics listened to
	Saturate  bool    // instead: as fast as each client reads, and each event to one client only. Not for virtual time
	Duplicate float64 // share of the events that are sent twice in a row
	Unknown   float64 // share of the events that are followed by a frame of an unknown type
	Spaces    bool    // more white space in each frame than is needed
	Newline   bool    // a line feed at the end of each frame

	// Rules.
	Connections         int           // most at a time, all clients together; 10
	Starve              bool          // one too many is not refused with 429: the oldest get no events instead, as on the real upstream
	TopicsPerConnection int           // 50
	TooManyTopics       string        // what answers a LISTEN that would pass it; "ERR_TOO_MANY_TOPICS"
	TopicsPerListen     int           // more end the connection at once; 20
	FirstListen         time.Duration // a connection that asked for nothing for so long is closed; 15s
	Idle                time.Duration // a connection without a PING for so long is closed; 5m
	WSPing              time.Duration // between the WebSocket pings that the server sends; 30s
	WSPong              time.Duration // without an answer to one for so long: Close 4100; 10s
	Backlog             int           // most messages that wait for a client that takes no bytes, past which it is cut off; 30
	SendBuffer          int           // bytes that the kernel buffers for each connection, so that Backlog is felt; 0: as it likes
	TokenTopics         []string      // prefixes of the topics that need a token; nil: the real ones, empty: none
	Token               string        // the only good token; "": any is good
	BadTopics           []string      // patterns (see path.Match) of topics that do not exist: ERR_BADTOPIC

	// Faults that strike by chance.
	Refuse          float64       // share of the handshakes that are refused
	RefuseStatus    int           // with this HTTP status; 503. Negative: with a RST instead
	RetryAfter      time.Duration // told in the refusal, in whole seconds
	HandshakeDelay  time.Duration // before the answer to a handshake
	AcceptThenClose bool          // a FIN right after the answer to each handshake
	PongDelay       time.Duration // before each PONG
	PongLoss        float64       // share of the PINGs that are not answered
	ResponseDelay   time.Duration // before each RESPONSE
	ResponseLoss    float64       // share of the asks that are carried out and not answered
	ServerErrors    float64       // share of the LISTENs that are answered ERR_SERVER

	// Faults that strike one of the open connections every so often.
	ResetEvery     time.Duration // RST
	FINEvery       time.Duration // FIN without a Close
	CloseEvery     time.Duration // Close with CloseCode
	CloseCode      int           // 1012
	SilenceEvery   time.Duration // from then on neither answers nor sends, and stays open
	ReconnectEvery time.Duration // RECONNECT, then Close after ReconnectGrace
	ReconnectGrace time.Duration // 30s
	GarbageEvery   time.Duration // a text message that is not JSON
	BadFrameEvery  time.Duration // a frame that no WebSocket may send
	OversizeEvery  time.Duration // a MESSAGE of OversizeBytes
	OversizeBytes  int           // 2 MiB
	RevokeEvery    time.Duration // AUTH_REVOKED for one topic that needs a token
	StormEvery     time.Duration // RST for all connections at once
}

// WithDefaults returns o with the real upstream's figures where o has zero.
func (o PubSubOptions) WithDefaults() PubSubOptions {
	orDefault(&o.Connections, 10)
	orDefault(&o.TopicsPerConnection, 50)
	orDefault(&o.TooManyTopics, "ERR_TOO_MANY_TOPICS")
	orDefault(&o.TopicsPerListen, 20)
	orDefault(&o.FirstListen, 15*time.Second)
	orDefault(&o.Idle, 5*time.Minute)
	orDefault(&o.WSPing, 30*time.Second)
	orDefault(&o.WSPong, 10*time.Second)
	orDefault(&o.Backlog, 30)
	orDefault(&o.RefuseStatus, http.StatusServiceUnavailable)
	orDefault(&o.CloseCode, closeRestart)
	orDefault(&o.ReconnectGrace, 30*time.Second)
	orDefault(&o.OversizeBytes, 2<<20)
	if o.TokenTopics == nil {
		o.TokenTopics = []string{
			"community-points-user-v1.", "predictions-user-v1.", "user-drop-events.", "onsite-notifications.", "presence.",
			"whispers.", "chat_moderator_actions.", "automod-queue.",
		}
	}
	return o
}

func orDefault[T comparable](v *T, real T) {
	var zero T
	if *v == zero {
		*v = real
	}
}

// Check says what is wrong with o: for options that come from people.
func (o PubSubOptions) Check() error {
	var errs []error
	for _, share := range []struct {
		name  string
		value float64
	}{
		{"Duplicate", o.Duplicate}, {"Unknown", o.Unknown}, {"Refuse", o.Refuse}, {"PongLoss", o.PongLoss},
		{"ResponseLoss", o.ResponseLoss}, {"ServerErrors", o.ServerErrors},
	} {
		if !(share.value >= 0 && share.value <= 1) {
			errs = append(errs, fmt.Errorf("%s: %v is not a share from 0 to 1", share.name, share.value))
		}
	}
	if !(o.Rate >= 0 && o.Rate <= 1e6) {
		errs = append(errs, fmt.Errorf("%s: %v is not from 0 to 1000000 events a second", "Rate", o.Rate))
	}
	if o.RefuseStatus > 0 && (o.RefuseStatus < 200 || o.RefuseStatus > 599) {
		errs = append(errs, fmt.Errorf("RefuseStatus: %d is no status that refuses", o.RefuseStatus))
	}
	if o.CloseCode != 0 && (o.CloseCode < 1000 || o.CloseCode > 65535) {
		errs = append(errs, fmt.Errorf("CloseCode: %d does not fit", o.CloseCode))
	}
	if o.OversizeBytes < 0 || o.OversizeBytes > maxQueue {
		errs = append(errs, fmt.Errorf("OversizeBytes: %d is not from 0 to %d", o.OversizeBytes, maxQueue))
	}
	for _, pattern := range o.BadTopics {
		if _, err := path.Match(pattern, ""); err != nil {
			errs = append(errs, fmt.Errorf("BadTopics: %q: %w", pattern, err))
		}
	}
	return errors.Join(errs...)
}
