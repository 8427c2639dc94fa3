// Package sim holds a network in memory, for tests in virtual time. The packages below it hold upstreams that run inside
// the process, obey the rules of the real ones and break on request: for such tests, for `feedmux sim` and for
// `feedmux demo`. Package upstream is what they share, on package websocket; each protocol has a package of its own.
//
// A [Network] is TCP as far as a program can see it: bounded buffers, deadlines, FIN, RST, lost bytes, a window that stays
// shut, dials that are refused or hang. Whoever waits in it waits on a channel, so that time can move in a synctest
// bubble. The simulated upstreams work over real sockets just as well.
//
// None of these packages shares code with the rest of the project, not even an encoder, because shared code would share
// its mistakes; they need the standard library alone.
package sim
