// Package kite speaks the ticker of Zerodha's Kite Connect, the protocol "kite".
//
// The client sends JSON: subscribe, unsubscribe, and mode, which says how much is to be told of an instrument. Nothing is
// ever acknowledged. The server sends ticks in binary frames, each a list of packets that only their length tells apart;
// one byte is a heartbeat. Text frames hold what concerns the whole account: orders, errors, messages for people.
// There are no event ids and no replay. The credential counts at the handshake only.
//
// An instrument has a number, its token, and a name such as NSE:INFY, which only a file, the dump of all instruments,
// leads to the token. names.go makes topics of what users write. Sessions know tokens.
//
// packet.go reads ticks and judges whether they can be true, render.go writes them as JSON: without allocating, and with
// prices that are decimal numbers from end to end. What does not add up is skipped and counted; no bytes end a life.
//
// See docs/kite.md.
package kite
