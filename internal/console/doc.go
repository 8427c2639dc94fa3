// Package console is what people see of a running daemon on a terminal: [Overview] of everything, [FeedPage] of one feed
// with the topics that are in trouble first, [TopicPage] with the answer to "quiet or broken?". Each fits into 80 columns,
// and each trouble has the next step beside it and the section of docs/troubleshooting.md that says more.
//
// It reads the JSON of /api/status, and of that only what it shows: so it asks nothing of the daemon's packages, and a
// daemon that is a little older or newer than the command is shown all the same. Names and reasons come from upstreams and
// files; whatever in them a terminal would obey is written out instead.
package console
