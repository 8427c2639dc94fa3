package simulators

import (
	"time"

	"github.com/spf13/pflag"

	simulated "feedmux/internal/sim/upstream"
)

// upstreamFlags makes a flag of every option that all simulated upstreams have, but Saturate, which not all of them know.
func upstreamFlags(f *pflag.FlagSet, o *simulated.Options) {
	f.Uint64Var(&o.Seed, "seed", 1, "of every choice made by chance")
	f.Float64Var(&o.Rate, "rate", o.Rate, "events a second, all together")

	f.IntVar(&o.Connections, "connections", o.Connections, "most connections at a time; 0: any number")
	f.BoolVar(&o.Starve, "starve", false, "past that, the oldest get no events, instead of refusing the newest with 429")
	f.DurationVar(&o.WSPing, "ws-ping", o.WSPing, "between the server's own pings")
	f.DurationVar(&o.WSPong, "ws-pong", o.WSPong, "without an answer to one for so long, the connection is closed")
	f.IntVar(&o.Backlog, "backlog", o.Backlog, "messages that may wait for a client that reads nothing; 0: any number")
	f.IntVar(&o.SendBuffer, "send-buffer", 0, "`bytes` the kernel buffers for a connection, so that --backlog is felt")

	f.Float64Var(&o.Refuse, "refuse", 0, "`share` of the handshakes that are refused")
	f.IntVar(&o.RefuseStatus, "refuse-status", o.RefuseStatus, "with this HTTP status; negative: with a RST")
	f.StringVar(&o.RefuseLocation, "refuse-location", "", "`url` told with the refusal, for a status such as 307")
	f.DurationVar(&o.RetryAfter, "retry-after", 0, "told with the refusal")
	f.DurationVar(&o.HandshakeDelay, "handshake-delay", 0, "before the answer to a handshake")
	f.BoolVar(&o.AcceptThenClose, "accept-then-close", false, "end every connection right after its handshake")
	f.DurationVar(&o.Life, "life", 0, "every connection ends at this age, as --close-code says")
	f.DurationVar(&o.CloseDelay, "close-delay", 0, "before a client's Close is answered; events go on meanwhile")

	every := everyFlags(f)
	every(&o.ResetEvery, "reset", "RST")
	every(&o.FINEvery, "fin", "FIN without a Close")
	every(&o.CloseEvery, "close", "Close, as --close-code says")
	f.IntVar(&o.CloseCode, "close-code", o.CloseCode, "of --close-every and --life; -1: a FIN, -2: a RST instead of a Close")
	every(&o.SilenceEvery, "silence", "it stays open and says nothing any more")
	every(&o.BadFrameEvery, "bad-frame", "a frame that no WebSocket may send")
	f.DurationVar(&o.StormEvery, "storm-every", 0, "about so often: RST for all connections at once")
}

// everyFlags returns what makes a flag of a fault that strikes one connection every so often.
func everyFlags(f *pflag.FlagSet) func(v *time.Duration, name, what string) {
	return func(v *time.Duration, name, what string) {
		f.DurationVar(v, name+"-every", 0, "about so often, for one of the connections: "+what)
	}
}
