package kite

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"feedmux/internal/sim/upstream"
)

// Options are the rules and faults of a [Ticker]. The zero value of a rule is the real upstream's figure (see
// [Options.WithDefaults]) and a negative one switches the rule off; the zero value of a fault is that it never happens.
// Shares are from 0 to 1. An interval is a mean: the times between are drawn between half of it and one and a half.
type Options struct {
	// Options are those of any upstream, but for Saturate, which this one does not know. Connections is counted for each
	// api_key, 3 by default (with Starve: for all of them together). Rate is in ticks a second, over all instruments.
	upstream.Options

	// What is sent.
	Batch           time.Duration // ticks gather for so long and leave together; 10ms
	PacketsPerFrame int           // most packets in a frame, which is what gathered; 500
	Preamble        bool          // right after the handshake, the texts that no document knows
	OrderToOne      bool          // an order's postbacks go to one socket of the key, not to all
	Record          bool          // for tests: TakeSent says what was sent, packet by packet

	// Rules.
	Token                    string        // the only good access_token; "": any is good
	InstrumentsPerConnection int           // 3000
	Heartbeat                time.Duration // between heartbeats; 1s
	HeartbeatIdle            bool          // only where nothing else was sent for so long
	ModeSubscribes           bool          // a mode for a token that was not subscribed to subscribes to it

	// Faults of handshake and limits.
	TokenDies         time.Duration // an access_token is refused when so long has passed since it was first good
	Linger            time.Duration // a socket that dropped without a Close counts in the cap for so long still
	LingerInstruments time.Duration // its instruments count on the next socket of the key until so long has passed

	// Faults that strike by chance.
	Odd            float64 // share of the ticks that contradict themselves, each [Oddity] in turn
	UnknownPackets float64 // share of the ticks that a packet of a length that means nothing follows

	// Faults, and other news, that strike one of the open connections every so often.
	OrderEvery         time.Duration // an order postback, to all sockets of the key
	MessageEvery       time.Duration // a text of type message
	ErrorEvery         time.Duration // a text of type error
	UnknownTextEvery   time.Duration // a text of an unknown type
	GarbageEvery       time.Duration // a text that is not JSON, or JSON of another shape
	TruncateEvery      time.Duration // a binary frame that ends before it should
	TrailingEvery      time.Duration // a binary frame with bytes left behind its last packet
	HeartbeatStopEvery time.Duration // no heartbeats any more; everything else goes on
}

// WithDefaults returns o with the real upstream's figures where o has zero.
func (o Options) WithDefaults() Options {
	o.Options = o.Options.WithDefaults()
	o.Connections = cmp.Or(o.Connections, 3)
	o.Batch = cmp.Or(o.Batch, 10*time.Millisecond)
	o.PacketsPerFrame = cmp.Or(o.PacketsPerFrame, 500)
	o.InstrumentsPerConnection = cmp.Or(o.InstrumentsPerConnection, 3000)
	o.Heartbeat = cmp.Or(o.Heartbeat, time.Second)
	return o
}

// Check says what is wrong with o: for options that come from people.
func (o Options) Check() error {
	errs := []error{
		o.Options.Check(),
		upstream.CheckShare("Odd", o.Odd),
		upstream.CheckShare("UnknownPackets", o.UnknownPackets),
	}
	if o.Saturate {
		errs = append(errs, errors.New("saturate: the ticker does not know it; Rate goes as high"))
	}
	if o.Batch < 0 || o.Batch > time.Minute {
		errs = append(errs, fmt.Errorf("batch: %v is not from 0s to 1m", o.Batch))
	}
	if o.PacketsPerFrame < 0 || o.PacketsPerFrame > maxPackets {
		errs = append(errs, fmt.Errorf("PacketsPerFrame: %d is not from 0 to %d", o.PacketsPerFrame, maxPackets))
	}
	return errors.Join(errs...)
}

// server returns the options of the server below: events are batches there, and the cap is ours.
func (o Options) server() upstream.Options {
	below := o.Options
	if o.Batch > 0 {
		below.Rate = min(o.Rate, 1/o.Batch.Seconds())
	}
	if !o.Starve {
		below.Connections = 0
	}
	below.Saturate = false
	return below
}
