// Package protocol says what a wire dialect must be able to tell a connection.
//
// A protocol does no I/O: a session is told bytes and says what to do. So a transcript is a test (see protocoltest), a
// fuzzer can drive it, and a pool can run it in virtual time. Sockets, timers, retries and pacing belong to package
// pool and are written once for all protocols.
package protocol
