// Package daemon makes everything that a configuration asks for, and runs it.
//
// It knows no protocol: who makes a Daemon says how a feed's protocol is made. What counts may change while it runs, by a
// reload, a file of topics or a request; whoever changes it is in the gate, one at a time, and the end waits for them.
package daemon
