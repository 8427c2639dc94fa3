// Package local is how one machine's programs talk to the daemon that runs on it: HTTP with JSON over a Unix socket,
// control.sock, that its owner and group may use. It works while NATS and the HTTP server are away. The commands use
// [Client]; curl --unix-socket does as well.
//
//	GET  /v1/topics/{feed}         every wanted topic: where it comes from, and its state
//	POST /v1/topics/{feed}/add     {"topics": ["a", {"topic": "b", "priority": 5}]}: these run-time topics too
//	POST /v1/topics/{feed}/remove  the same body: without these run-time topics
//	POST /v1/topics/{feed}/set     the same body: these are the run-time topics, and no others
//	POST /v1/renew/{feed}          hand every connection of the feed over to a new one
//	POST /v1/reload                read the configuration again; 422 and all problems if it is bad
//	GET  /v1/tail/{feed}           events as they come, one JSON object a line, until one side ends; ?topic=NAME, many times
//	GET  /api/status, …            what package control answers
//
// A request that makes no sense changes nothing, and its answer names the field: {"error": "…", "field": "topics[2]"}.
// Requests are bounded in size, depth, number and time, and changes are made one after another. The daemon hears who asked
// for a change, and logs it.
package local
