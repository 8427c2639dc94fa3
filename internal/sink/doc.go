// Package sink puts events and notices on NATS.
//
// Core delivers at most once. Each reader gathers the events of a burst in a Batch of its own and hands it on under a
// short lock; it never waits for NATS. One publisher, Core.Run, empties the buffer in order:
//
//	reader ─ Batch ─┐                                        ┌─ notices, first and smoothed
//	reader ─ Batch ─┼─ Flush ─► chunk, chunk, … ─► Run ──────┴─ nats.Conn.Publish ─► NATS
//	reader ─ Batch ─┘  (full: dropped, counted)  (one goroutine)
//
// When much waits, readers pause for a moment after each burst, so that the publisher gets its share of the processors.
// While NATS is away events wait in the buffer. Past its bound the newest are dropped and counted. What was handed to
// the NATS client when a connection broke, but had not reached the server, is lost: that is what "at most once" means.
// Both are announced as gaps: of the dropped events exactly; of the others from the last flush that the server had
// confirmed, which the publisher asks for about once a second (confirm.go). Notices that wait are merged (notices.go),
// and sent again if nobody confirmed them.
//
// The events of a feed whose upstream keeps them come through a Taker instead: what finds no room is not taken, and what
// may be lost is brought again, so nothing of either is announced. Such events are numbered, and their owner is told up
// to which NATS is known to have them (package progress).
package sink
