// Package asks is what is said on one life and what is awaited of it: which topics are asked for and when, what became of
// each ask, and pings. It does no I/O and has no clock: whoever owns it says what time it is.
package asks
