// Package bubble is imported by every package whose tests run in bubbles of testing/synctest, if only for its effect:
// with -race, such a test binary runs on one processor.
//
// A bubble keeps one context of the race detector for all its timers. A timer that is due when it is set or looked at
// runs on the goroutine that did so, so two goroutines on two threads may be inside that context at once, which the
// detector answers with a crash: "SIGSEGV" or "ThreadSanitizer: CHECK failed", without a data race anywhere
// (https://github.com/golang/go/issues/78156, seen with Go 1.26). On one processor they can't. Races are found all the
// same: the detector looks at what is ordered with what, not at what happened at the same moment, and goroutines still
// take turns in random order.
package bubble
