package twitch

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"feedmux/internal/sim/upstream"
)

// maxOversize bounds OversizeBytes: a client longer in arrears would be cut off.
const maxOversize = 32 << 20

// PubSubOptions are the rules and faults of a [PubSub]. The zero value of a rule is the real upstream's figure (see
// [PubSubOptions.WithDefaults]) and a negative one switches the rule off; the zero value of a fault is that it never
// happens. Shares are from 0 to 1. An interval is a mean: the times between are drawn between half of it and one and a
// half.
type PubSubOptions struct {
	// Options are those of any upstream. Twitch's figures: 10 connections (of the real one, Starve is true), WebSocket
	// pings every 30s that must be answered within 10s, and a backlog of 30.
	upstream.Options

	// What is sent.
	Duplicate float64 // share of the events that are sent twice in a row
	Unknown   float64 // share of the events that are followed by a frame of an unknown type
	Spaces    bool    // more white space in each frame than is needed
	Newline   bool    // a line feed at the end of each frame
	Record    bool    // for tests: TakeSent says what was sent, event by event. Not with Saturate

	// Rules.
	TopicsPerConnection int           // 50
	TooManyTopics       string        // what answers a LISTEN that would pass it; "ERR_TOO_MANY_TOPICS"
	TopicsPerListen     int           // more end the connection at once; 20
	FirstListen         time.Duration // a connection that asked for nothing for so long is closed; 15s
	Idle                time.Duration // a connection without a PING for so long is closed; 5m
	TokenTopics         []string      // prefixes of the topics that need a token; nil: the real ones, empty: none
	Token               string        // the only good token; "": any is good
	BadTopics           []string      // patterns (see path.Match) of topics that do not exist: ERR_BADTOPIC

	// Faults that strike by chance.
	PongDelay     time.Duration // before each PONG
	PongLoss      float64       // share of the PINGs that are not answered
	ResponseDelay time.Duration // before each RESPONSE
	ResponseLoss  float64       // share of the asks that are carried out and not answered
	ServerErrors  float64       // share of the LISTENs that are answered ERR_SERVER
	PoisonTopics  []string      // patterns; a LISTEN with such a topic is not carried out and ends the connection
	PoisonCode    int           // with this close code; 4000. Or upstream.EndFIN, or upstream.EndRST

	// Faults that strike one of the open connections every so often.
	ReconnectEvery time.Duration // RECONNECT, then Close after ReconnectGrace
	ReconnectGrace time.Duration // 30s
	GarbageEvery   time.Duration // a text message that is not JSON
	OversizeEvery  time.Duration // a MESSAGE of OversizeBytes
	OversizeBytes  int           // 2 MiB
	RevokeEvery    time.Duration // AUTH_REVOKED for one topic that needs a token
}

// WithDefaults returns o with the real upstream's figures where o has zero.
func (o PubSubOptions) WithDefaults() PubSubOptions {
	o.Options = o.Options.WithDefaults()
	o.Connections = cmp.Or(o.Connections, 10)
	o.WSPing = cmp.Or(o.WSPing, 30*time.Second)
	o.WSPong = cmp.Or(o.WSPong, 10*time.Second)
	o.Backlog = cmp.Or(o.Backlog, 30)
	o.TopicsPerConnection = cmp.Or(o.TopicsPerConnection, 50)
	o.TooManyTopics = cmp.Or(o.TooManyTopics, "ERR_TOO_MANY_TOPICS")
	o.TopicsPerListen = cmp.Or(o.TopicsPerListen, 20)
	o.FirstListen = cmp.Or(o.FirstListen, 15*time.Second)
	o.Idle = cmp.Or(o.Idle, 5*time.Minute)
	o.PoisonCode = cmp.Or(o.PoisonCode, 4000)
	o.ReconnectGrace = cmp.Or(o.ReconnectGrace, 30*time.Second)
	o.OversizeBytes = cmp.Or(o.OversizeBytes, 2<<20)
	if o.TokenTopics == nil {
		o.TokenTopics = []string{
			"community-points-user-v1.", "predictions-user-v1.", "user-drop-events.", "onsite-notifications.", "presence.",
			"whispers.", "chat_moderator_actions.", "automod-queue.",
		}
	}
	return o
}

// Check says what is wrong with o: for options that come from people.
func (o PubSubOptions) Check() error {
	errs := []error{
		o.Options.Check(),
		upstream.CheckShare("Duplicate", o.Duplicate),
		upstream.CheckShare("Unknown", o.Unknown),
		upstream.CheckShare("PongLoss", o.PongLoss),
		upstream.CheckShare("ResponseLoss", o.ResponseLoss),
		upstream.CheckShare("ServerErrors", o.ServerErrors),
		upstream.CheckCloseCode("PoisonCode", o.PoisonCode),
		checkPatterns("BadTopics", o.BadTopics),
		checkPatterns("PoisonTopics", o.PoisonTopics),
	}
	if o.OversizeBytes < 0 || o.OversizeBytes > maxOversize {
		errs = append(errs, fmt.Errorf("OversizeBytes: %d is not from 0 to %d", o.OversizeBytes, maxOversize))
	}
	if o.Record && o.Saturate {
		errs = append(errs, errors.New("saturate: not with Record"))
	}
	return errors.Join(errs...)
}

func checkPatterns(name string, patterns []string) error {
	var errs []error
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", name, pattern, err))
		}
	}
	return errors.Join(errs...)
}

func (o *PubSubOptions) needsToken(topic string) bool {
	for _, prefix := range o.TokenTopics {
		if strings.HasPrefix(topic, prefix) {
			return true
		}
	}
	return false
}

func (o *PubSubOptions) isBad(topic string) bool { return topic == "" || matches(o.BadTopics, topic) }

func (o *PubSubOptions) isPoison(topic string) bool { return matches(o.PoisonTopics, topic) }

func matches(patterns []string, topic string) bool {
	for _, pattern := range patterns {
		if ok, err := path.Match(pattern, topic); ok && err == nil { // Check reports bad patterns
			return true
		}
	}
	return false
}
