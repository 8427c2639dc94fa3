// Package scaiwave speaks ScaiWave, the protocol "scaiwave".
//
// One socket to a token: the server sends everything that the token's user may see, one JSON object a text frame, and is
// asked for nothing. So topics are filters, over room and type. The first frame is hello.
//
// What is kept has a position, a number that grows along the stream, and comes from /v1/sync, too: asked with the last
// position that one has, it answers with what came after it, or waits until something does. Typing, presence and
// chunks have no position and come once or never. Holding back, paging and removing repeats is the resumer's; here is only
// what to ask and how to read the answer.
//
// The two channels spell an event differently. body (event.go) is the one spelling in which those with a position go on,
// so that nobody can tell which way one came; those without go on as they are.
//
// Every message is judged by encoding/json as a whole first, so that what reads it afterwards (json.go) can rely on it.
//
// See docs/scaiwave.md.
package scaiwave
