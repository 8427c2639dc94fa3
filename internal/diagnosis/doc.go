// Package diagnosis says what a state of affairs means: how a feed stands, what troubles there are and what to do about
// each, whether a topic is quiet or broken. Terminal (package console) and browser (package page) lay out what it says, so
// nobody is told two things.
//
// It judges a [Report]: the JSON of /api/status, and of that only what is shown. So it asks nothing of the daemon's
// packages, and a command may talk to a daemon that is a little older or newer: states and causes are words, and one that
// is not known is shown as it came.
//
// Sentences hold names, reasons and errors as upstreams and files gave them. Who shows one makes them harmless first.
package diagnosis
