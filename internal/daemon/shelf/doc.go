// Package shelf is what a daemon puts into its state directory and takes out of it when it runs again: what each pool knew of
// its topics, when the daemon was last alive, notices that NATS did not get, positions, and dial times.
package shelf
