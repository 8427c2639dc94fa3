// Package upstream is what all simulated upstreams share: a WebSocket server that knows no protocol. A [Server] accepts
// sockets, answers their handshakes, paces events, keeps the rules and lets the faults happen that any upstream can have,
// and records what its clients did. A protocol is a [Protocol] and a [Session] for each client, and hands its own rules
// and faults to the server in the server's words: [Rule], [Fault], [Plan].
//
// One lock, [Server.Mu], guards all that a simulator knows, so a rule can be judged on the whole of it. Each client has
// two goroutines: a reader, which hands messages to the session, and a writer, which writes what was queued and keeps the
// timers.
//
// Faults come by two ways: methods, for tests, and options that strike by chance or every so often, for people. Some
// methods plan a fault for one connection that may be yet to come; ids are dense. All chance comes from the seed.
// [Server.Unfired] names the faults that were planned and did not happen, and a test that planned one should look.
//
// Where the real upstreams' answer is not known, the server's is a choice: a connection too many is refused with 429,
// and what no WebSocket client may send is answered with Close 1002 or 1009.
//
// Nothing of the project is imported here but the wire format as the simulators have it, because a simulator that shares
// code shares mistakes. Beside a fuzz test of the reader the tests are those of the protocols: a server does nothing
// without one.
package upstream
