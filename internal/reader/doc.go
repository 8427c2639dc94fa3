// Package reader is the read side of one life: from the bytes that come to the events that go on.
//
// A Reader owns the read side of its socket and hands events straight to the Publisher; what else is said goes to whoever
// made it, as news. Session, routes and the part in a hand-over are guarded by one lock, which the reader takes once for a
// burst. When to dial, to write and to end a life is package conn's.
package reader
