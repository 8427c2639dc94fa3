package scaiwave

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"feedmux/internal/sim/upstream"
)

const (
	maxOversize = 32 << 20 // bytes: a client longer in arrears would be cut off
	maxRooms    = 1_000_000
	maxKeep     = 10_000_000
)

// Options are the rules and faults of a [ScaiWave]. The zero value of a rule is the real upstream's figure (see
// [Options.WithDefaults]) and a negative one switches the rule off; the zero value of a fault is that it never happens.
// Shares are from 0 to 1. An interval is a mean: the times between are drawn between half of it and one and a half.
type Options struct {
	// Options are those of any upstream: faults strike the streams only. ScaiWave's figures: WebSocket pings every 30s that
	// must be answered within 20s, and else Close 4003 ping_timeout. Rate is of all events together. Saturate is not known
	// here: the log that every socket shares sets the pace.
	upstream.Options

	// What is sent.
	Rooms     int     // events happen in so many; 10
	Others    float64 // share of the events with a position that are no messages, but reactions, redactions and the like
	Chunks    float64 // share of all events that are chunks of a message, without a position
	Typing    float64 // share of all events that are typing, without a position
	Presence  float64 // share of all events that are presence, without a position or a room
	Holes     float64 // share of the positions that are followed by a hole, of 1 to 20
	Duplicate float64 // share of the events with a position that are sent twice in a row
	Unknown   float64 // share of all events that are followed by a frame of an unknown type
	Record    bool    // for tests: Published has the events that are no longer kept, too

	// Rules.
	Tenant     string // tenant_id in hello and in events; "tenant-1"
	ServerName string // "scaiwave.test"
	Token      string // the only good token; "": any is good
	EndSockets bool   // SetToken closes the sockets of the token before, with 4001; else they live on
	Keep       int    // events that sync still has; 10,000
	JSONPing   bool   // the server's pings are {"type":"ping"}, to be answered {"type":"pong"}, and no WebSocket pings

	// Faults that strike by chance.
	HelloDelay time.Duration // before hello; the events that happen meanwhile are in sync only
	HelloLoss  float64       // share of the sockets that get no hello, and no events
	// Race makes an event happen right before each socket is registered, and right after the first answer of sync after it that
	// says that there is no more: where a client that reads one and then the other loses it.
	Race            bool
	SyncDelay       time.Duration // before each answer of sync
	SyncErrors      float64       // share of the requests to sync that are answered SyncErrorStatus
	SyncErrorStatus int           // 503
	SyncLimits      float64       // share of them that are answered 429
	SyncRetryAfter  time.Duration // told with it, in whole seconds; 2s
	SyncGone        int           // HTTP status, 403 or 404, that answers each of them; 0: none
	SyncCuts        float64       // share of them whose answer ends in its middle, with a FIN
	SyncResets      float64       // share of them whose answer ends in its middle, with a RST
	SyncSilences    float64       // share of them that are never answered

	// Faults that strike every so often. They need an open socket to happen, whatever they do.
	LateEvery        time.Duration // an event becomes visible after one with a higher position, in both channels
	RebuildEvery     time.Duration // the server starts over: Rebuild
	TakeoverEvery    time.Duration // Close 4003 duplicate_connection, as if somebody else had signed in
	PingTimeoutEvery time.Duration // Close 4003 ping_timeout, though pings were answered
	ExpireEvery      time.Duration // Close 4001, though the token is good when it is tried again
	GarbageEvery     time.Duration // a text message that is not JSON
	OversizeEvery    time.Duration // a chunk of OversizeBytes
	OversizeBytes    int           // 2 MiB
}

// WithDefaults returns o with the real upstream's figures where o has zero.
func (o Options) WithDefaults() Options {
	o.Options = o.Options.WithDefaults()
	o.WSPing = cmp.Or(o.WSPing, 30*time.Second)
	o.WSPong = cmp.Or(o.WSPong, 20*time.Second)
	o.Rooms = cmp.Or(o.Rooms, 10)
	o.Tenant = cmp.Or(o.Tenant, "tenant-1")
	o.ServerName = cmp.Or(o.ServerName, "scaiwave.test")
	o.Keep = cmp.Or(o.Keep, 10_000)
	o.SyncErrorStatus = cmp.Or(o.SyncErrorStatus, 503)
	o.SyncRetryAfter = cmp.Or(o.SyncRetryAfter, 2*time.Second)
	o.OversizeBytes = cmp.Or(o.OversizeBytes, 2<<20)
	return o
}

// Check says what is wrong with o: for options that come from people.
func (o Options) Check() error {
	errs := []error{
		o.Options.Check(),
		upstream.CheckShare("Others", o.Others),
		upstream.CheckShare("Chunks", o.Chunks),
		upstream.CheckShare("Typing", o.Typing),
		upstream.CheckShare("Presence", o.Presence),
		upstream.CheckShare("Chunks, Typing and Presence together", o.Chunks+o.Typing+o.Presence),
		upstream.CheckShare("Holes", o.Holes),
		upstream.CheckShare("Duplicate", o.Duplicate),
		upstream.CheckShare("Unknown", o.Unknown),
		upstream.CheckShare("HelloLoss", o.HelloLoss),
		upstream.CheckShare("SyncErrors", o.SyncErrors),
		upstream.CheckShare("SyncLimits", o.SyncLimits),
		upstream.CheckShare("SyncCuts", o.SyncCuts),
		upstream.CheckShare("SyncResets", o.SyncResets),
		upstream.CheckShare("SyncSilences", o.SyncSilences),
		checkRange("Rooms", o.Rooms, 0, maxRooms),
		checkRange("Keep", o.Keep, 0, maxKeep),
		checkRange("OversizeBytes", o.OversizeBytes, 0, maxOversize),
	}
	if o.SyncErrorStatus != 0 {
		errs = append(errs, checkRange("SyncErrorStatus", o.SyncErrorStatus, 500, 599))
	}
	if o.SyncGone != 0 && o.SyncGone != 403 && o.SyncGone != 404 {
		errs = append(errs, fmt.Errorf("SyncGone: %d is neither 403 nor 404", o.SyncGone))
	}
	if o.Saturate {
		errs = append(errs, errors.New("saturate: not known here; give a Rate"))
	}
	return errors.Join(errs...)
}

func checkRange(name string, value, from, to int) error {
	if value >= from && value <= to {
		return nil
	}
	return fmt.Errorf("%s: %d is not from %d to %d", name, value, from, to)
}
