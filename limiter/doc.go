// Package limiter says when: when the next attempt may begin, when to come back after a failure, when to ping, and
// when a log line is one too many.
//
// It knows nothing of sockets or topics, and never waits. Where chance is needed, the caller passes it in.
//
//   - [Budget] is a strict sliding window. A token bucket of N lets nearly 2N attempts through at the edge of a window,
//     which an upstream that counts strictly answers with refusals. A Budget has N lanes, taken in turn, each of which
//     carries one attempt and then rests for the length of the window.
//   - [Backoff] spreads redials over a growing time, and forgets failures only after a life that settled.
//   - [Pacer] spreads the pings of a pool over the interval: by slot first, by chance second.
//   - [NewLogHandler] bounds the rate of log lines, whatever upstreams send.
package limiter
