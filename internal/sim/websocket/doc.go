// Package websocket is the wire format as a server speaks it: frames and the handshake that opens a WebSocket, no more than
// the simulated upstreams need. It judges nothing: a [Frame] says what came, whether it may or not.
package websocket
