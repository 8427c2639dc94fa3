// Package pubsub speaks Twitch PubSub, the protocol "twitch-pubsub".
//
// One text frame holds one JSON object. The client sends LISTEN and UNLISTEN, each with a nonce, and PING; the server
// answers with a RESPONSE that repeats the nonce, or PONG. A MESSAGE carries one event for one topic, as a string that
// holds JSON in turn: feedmux publishes that inner JSON. There are no event ids and no replay.
//
// A LISTEN is accepted or refused as a whole, and only the nonce says which one an answer is for. So topics that need
// the token never share a frame with those that do not, and a refused batch is asked for again one topic at a time.
//
// Nearly every frame is a MESSAGE. scan.go reads those in one pass, without allocating; whatever it is not certain
// of goes to encoding/json (decode.go), which has the last word.
//
// Twitch shut the service for third parties on 14 April 2025 and has gone on answering for public topics since. See
// docs/twitch-pubsub.md.
package pubsub
