// Package answer is what a daemon answers, and logs, when it is asked what a reload did, what a feed wants, and what became of
// the events that were handed to NATS.
package answer
