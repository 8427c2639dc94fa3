// Package daemon makes everything that a configuration asks for, and runs it.
//
// It knows no protocol: who makes a Daemon says how a feed's protocol is made.
package daemon
