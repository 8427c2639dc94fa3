// Package split lets WebSockets and plain HTTP share one port, as upstreams have it: the first request on a socket says
// which of them the socket is for. A [Port] knows neither a protocol nor its faults.
//
// What asks for a WebSocket is handed to a server of WebSockets by a listener, with its request still to be read, so that
// server needs to know nothing of this. What asks for anything else is net/http's from there on.
package split
