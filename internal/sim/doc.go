// Package sim holds upstreams that run inside the process, obey the rules of the real ones and break on request: for tests in
// virtual time, for `feedmux sim` and for `feedmux demo`.
//
// It shares no code with the rest of the project, not even an encoder, because shared code would share its mistakes; it needs the
// standard library alone.
//
// # Network
//
// A [Network] is TCP as far as a program can see it, in memory: bounded buffers, deadlines, FIN, RST, lost bytes, a window that
// stays shut, dials that are refused or hang. Whoever waits in it waits on a channel, so that time can move in a synctest bubble.
// The simulators work over real sockets just as well.
//
// # PubSub
//
// [PubSub] is Twitch's PubSub: LISTEN and UNLISTEN, PING and PONG, and the limits that [PubSubOptions] names with the real figures.
// What it sends are frames that Twitch sent (data/README.md) with the topic at hand and the present time. Each event carries a
// number, counted from 1 for each topic, where the real frame has some figure of its own: [EventNumber] reads it back, and so a
// test can tell lost events from repeated and reordered ones.
//
// Faults come by two ways: methods, for tests, and options that strike by chance or every so often, for people. All chance comes
// from the seed. [PubSub.Unfired] names the faults that were planned and did not happen, and a test that planned one should look.
// What the clients did is recorded: [PubSub.Conns], [PubSub.Sent], [PubSub.Violations].
//
// Where the real upstream's answer is not known, the simulator's is a choice: more than 20 topics in a LISTEN end the connection
// with a FIN and no Close; more than 50 topics on a connection are answered with an error text of its own; a connection too many is
// refused with 429; other broken rules are answered with Close 1008.
package sim
