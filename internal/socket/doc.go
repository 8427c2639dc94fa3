// Package socket is one WebSocket client connection, from dial to close. It knows no protocol and never reconnects:
// after the first error a Conn is over, and the caller dials another.
//
// It stands on the low level of github.com/gobwas/ws: the handshake, frame headers and masking are the library's;
// limits, deadlines and the close handshake are here, because the library sets none.
//
// One goroutine calls Read. It answers pings and Close by itself. Write, Ping, Leave, Abort and Close may be called
// from anywhere. The life of a Conn ends in one of three ways: the peer ends it, and Read says how; Leave begins the
// close handshake, and Read delivers what still comes, for two seconds at most; Abort resets it at once. Then Close
// releases it.
//
// What a peer can make us do is bounded:
//
//	handshake           64 KiB and Options.Timeout
//	message             Options.MaxMessage, longer ones are skipped; above 16 MiB the connection ends with 1009
//	time for a message  30 s from its first byte, fragments and the control frames between them included
//	memory              what has arrived, never what a header promises
//	answers             ten pongs a second, always for the newest ping
//	write               10 s, then the connection is reset; a Close frame 1 s
//
// Liveness between messages is the caller's: it pings, looks at LastRead and LastPong, and aborts.
//
// Where RFC 6455 leaves a choice: a length that is not in its shortest form is accepted, since nothing here depends on
// it; text that is not UTF-8 is found when its message is complete; nothing at all is sent after our Close, pongs
// included; no extension and no subprotocol is offered, so an answer that names one is refused.
package socket
