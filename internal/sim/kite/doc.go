// Package kite simulates the ticker of Kite Connect: subscribe, unsubscribe and mode, the binary ticks of every kind, order
// postbacks, and the limits that [Options] names with the real figures.
//
// A [Ticker] makes its market up: any instrument token may be subscribed to, and its price moves as the seed says, at the
// present time. Each tick of a tradable instrument raises volume_traded by exactly one, from 1, whoever is sent it. So a
// test can tell from the packets alone what was lost, repeated or reordered (modes quote and full). What repeats the
// newest tick is a snapshot, sent after subscribe, or stands in a frame that breaks the format on purpose: such frames
// come in addition, so a client that skips them whole misses nothing. Of an index, and in mode ltp, no two ticks in a row
// have the same last price.
//
// What the clients did is recorded: [Ticker.Conns], [Ticker.Sent], [Ticker.Orders], and package upstream's Violations; for
// a test that holds every packet against what a client made of it, [Ticker.TakeSent]. Most faults are package upstream's.
//
// Where the real upstream's answer is not known, the simulator's is a choice: the cap counts a socket from its request on;
// a mode for a token that was not subscribed to is ignored, and a new mode shows with the next tick; subscribing again
// changes nothing; a message that is no request is answered with an error text of our own.
package kite
