// Package console is what people see of a running daemon on a terminal: [Overview] of everything, [FeedPage] of one feed
// with the topics that are in trouble first, [TopicPage] with the answer to "quiet or broken?". Each fits into 80 columns,
// and each trouble has the next step beside it and the section of docs/troubleshooting.md that says more.
//
// What the figures mean is package diagnosis' to say; here it is laid out. Names and reasons come from upstreams and
// files; whatever in them a terminal would obey is written out instead.
package console
