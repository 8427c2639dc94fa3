// Package brought remembers what a stream has brought: which events, so that none is brought twice (Seen), which may have
// been passed over (Missed), and from which position on NATS may not have them yet (Trail). All are bounded, and have one
// owner and no lock.
package brought
