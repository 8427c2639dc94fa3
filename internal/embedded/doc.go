// Package embedded runs a nats-server inside the process. The daemon has a secret of its own there; everybody else on
// the port may only subscribe to what feedmux publishes.
package embedded
