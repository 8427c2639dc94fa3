// Package conn keeps the connection of one slot.
//
// A Conn owns its slot's state, timers, writes and backoff, all in Run. Two kinds of goroutines work for it: a dialer
// while the slot dials, and a reader, one for each life, which owns the read side of the socket and hands events straight
// to the Publisher. News travels upward and may wait: reader to Conn, Conn to whoever made it. Orders travel downward and
// never wait: the wanted topics go whole through a one-slot channel in which the newest wins, and the Conn works out the
// difference. So a reconnect is the ordinary case: a new life has asked for nothing, and the difference is everything.
//
// The states of a slot, and what leads from one to the next:
//
//	state     from                    because
//	closed    leaving, waiting, …     no topic has its place here, or all ends
//	waiting   dialing                 the dial failed
//	          opening, live, leaving  the life ended and topics are still wanted here
//	dialing   closed                  the first topic came
//	          waiting                 the backoff has passed
//	          parked                  the credential changed
//	opening   dialing                 the handshake succeeded
//	live      opening                 the first application frame came
//	leaving   opening, live           Close was sent: no topics left, asked to move, or all ends
//	parked    waiting, dialing        the upstream refused the credential, here or in another slot
//
// What a life does by itself is package life's. While a slot is live it may have two lives: handover.go tells how one takes
// over from the other.
package conn
