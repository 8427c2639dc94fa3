// Package sink puts events and notices on NATS.
//
// Subjects: a Template turns a feed and a topic into a NATS subject and back. Every subject is legal, two topics never
// share one, and nothing that an upstream sends can choose one outside its feed's template.
//
// Core delivers at most once. Readers append to one bounded buffer under a short lock and never wait for NATS; one
// publisher, Core.Run, empties it in order:
//
//	reader ─┐                                        ┌─ notices, first and smoothed
//	reader ─┼─ Publish ─► chunk, chunk, … ─► Run ────┴─ nats.Conn.Publish ─► NATS
//	reader ─┘  (full: ErrFull, counted)   (one goroutine)
//
// While NATS is away events wait in the buffer. Past its bound the newest are dropped and counted. What was handed to
// the NATS client when a connection broke, but had not reached the server, is lost: that is what "at most once" means.
//
// Embedded runs a nats-server inside the process. The daemon has a secret of its own there; everybody else on the port
// may only subscribe to what feedmux publishes.
package sink
