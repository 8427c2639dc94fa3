// Package scaiwave simulates ScaiWave: the stream of events, a WebSocket at /v1/stream, and /v1/sync beside it, which has
// the newest of them still and can be waited at. A [ScaiWave] is package upstream's server with HTTP on the same port
// (package split), so it runs in virtual time and on real sockets alike.
//
// One lock guards everything, so what a client may rely on is exact: an event that was published before a request to
// sync arrived is in its answer or in one of those that follow, unless it is no longer kept, and an event that is
// published after a hello was sent goes to that socket. [ScaiWave.Published] says what there was, for tests that hold a client against
// it. What has a position is in both channels, what is ephemeral (chunks, typing, presence) in the stream alone.
//
// Where the real upstream's answer is not known, the simulator's is a choice. A socket is registered with its hello, not
// before. The next_cursor of an empty answer is the request's since; of a page with more behind it, it may lie in the hole
// that follows the page. Sync beyond the newest position waits. A limit past 500 is 500; what is not a number is answered 422.
// Types other than messages have a position, too, and their fields are at the frame's top level in the stream and in
// content in sync. A close frame's reason is the word in the real server's log. The order of frames is that of
// publishing, and positions rise with it but for [Options.LateEvery].
package scaiwave
