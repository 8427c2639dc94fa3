// Package topicfile follows a file of topics that somebody else writes.
//
// The file counts once it has been at rest for a second. One that cannot be read, or that holds what cannot be wanted,
// changes nothing. One that would lose more than half of the topics is held, and said aloud: it is more often a file that is
// half written, or an export that failed, than what anybody wants. Whoever does want it says so, once it was said to be held:
// the file is then taken by whoever else reads it, and what is held is over.
package topicfile
