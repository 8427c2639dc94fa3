// Package protocoltest tests sessions: with transcripts, and against the contract that every session must keep.
//
// A transcript is a text file that reads as a dialogue. Each input is followed by what the session answered to it:
//
//	# Comments and blank lines stand before an input.
//	want raid.1 raid.2                              Change is asked to add these topics
//	> {"type":"LISTEN", …}                          the session writes a text frame; a binary one: > binary 0102ff
//	< text {"type":"RESPONSE", …}                   the upstream sends a message; or: < binary 0102ff
//	live                                            Out.Live
//	settled raid.1 confirmed
//	settled raid.2 refused ERR_BADTOPIC             or split, or again; then the reason
//	< text {"type":"MESSAGE", …}
//	event raid.1 {"n":1}                            before the body: or=NAME, value=…, id=…, position=…, sent=…
//	< text {"type":"odd"}
//	skipped unknown_type
//	ping                                            Ping is called
//	drop raid.1                                     Change is asked to drop these topics
//
// The other answers are > ping (a ping of WebSocket's own), pong, move, full, odd with the topic and the kind of an oddity,
// words with their kind and text, and error with the text of the error that ended the life. A message, topic,
// payload or reason that could be misread (it is empty, has spaces where a word is due, or bytes that do not print) is
// quoted as in Go.
//
// With the flag -update, Run rewrites the answers, and never an input or a comment.
package protocoltest
