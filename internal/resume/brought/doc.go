// Package brought remembers what a stream has brought: which events, so that none is brought twice (Seen), and from which
// position on NATS may not have them yet (Trail). Both are bounded, and have one owner and no lock.
package brought
